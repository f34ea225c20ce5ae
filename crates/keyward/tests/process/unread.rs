//! Nobody reads what the node writes to standard error, where its log and its access records go.

use keyward_testkit::client::Connection;
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

use crate::served::{Place, call, world};

#[tokio::test]
async fn fail_017_calls_do_not_wait_for_whoever_reads_the_records() {
    let upstream = Upstream::start().await.unwrap();
    let place = Place::new().with(["--access-log", "-", "--drain-s", "1"]).unread();
    let served = place.start_with(&world(&upstream.url())).await;
    let mut connection = Connection::open(served.gateway).await.unwrap();
    // Records of a few KiB each, many more than the pipe and what is kept in memory hold.
    let long = format!("/orders/{}", "x".repeat(6_000));
    let request = Request { target: long, ..call() };
    let mut answered = 0;
    while served.metric("keyward_access_records_lost_total").await == 0.0 {
        for _ in 0..200 {
            assert_eq!(connection.call(&request).await.unwrap().status, 200);
            // Each of these makes the node say something in its own log, too.
            assert_eq!(connection.call(&Request::get("gw.test", "/none")).await.unwrap().status, 404);
        }
        answered += 200;
        assert!(answered < 20_000, "the records are bounded");
    }
    for number in 0..50 {
        assert_eq!(served.create("/v1/accounts", &format!(r#"{{"name": "a{number}"}}"#)).await.status, 201);
        let reload = rustix::process::Pid::from_raw(served.id()).unwrap();
        rustix::process::kill_process(reload, rustix::process::Signal::HUP).unwrap();
    }
    assert_eq!(connection.call(&call()).await.unwrap().status, 200);
    assert_eq!(served.stop(), Some(0), "the end does not wait for it either");
}
