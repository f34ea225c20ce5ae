//! How a node stays within the memory that it may take: by bounds on everything that callers can make it keep.
//!
//! What operators make it keep, the configuration, comes on top and is not bounded here.

use std::fs;
use std::path::Path;

use keyward_gateway::ReplayOptions;
use keyward_http::Limits;

const MIB: u64 = 1 << 20;

/// What the process takes before anybody calls: its code, the store's connections, the thread that keeps the books.
const FIXED: u64 = 48 * MIB;

/// What a core takes: its runtime, and access records that wait for the disk.
const CORE: u64 = 16 * MIB;

/// The least that there is for what callers bring.
const LEAST: u64 = 32 * MIB;

/// What a nonce takes just after its table has doubled, in bytes.
const NONCE: u64 = 48;

/// What a connection takes besides what grows with the largest head, in bytes.
const CONNECTION: u64 = 64 << 10;

/// Buffers of a connection that may each hold a head of the largest size: read, kept with a held body, sent on, and answered.
const HEADS: u64 = 4;

/// The memory that a node may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// For what callers bring, in bytes: a quarter for nonces, a quarter for bodies that are held, the rest for connections.
    callers: u64,
}

impl Memory {
    /// So many bytes in all, for a node that serves on so many cores.
    pub fn of(bytes: u64, workers: usize) -> Self {
        let workers = u64::try_from(workers).unwrap_or(u64::MAX);
        let fixed = FIXED.saturating_add(CORE.saturating_mul(workers));
        Self { callers: bytes.saturating_sub(fixed).max(LEAST) }
    }

    /// These limits, or narrower ones where they would not fit.
    pub(crate) fn narrow(self, limits: Limits) -> Limits {
        // A body that grows is twice there for a moment.
        let held = size(self.callers / 4 / 2);
        let connection = CONNECTION + HEADS * u64::try_from(limits.head_bytes).unwrap_or(u64::MAX / 8);
        let connections = size((self.callers / 2 / connection).max(16));
        Limits {
            held_bytes: limits.held_bytes.min(held),
            connections: limits.connections.min(connections),
            ..limits
        }
    }

    /// As many nonces, or fewer where they would not fit.
    pub(crate) fn narrow_nonces(self, replay: ReplayOptions) -> ReplayOptions {
        let capacity = replay.capacity.min(size(self.callers / 4 / NONCE));
        ReplayOptions { capacity, per_application: replay.per_application.min(capacity) }
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The memory that the control group of this process may take, in bytes; `None` where it has no bound.
pub(crate) fn of_control_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    bound_in(&groups, Path::new("/sys/fs/cgroup"))
}

fn bound_in(groups: &str, root: &Path) -> Option<u64> {
    let bounds = groups.lines().flat_map(|line| {
        // `0::/path` in the one hierarchy, or `4:memory:/path` in one of several.
        let (folder, file, path) = match line.splitn(3, ':').collect::<Vec<_>>().as_slice() {
            ["0", "", path] => (root.to_owned(), "memory.max", path.trim_start_matches('/').to_owned()),
            [_, kinds, path] if kinds.split(',').any(|kind| kind == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes", path.trim_start_matches('/').to_owned())
            }
            _ => return Vec::new(),
        };
        // A group is bound by those that it is in; within a container its own path may not be there.
        let own = folder.join(path);
        let up = own.ancestors().take_while(|group| group.starts_with(&folder)).map(Path::to_owned);
        up.map(|group| group.join(file)).collect()
    });
    let read = |file: std::path::PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    // What is written for no bound in several hierarchies is near the largest number.
    bounds.filter_map(read).filter(|bytes| *bytes < 1 << 60).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_can_bring_fits() {
        for (mib, workers) in [(256, 1), (256, 2), (512, 4), (4096, 8)] {
            let memory = Memory::of(mib * MIB, workers);
            for head_bytes in [32 << 10, 1 << 20] {
                let limits = memory.narrow(Limits { head_bytes, ..Limits::default() });
                let nonces = memory.narrow_nonces(ReplayOptions::default());
                let taken = FIXED
                    + CORE * workers as u64
                    + 2 * limits.held_bytes as u64
                    + NONCE * nonces.capacity as u64
                    + limits.connections as u64 * (CONNECTION + HEADS * head_bytes as u64);
                assert!(taken <= mib * MIB, "{mib} MiB, {workers} cores: {taken}");
                assert!(limits.connections >= 16 && nonces.per_application <= nonces.capacity);
            }
        }
        let roomy = Memory::of(64 << 30, 4);
        assert_eq!(roomy.narrow(Limits::default()), Limits::default(), "bounds are only ever narrowed");
    }

    #[test]
    fn the_bound_of_a_control_group_is_the_narrowest_one_above_it() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert_eq!(bound_in("0::/a/b\n", root.path()), None);
        write("memory.max", "max\n");
        write("a/memory.max", "268435456\n");
        write("a/b/memory.max", "max\n");
        assert_eq!(bound_in("0::/a/b\n", root.path()), Some(256 * MIB));
        assert_eq!(bound_in("0::/not/here\n", root.path()), None);
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(bound_in("5:cpu,cpuacct:/x\n4:memory:/x\n", root.path()), None);
        write("memory/x/memory.limit_in_bytes", "1048576\n");
        assert_eq!(bound_in("5:cpu,cpuacct:/x\n4:memory:/x\n", root.path()), Some(MIB));
    }
}
