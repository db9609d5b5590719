//! The state of a listener's acceptors when it begins to drop packets: their thread states and CPU
//! time, from procfs. This only reads, and stops no process. The number and size of inspections are
//! bounded.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use backlog_core::event::{Acceptor, Caller, CpuLimit, Doing, LastAccept, ListenerId, State};
use procfs::FromRead as _;
use procfs::process::Stat;
use rustix::param::clock_ticks_per_second;

use super::cpu_limit::{self, Counts, CpuLimits};
use crate::clock::monotonic_ns;

/// The maximum number of processes of a listener to inspect.
const PROCESSES: usize = 64;
/// The maximum number of threads per inspection.
const THREADS: usize = 512;
/// The number of processes whose CPU time is recorded at the end of an interval.
const NOTED: usize = 128;
/// The number of listeners whose CPU limits are recorded at the same time; each takes a handful of
/// file reads.
const LIMITED: usize = 16;
/// The pause between two inspections, for all listeners together.
const REST_NS: u64 = 20_000_000;

/// See the module documentation.
pub(crate) struct Acceptors {
    proc_root: PathBuf,
    /// The last reading of what the acceptors of each listener had used.
    used: HashMap<ListenerId, Used>,
    limits: CpuLimits,
    not_before_ns: u64,
}

/// A reading of the acceptors of a listener.
struct Used {
    read_ns: u64,
    /// CPU time by process.
    cpu_ns: HashMap<u32, u64>,
    /// The CPU limits of the first process.
    limits: Vec<Counts>,
}

/// The subject of an inspection.
pub(crate) struct About<'a> {
    pub(crate) listener: ListenerId,
    /// The processes that hold it, numbered as in the tool's pid namespace.
    pub(crate) holders: &'a [u32],
    /// The main process among the holders.
    pub(crate) main: Option<Caller>,
    /// The processes that were seen accepting.
    pub(crate) accepting: &'a [Caller],
    pub(crate) last_accept: Option<LastAccept>,
    /// The time of the last accept by any process.
    pub(crate) accepted_ns: Option<u64>,
    /// When the first packet was refused.
    pub(crate) refused_ns: u64,
    /// No packet was refused, but nobody has accepted for long as of now.
    pub(crate) idle: bool,
}

/// The state of some processes.
#[derive(Default)]
struct Seen {
    /// The processes that exist.
    pids: Vec<u32>,
    threads: u32,
    doing: Vec<Doing>,
}

impl Acceptors {
    /// Reads from a `/proc`.
    pub(crate) fn new(proc_root: &Path) -> Self {
        let limits = CpuLimits::find(proc_root);
        Self { proc_root: proc_root.to_owned(), used: HashMap::new(), limits, not_before_ns: 0 }
    }

    /// Records, at the end of an interval, how much CPU time the acceptors of busy listeners have
    /// used so far.
    pub(crate) fn note(&mut self, busy: impl Iterator<Item = (ListenerId, Vec<u32>)>) {
        self.used.clear();
        let mut left = NOTED;
        for (place, (listener, pids)) in busy.enumerate() {
            if pids.len() > left {
                break;
            }
            left -= pids.len();
            let cpu_ns = pids.iter().filter_map(|pid| Some((*pid, self.cpu_ns(*pid)?))).collect();
            let first = pids.first().filter(|_| place < LIMITED);
            let limits = first.map_or_else(Vec::new, |pid| self.limits.of(*pid));
            self.used.insert(listener, Used { read_ns: monotonic_ns(), cpu_ns, limits });
        }
    }

    /// Is the last inspection too recent?
    pub(crate) fn rests(&self, now_ns: u64) -> bool {
        now_ns < self.not_before_ns
    }

    /// Inspects the processes that were seen accepting and still exist; if there are none, the
    /// holders of the listener. None: no holder is known, they are gone, or the last inspection was
    /// too recent.
    pub(crate) fn look(&mut self, about: &About<'_>) -> Option<Acceptor> {
        let now_ns = monotonic_ns();
        if self.rests(now_ns) {
            return None;
        }
        self.not_before_ns = now_ns + REST_NS;
        let last = about.last_accept;
        let mut pids: Vec<u32> = about.accepting.iter().map(|one| one.pid).collect();
        pids.extend(last.map(|last| last.pid).filter(|pid| !pids.contains(pid)));
        let mut seen = self.seen(&pids);
        let accepting = !seen.pids.is_empty();
        if !accepting {
            seen = self.seen(about.holders);
        }
        let last_gone = last.filter(|last| !self.is_there(last.pid));
        // The holder only matters if no existing process was seen accepting.
        let holder = (!accepting).then(|| self.holder(about, &seen)).flatten();
        let process = last.map_or_else(
            || holder.clone(),
            |last| Some(Caller { pid: last.pid, comm: self.name_of(last.pid, about)? }),
        )?;
        if seen.threads == 0 && last_gone.is_none() {
            return None;
        }
        let cpu = self.used_since(about.listener, &seen.pids);
        Some(Acceptor {
            listener: about.listener,
            process,
            looked_after_ns: now_ns.saturating_sub(about.refused_ns),
            last_accept_ns: about.accepted_ns.and_then(|ns| about.refused_ns.checked_sub(ns)),
            accepted_since_ns: about.accepted_ns.and_then(|ns| ns.checked_sub(about.refused_ns)),
            tid: last.map(|last| last.tid),
            processes: u32::try_from(seen.pids.len()).unwrap_or(u32::MAX),
            threads: seen.threads,
            doing: seen.doing,
            cpu_ns: cpu.map(|(cpu_ns, _)| cpu_ns),
            cpu_over_ns: cpu.map(|(_, over_ns)| over_ns),
            seen_accepting: accepting,
            gone: last_gone.is_some(),
            idle: about.idle,
            holder,
            cpu_limit: self.limit_since(about.listener, &seen.pids),
        })
    }

    /// The threads of these processes.
    fn seen(&self, pids: &[u32]) -> Seen {
        let mut seen = Seen::default();
        let mut doing: HashMap<(State, Option<String>), u32> = HashMap::new();
        for pid in pids.iter().take(PROCESSES) {
            let Ok(tasks) = fs::read_dir(self.proc_root.join(pid.to_string()).join("task")) else {
                continue;
            };
            let before = seen.threads;
            for task in tasks.flatten() {
                if seen.threads as usize >= THREADS {
                    break;
                }
                let Some(state) = state(&task.path()) else { continue };
                seen.threads += 1;
                *doing.entry(state).or_default() += 1;
            }
            if seen.threads > before {
                seen.pids.push(*pid);
            }
        }
        let one = |((state, wchan), threads)| Doing { state, wchan, threads };
        seen.doing = doing.into_iter().map(one).collect();
        seen.doing.sort_by(|a, b| {
            b.threads.cmp(&a.threads).then(a.state.cmp(&b.state)).then(a.wchan.cmp(&b.wchan))
        });
        seen
    }

    /// The main holder of the listener, if it exists, or else the first that exists.
    fn holder(&self, about: &About<'_>, seen: &Seen) -> Option<Caller> {
        let main = about.main.clone().filter(|main| seen.pids.contains(&main.pid));
        let first = || seen.pids.iter().find_map(|pid| self.caller(*pid));
        main.or_else(first)
    }

    fn caller(&self, pid: u32) -> Option<Caller> {
        Some(Caller { pid, comm: self.name(pid)? })
    }

    /// The name of a process that was seen accepting, even if it is gone.
    fn name_of(&self, pid: u32, about: &About<'_>) -> Option<String> {
        let known = || about.accepting.iter().find(|one| one.pid == pid);
        self.name(pid).or_else(|| known().map(|one| one.comm.clone()))
    }

    /// Does the process exist? A zombie holds and accepts nothing.
    fn is_there(&self, pid: u32) -> bool {
        let stat = stat(&self.proc_root.join(pid.to_string()));
        stat.is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
    }

    /// CPU time that these processes have used since it was recorded, and how long ago that was.
    fn used_since(&self, listener: ListenerId, pids: &[u32]) -> Option<(u64, u64)> {
        let Used { read_ns, cpu_ns: before, .. } = self.used.get(&listener)?;
        let one = |pid: &u32| self.cpu_ns(*pid)?.checked_sub(*before.get(pid)?);
        let each: Vec<u64> = pids.iter().filter_map(one).collect();
        // The total must include all of the processes: a part of them would look idle.
        let all = !each.is_empty() && each.len() == pids.len();
        all.then(|| (each.iter().sum(), monotonic_ns().saturating_sub(*read_ns)))
    }

    /// The CPU limit that has throttled the first of these processes since then.
    fn limit_since(&self, listener: ListenerId, pids: &[u32]) -> Option<CpuLimit> {
        let Used { limits: before, .. } = self.used.get(&listener)?;
        // Without a limit at that time, there is nothing to compare.
        let pid = pids.first().filter(|_| !before.is_empty())?;
        cpu_limit::most_used(before, &self.limits.of(*pid))
    }

    fn name(&self, pid: u32) -> Option<String> {
        let text = fs::read_to_string(self.proc_root.join(pid.to_string()).join("comm")).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// CPU time of a process so far; None if it is gone.
    fn cpu_ns(&self, pid: u32) -> Option<u64> {
        let tick_ns = 1_000_000_000 / clock_ticks_per_second().max(1);
        let stat = stat(&self.proc_root.join(pid.to_string()))?;
        Some((stat.utime + stat.stime) * tick_ns)
    }
}

fn stat(folder: &Path) -> Option<Stat> {
    Stat::from_file(folder.join("stat")).ok()
}

/// How often to read a thread again that slept at first but was woken before its wait channel was
/// read.
const READS_AGAIN: usize = 2;

/// The state of a thread, and where it sleeps. The kernel provides them in separate files, and
/// prints `0` as the wait channel of a thread that runs by then, or that we may not trace.
fn state(task: &Path) -> Option<(State, Option<String>)> {
    let mut found = read_state(task)?;
    for _ in 0..READS_AGAIN {
        if found.1.is_some() || !sleeps(found.0) {
            break;
        }
        found = read_state(task)?;
    }
    Some(found)
}

fn sleeps(state: State) -> bool {
    matches!(state, State::Asleep | State::Blocked)
}

fn read_state(task: &Path) -> Option<(State, Option<String>)> {
    let state = match stat(task)?.state {
        'Z' | 'X' => return None,
        'R' => State::Running,
        'S' | 'I' => State::Asleep,
        'D' => State::Blocked,
        'T' | 't' => State::Stopped,
        _ => State::Other,
    };
    let wchan = sleeps(state)
        .then(|| fs::read_to_string(task.join("wchan")).ok())
        .flatten()
        .filter(|name| !name.is_empty() && name != "0");
    Some((state, wchan))
}

#[cfg(test)]
mod tests {
    use super::{About, Acceptors};
    use crate::clock::monotonic_ns;
    use backlog_core::event::{Caller, LastAccept, ListenerId, State};
    use std::fs;
    use std::path::Path;

    fn about(holders: &[u32]) -> About<'_> {
        About {
            listener: ListenerId(1),
            holders,
            main: Some(caller(1, "main")),
            accepting: &[],
            last_accept: None,
            accepted_ns: None,
            refused_ns: monotonic_ns(),
            idle: false,
        }
    }

    fn caller(pid: u32, comm: &str) -> Caller {
        Caller { pid, comm: comm.into() }
    }

    /// A single-threaded process in a synthetic `/proc`.
    fn process(root: &Path, pid: u32, comm: &str, state: char, wchan: &str) {
        let stat = format!(
            "{pid} ({comm}) {state} 1 1 1 0 -1 4194304 0 0 0 0 2 1 0 0 20 0 1 0 100 1000 10 \
             18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0"
        );
        let folder = root.join(pid.to_string());
        let task = folder.join("task").join(pid.to_string());
        fs::create_dir_all(&task).unwrap();
        fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
        for folder in [&folder, &task] {
            fs::write(folder.join("stat"), &stat).unwrap();
        }
        fs::write(task.join("wchan"), wchan).unwrap();
    }

    #[test]
    fn workers_are_described_and_not_their_parent() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 80, "web", 'S', "do_wait");
        process(root.path(), 81, "web", 'R', "0");
        process(root.path(), 82, "web", 'R', "0");
        let accepting = [caller(81, "web"), caller(82, "web")];
        let last_accept = Some(LastAccept { time_ns: 1, pid: 82, tid: 82 });
        let mut acceptors = Acceptors::new(root.path());
        let about = About { accepting: &accepting, last_accept, ..about(&[80, 81, 82]) };
        let found = acceptors.look(&about).unwrap();
        assert_eq!((found.process.pid, found.processes, found.threads), (82, 2, 2));
        assert!(found.seen_accepting && !found.gone && found.holder.is_none());
        assert_eq!(found.doing.len(), 1);
        assert_eq!(found.doing[0].state, State::Running);
    }

    #[test]
    fn a_dead_acceptor_is_gone_and_the_holder_is_described() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 80, "manager", 'S', "hrtimer_nanosleep");
        // A zombie: its parent has not reaped it yet.
        process(root.path(), 81, "service", 'Z', "0");
        for accepting in [[caller(81, "service")], [caller(83, "service")]] {
            let pid = accepting[0].pid;
            let last_accept = Some(LastAccept { time_ns: 1, pid, tid: pid });
            let mut acceptors = Acceptors::new(root.path());
            let about = About { accepting: &accepting, last_accept, ..about(&[80, 81]) };
            let found = acceptors.look(&about).unwrap();
            assert_eq!(found.process, accepting[0]);
            assert!(found.gone && !found.seen_accepting);
            assert_eq!(found.holder, Some(caller(80, "manager")));
            assert_eq!((found.processes, found.doing[0].threads), (1, 1));
            assert_eq!(found.doing[0].wchan.as_deref(), Some("hrtimer_nanosleep"));
        }
    }

    #[test]
    fn this_process_is_seen_with_its_threads() {
        let pids = [std::process::id()];
        let mut acceptors = Acceptors::new(Path::new("/proc"));
        acceptors.note([(ListenerId(1), pids.to_vec())].into_iter());
        let last = LastAccept { time_ns: 1, pid: pids[0], tid: 77 };
        let found = acceptors.look(&About { last_accept: Some(last), ..about(&pids) }).unwrap();
        assert_eq!((found.process.pid, found.tid, found.processes), (pids[0], Some(77), 1));
        assert_eq!(found.doing.iter().map(|one| one.threads).sum::<u32>(), found.threads);
        // The thread of this test is running.
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
