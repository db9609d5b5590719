//! What those who accept at a listener are doing when it begins to refuse packets: the states
//! of their threads and their CPU time, by procfs. It reads and stops nobody; how often, and
//! how much, is bounded.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use procfs::FromRead as _;
use procfs::process::Stat;
use rustix::param::clock_ticks_per_second;

use crate::clock::monotonic_ns;
use crate::event::{Acceptor, Caller, Doing, LastAccept, ListenerId, State};

/// Processes of a listener that are looked at.
const PROCESSES: usize = 64;
/// Threads that are looked at in one look.
const THREADS: usize = 512;
/// Processes whose CPU time is noted at the end of an interval.
const NOTED: usize = 128;
/// A look at one listener is followed by so long without one at any.
const REST_NS: u64 = 20_000_000;

/// See the module's head.
pub(crate) struct Acceptors {
    proc_root: PathBuf,
    /// The CPU time of a listener's processes, and when it was read.
    used: HashMap<ListenerId, (u64, u64)>,
    not_before_ns: u64,
}

/// Whom a look is about.
pub(crate) struct About<'a> {
    pub(crate) listener: ListenerId,
    /// Those that hold it, as the tool's pid namespace numbers them.
    pub(crate) pids: &'a [u32],
    /// The main one of them.
    pub(crate) main: Option<Caller>,
    pub(crate) last_accept: Option<LastAccept>,
    /// When the last accept was, whoever did it.
    pub(crate) accepted_ns: Option<u64>,
    /// When the first packet was refused.
    pub(crate) refused_ns: u64,
}

impl Acceptors {
    /// Below a `/proc`.
    pub(crate) fn new(proc_root: &Path) -> Self {
        Self { proc_root: proc_root.to_owned(), used: HashMap::new(), not_before_ns: 0 }
    }

    /// At the end of an interval: how much CPU time the acceptors of busy listeners have
    /// used so far.
    pub(crate) fn note<'a>(&mut self, busy: impl Iterator<Item = (ListenerId, &'a [u32])>) {
        self.used.clear();
        let mut left = NOTED;
        for (listener, pids) in busy {
            if pids.len() > left {
                break;
            }
            left -= pids.len();
            if let Some(used_ns) = self.cpu_ns(pids) {
                self.used.insert(listener, (monotonic_ns(), used_ns));
            }
        }
    }

    /// Looks. None: nobody is known to hold it, they are gone, or there was a look a moment
    /// ago.
    pub(crate) fn look(&mut self, about: &About<'_>) -> Option<Acceptor> {
        let now_ns = monotonic_ns();
        if now_ns < self.not_before_ns {
            return None;
        }
        self.not_before_ns = now_ns + REST_NS;
        let pids = about.pids.get(..about.pids.len().min(PROCESSES))?;
        let (mut processes, mut threads) = (0, 0_u32);
        let mut doing: HashMap<(State, Option<String>), u32> = HashMap::new();
        for pid in pids {
            let Ok(tasks) = fs::read_dir(self.proc_root.join(pid.to_string()).join("task")) else {
                continue;
            };
            processes += 1;
            for task in tasks.flatten() {
                if threads as usize >= THREADS {
                    break;
                }
                let Some(state) = state(&task.path()) else { continue };
                threads += 1;
                *doing.entry(state).or_default() += 1;
            }
        }
        let accepted = about.last_accept.filter(|last| pids.contains(&last.pid));
        let process = match (accepted, &about.main) {
            (Some(last), _) => Caller { pid: last.pid, comm: self.name(last.pid)? },
            (None, Some(main)) => main.clone(),
            (None, None) => return None,
        };
        if threads == 0 {
            return None;
        }
        let used = self.used.get(&about.listener).copied();
        let cpu = used.zip(self.cpu_ns(pids));
        let cpu = cpu.filter(|((_, before), after)| after >= before);
        let mut doing: Vec<Doing> = doing
            .into_iter()
            .map(|((state, wchan), threads)| Doing { state, wchan, threads })
            .collect();
        doing.sort_by(|a, b| {
            b.threads.cmp(&a.threads).then(a.state.cmp(&b.state)).then(a.wchan.cmp(&b.wchan))
        });
        Some(Acceptor {
            listener: about.listener,
            process,
            looked_after_ns: now_ns.saturating_sub(about.refused_ns),
            last_accept_ns: about.accepted_ns.and_then(|ns| about.refused_ns.checked_sub(ns)),
            accepted_since_ns: about.accepted_ns.and_then(|ns| ns.checked_sub(about.refused_ns)),
            tid: accepted.map(|last| last.tid),
            processes,
            threads,
            doing,
            cpu_ns: cpu.map(|((_, before), after)| after - before),
            cpu_over_ns: cpu.map(|((noted_ns, _), _)| monotonic_ns().saturating_sub(noted_ns)),
        })
    }

    fn name(&self, pid: u32) -> Option<String> {
        let text = fs::read_to_string(self.proc_root.join(pid.to_string()).join("comm")).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// CPU time of some processes so far; those that are gone are left out. None: all are.
    fn cpu_ns(&self, pids: &[u32]) -> Option<u64> {
        let tick_ns = 1_000_000_000 / clock_ticks_per_second().max(1);
        let one = |pid: &u32| {
            let stat = stat(&self.proc_root.join(pid.to_string()))?;
            Some((stat.utime + stat.stime) * tick_ns)
        };
        let each: Vec<u64> = pids.iter().filter_map(one).collect();
        (!each.is_empty()).then(|| each.iter().sum())
    }
}

fn stat(folder: &Path) -> Option<Stat> {
    Stat::from_file(folder.join("stat")).ok()
}

/// What a thread is doing, and where it sleeps. Without the right to trace it the kernel says
/// `0` for that, as it does for one that runs.
fn state(task: &Path) -> Option<(State, Option<String>)> {
    let state = match stat(task)?.state {
        'R' => State::Running,
        'S' | 'I' => State::Asleep,
        'D' => State::Blocked,
        'T' | 't' => State::Stopped,
        _ => State::Other,
    };
    let wchan = matches!(state, State::Asleep | State::Blocked)
        .then(|| fs::read_to_string(task.join("wchan")).ok())
        .flatten()
        .filter(|name| !name.is_empty() && name != "0");
    Some((state, wchan))
}

#[cfg(test)]
mod tests {
    use super::{About, Acceptors};
    use crate::clock::monotonic_ns;
    use crate::event::{Caller, LastAccept, ListenerId, State};
    use std::path::Path;

    fn about(pids: &[u32]) -> About<'_> {
        About {
            listener: ListenerId(1),
            pids,
            main: Some(Caller { pid: 1, comm: "main".into() }),
            last_accept: None,
            accepted_ns: None,
            refused_ns: monotonic_ns(),
        }
    }

    #[test]
    fn this_process_is_seen_with_its_threads() {
        let pids = [std::process::id()];
        let mut acceptors = Acceptors::new(Path::new("/proc"));
        acceptors.note([(ListenerId(1), &pids[..])].into_iter());
        let last = LastAccept { time_ns: 1, pid: pids[0], tid: 77 };
        let found = acceptors.look(&About { last_accept: Some(last), ..about(&pids) }).unwrap();
        assert_eq!((found.process.pid, found.tid, found.processes), (pids[0], Some(77), 1));
        assert_eq!(found.doing.iter().map(|one| one.threads).sum::<u32>(), found.threads);
        // The thread that asks runs.
        assert!(found.doing.iter().any(|one| one.state == State::Running));
        assert!(found.cpu_ns.is_some() && found.cpu_over_ns.is_some());
    }

    #[test]
    fn nobody_is_made_up_and_looks_are_rare() {
        let mut acceptors = Acceptors::new(Path::new("/proc"));
        // No process has this number.
        assert!(acceptors.look(&about(&[u32::MAX])).is_none());
        let pids = [std::process::id()];
        assert!(acceptors.look(&about(&pids)).is_none(), "a moment after the last look");
    }
}
