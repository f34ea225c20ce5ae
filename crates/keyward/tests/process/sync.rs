//! What is acknowledged is on the disk before the acknowledgement leaves.

use std::fs;

use crate::served::Place;

/// A line of the trace: `process  call(arguments) = result`, or a part of it.
fn file_synced(line: &str) -> Option<bool> {
    let is_sync = line.contains("fdatasync(") || line.contains("fsync(") || line.contains("sync resumed>");
    is_sync.then(|| line.contains("keyward.db-wal>"))
}

#[tokio::test]
async fn dur_002_a_write_is_answered_after_its_log_is_on_the_disk() {
    let place = Place::new();
    let trace = place.file("trace");
    let calls =
        "trace=fdatasync,fsync,sync_file_range,write,writev,sendto,sendmsg,read,readv,recvfrom,recvmsg";
    let strace = ["strace", "-f", "-y", "-s", "64", "-e", calls, "-o"];
    let place = place.under(strace.map(Into::into).into_iter().chain([trace.clone().into_os_string()]));
    let served =
        place.start().unwrap_or_else(|said| panic!("strace is needed (scripts/setup.sh test): {said}"));
    for number in 0..20 {
        let made = served.create("/v1/accounts", &format!(r#"{{"name": "synced-{number}"}}"#)).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    assert_eq!(served.stop(), Some(0));

    let trace = fs::read_to_string(&trace).unwrap();
    let (mut asked, mut synced, mut answered) = (0, false, 0);
    let mut syncing = std::collections::BTreeSet::new();
    for line in trace.lines() {
        let process = line.split_whitespace().next().unwrap_or_default();
        if let Some(of_log) = file_synced(line) {
            // A call that takes a while stands there in two parts; it has returned with the second.
            match (line.contains("<unfinished ...>"), line.contains("resumed>")) {
                (true, _) if of_log => {
                    syncing.insert(process);
                }
                (_, true) => synced |= syncing.remove(process) && line.trim_end().ends_with("= 0"),
                _ => synced |= of_log && line.trim_end().ends_with("= 0"),
            }
        } else if line.contains("\"POST /v1/accounts") {
            asked += 1;
            synced = false;
        } else if line.contains("\"HTTP/1.1 201") {
            assert!(asked > answered, "an answer to nothing: {line}");
            assert!(synced, "answered before the log was on the disk: {line}");
            answered += 1;
        }
    }
    assert_eq!((asked, answered), (20, 20), "the trace has every request and answer");
}
