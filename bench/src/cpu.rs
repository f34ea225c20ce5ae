//! CPU time as the kernel counts it: utime and stime of every process, from `/proc/PID/stat`.
//!
//! A proxy's time is that of its whole process tree, with what its ended children used. Everybody else's time is
//! read too, so that a machine that was not quiet is noticed.

use crate::failure::{Failure, OrFail as _, Outcome};
use rustix::thread::CpuSet;
use std::collections::HashMap;
use std::fs;

/// The processes at one moment.
#[derive(Debug)]
pub(crate) struct Reading {
    processes: HashMap<u32, Used>,
    /// Ticks that the hypervisor kept from this machine, all cores together.
    stolen: u64,
}

/// One process: its own ticks, those of its ended children, and its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    parent: u32,
    own: u64,
    ended_children: u64,
}

/// CPU seconds used between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spent {
    /// By the proxy's process tree.
    pub(crate) proxy_s: f64,
    /// By all processes that are neither the proxy nor this benchmark.
    pub(crate) others_s: f64,
    /// Kept by the hypervisor.
    pub(crate) stolen_s: f64,
}

/// Reads all processes now.
pub(crate) fn read() -> Outcome<Reading> {
    let mut processes = HashMap::new();
    let entries = fs::read_dir("/proc").or_fail(|| "reading /proc".into())?;
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some(used) = parse_stat(&stat) {
            processes.insert(pid, used);
        }
    }
    let totals = fs::read_to_string("/proc/stat").or_fail(|| "reading /proc/stat".into())?;
    Ok(Reading { processes, stolen: parse_stolen(&totals).unwrap_or(0) })
}

/// What was used between `before` and `after`, where `root` is the proxy's first process.
pub(crate) fn spent(before: &Reading, after: &Reading, root: u32) -> Outcome<Spent> {
    let own_pid = std::process::id();
    if !after.processes.contains_key(&root) {
        return Err(Failure::new(format!("the proxy's process {root} has ended")));
    }
    let (mut proxy, mut others) = (0, 0);
    for (pid, now) in &after.processes {
        let then = before.processes.get(pid);
        let own = now.own.saturating_sub(then.map_or(0, |used| used.own));
        if after.descends(*pid, root) {
            proxy += own + now.ended_children.saturating_sub(then.map_or(0, |used| used.ended_children));
        } else if *pid != own_pid {
            others += own;
        }
    }
    let stolen = after.stolen.saturating_sub(before.stolen);
    Ok(Spent { proxy_s: seconds(proxy), others_s: seconds(others), stolen_s: seconds(stolen) })
}

impl Reading {
    fn descends(&self, pid: u32, root: u32) -> bool {
        let mut current = pid;
        // A tree is never deeper than there are processes; the bound guards against a pid that was used again.
        for _ in 0..self.processes.len() {
            if current == root {
                return true;
            }
            match self.processes.get(&current) {
                Some(used) if used.parent != 0 => current = used.parent,
                _ => return false,
            }
        }
        false
    }
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Reads fields 4 (ppid) and 14 to 17 (utime, stime, cutime, cstime). The name before them may hold anything.
fn parse_stat(stat: &str) -> Option<Used> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Used {
        parent: u32::try_from(number(4)?).ok()?,
        own: number(14)? + number(15)?,
        ended_children: number(16)? + number(17)?,
    })
}

fn parse_stolen(totals: &str) -> Option<u64> {
    totals.lines().next()?.split_ascii_whitespace().nth(8)?.parse().ok()
}

/// Binds this thread, and the threads and processes that it starts, to one core.
pub(crate) fn bind_to(core: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).or_fail(|| format!("binding to core {core}"))
}

/// Fails unless this process may run on both cores.
pub(crate) fn require_cores(cores: [usize; 2]) -> Outcome<()> {
    let allowed = rustix::thread::sched_getaffinity(None).or_fail(|| "reading the allowed cores".into())?;
    for core in cores {
        if core >= CpuSet::MAX_CPU || !allowed.is_set(core) {
            return Err(Failure::new(format!(
                "core {core} is not available: the benchmark needs two, name others with --proxy-core and --load-core"
            )));
        }
    }
    if cores.first() == cores.last() {
        return Err(Failure::new("the proxy and the load need a core each"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(parent: u32, own: u64, ended_children: u64) -> Used {
        Used { parent, own, ended_children }
    }

    fn reading<const N: usize>(processes: [(u32, Used); N], stolen: u64) -> Reading {
        Reading { processes: processes.into(), stolen }
    }

    #[test]
    fn a_stat_line_is_read_behind_any_name() {
        let stat = "4711 (a) b (c) S 12 4711 4711 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 5";
        assert_eq!(parse_stat(stat), Some(used(12, 120, 7)));
        assert_eq!(parse_stat("4711 (short) S 1"), None);
    }

    #[test]
    fn a_proxy_is_its_whole_tree_and_nobody_else() {
        let before = reading([(10, used(1, 5, 0)), (11, used(10, 100, 0)), (90, used(1, 50, 0))], 3);
        let after = reading(
            [
                (10, used(1, 6, 2)),
                (11, used(10, 400, 0)),
                (12, used(11, 30, 0)),
                (90, used(1, 57, 0)),
                (std::process::id(), used(1, 900, 0)),
            ],
            4,
        );
        let spent = spent(&before, &after, 10).unwrap();
        let tick = seconds(1);
        let close = |seconds: f64, ticks: f64| (seconds - ticks * tick).abs() < 1e-9;
        assert!(close(spent.proxy_s, 1.0 + 2.0 + 300.0 + 30.0), "{spent:?}");
        assert!(close(spent.others_s, 7.0) && close(spent.stolen_s, 1.0), "{spent:?}");
    }

    #[test]
    fn a_proxy_that_has_ended_is_an_error() {
        let gone = reading([(1, used(0, 1, 1))], 0);
        assert!(spent(&gone, &gone, 10).is_err());
    }

    #[test]
    fn this_process_is_among_those_read() {
        assert!(read().unwrap().processes.contains_key(&std::process::id()));
    }
}
