//! Reads facts about threads and processes from /proc.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;

/// Is a thread asleep, waiting for something outside?
#[must_use]
pub fn asleep(thread: i32) -> bool {
    is_in_state(thread, 'S')
}

/// Has a signal stopped a process?
#[must_use]
pub fn stopped(process: i32) -> bool {
    is_in_state(process, 'T')
}

/// A size from /proc/PID/status in kB, such as `VmRSS`.
#[must_use]
pub fn status_kib(process: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let of = |line: &str| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned);
    status.lines().find_map(of)?.split_whitespace().next()?.parse().ok()
}

/// The number of open sockets of a process.
///
/// # Errors
/// When it has ended.
pub fn sockets(process: u32) -> io::Result<usize> {
    let all = fs::read_dir(format!("/proc/{process}/fd"))?.flatten();
    // A descriptor may have been closed in the meantime.
    let targets = all.filter_map(|entry| fs::read_link(entry.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

/// The name of a process, which the kernel cuts to fifteen characters.
#[must_use]
pub fn comm(process: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(name.trim_end_matches('\n').to_owned())
}

/// The number of threads of a process; zero if it is gone.
#[must_use]
pub fn threads(process: u32) -> usize {
    tasks(process).count()
}

/// Is each thread of a process asleep?
#[must_use]
pub fn all_asleep(process: u32) -> bool {
    tasks(process).all(asleep)
}

fn tasks(process: u32) -> impl Iterator<Item = i32> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Does this process exist, and has it not ended?
#[must_use]
pub fn lives(process: u32) -> bool {
    stat(process).is_some_and(|stat| !stat.starts_with(['Z', 'X']))
}

/// A process with all its descendants, except for those that have ended.
#[must_use]
pub fn family(process: u32) -> BTreeSet<u32> {
    let all: Vec<(u32, u32)> = processes().filter_map(|one| Some((one, parent(one)?))).collect();
    let mut family = BTreeSet::new();
    let mut found: Vec<u32> = vec![process];
    while let Some(one) = found.pop() {
        if lives(one) && family.insert(one) {
            found.extend(all.iter().filter(|(_, parent)| *parent == one).map(|(child, _)| child));
        }
    }
    family
}

/// The number of sockets that listen on a port in a process's network namespace.
#[must_use]
pub fn listening(process: u32, port: u16) -> usize {
    let here = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        // The fields are the local address, the remote one, and the state: 0A is LISTEN.
        fields.next().is_some_and(|own| own.ends_with(&here)) && fields.nth(1) == Some("0A")
    };
    let count = |table: &str| {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        text.lines().filter(is_one).count()
    };
    count("tcp") + count("tcp6")
}

/// The cgroups of a process, one in each hierarchy.
#[must_use]
pub fn cgroups(process: u32) -> BTreeSet<String> {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    text.lines().filter_map(|line| Some(line.splitn(3, ':').nth(2)?.to_owned())).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(process: u32) -> Option<u32> {
    stat(process)?.split_whitespace().nth(1)?.parse().ok()
}

/// /proc/PID/stat from the state on: the name in brackets before it may contain anything, but no
/// ')' follows that one.
fn stat(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.to_owned())
}

fn is_in_state(thread: i32, state: char) -> bool {
    u32::try_from(thread).ok().and_then(stat).is_some_and(|stat| stat.starts_with(state))
}

/// Where each thread of this process and its descendants sleeps in the kernel: shows what a hanging
/// test waits for.
#[must_use]
pub fn waiting() -> String {
    let mut text = String::new();
    for process in family(std::process::id()) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for task in tasks.flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let (comm, wchan) = (read("comm"), read("wchan"));
            let _ = write!(text, " {}[{process}]:{wchan}", comm.trim());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_is_awake() {
        // SAFETY: gettid takes nothing and cannot fail.
        assert!(!asleep(unsafe { libc::gettid() }));
        assert!(threads(std::process::id()) > 0 && !all_asleep(std::process::id()));
        assert!(!asleep(0));
    }

    #[test]
    fn a_process_has_a_size() {
        let size = status_kib(std::process::id(), "VmRSS").unwrap();
        assert!(size > 100, "{size} KiB");
        assert_eq!(status_kib(std::process::id(), "VmNone"), None);
    }

    #[test]
    fn a_child_is_of_the_family_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (own, its) = (std::process::id(), child.id());
        assert!(family(own).is_superset(&BTreeSet::from([own, its])));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!family(own).contains(&its) && !lives(its));
    }

    #[test]
    fn a_listener_is_counted_by_its_port() {
        let both = ["127.0.0.1:0", "[::1]:0"].map(std::net::TcpListener::bind);
        for listener in both.iter().flatten() {
            let port = listener.local_addr().unwrap().port();
            assert!(listening(std::process::id(), port) > 0, "{port}");
        }
    }
}
