//! Runs a program isolated from this machine: in a network namespace that vanishes with it, and in
//! a session of its own, whose processes all end when it is done or interrupted. Nothing else on
//! the machine is affected.

mod processes;
mod signals;

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::process;
use signals::Held;

/// How often to check whether the program has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Are we root? Nothing in this module works otherwise.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing, changes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Makes the command run in a new network namespace with loopback up.
pub(crate) fn own_network(command: &mut Command) {
    // SAFETY: between fork and exec only system calls are made, and nothing is
    // allocated: the errors hold a number.
    unsafe {
        command.pre_exec(|| {
            if libc::unshare(libc::CLONE_NEWNET) != 0 {
                return Err(io::Error::last_os_error());
            }
            loopback_up()
        });
    }
}

/// Brings up `lo` in the current network namespace.
fn loopback_up() -> io::Result<()> {
    // Any socket will do for the ioctls on the namespace's interfaces.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: ifreq is integers and byte arrays: all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let ioctl = |call: libc::Ioctl, request: &mut libc::ifreq| {
        // SAFETY: both calls made here work on an ifreq, and this one is alive.
        match unsafe { libc::ioctl(socket.as_raw_fd(), call, std::ptr::from_mut(request)) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    ioctl(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS has just filled this member of the union.
    request.ifr_ifru.ifru_flags = unsafe { request.ifr_ifru.ifru_flags } | UP;
    ioctl(libc::SIOCSIFFLAGS, &mut request)
}

/// `IFF_UP` in the width of the flags.
#[expect(clippy::cast_possible_truncation, reason = "IFF_UP is 1; TryFrom is not const")]
const UP: libc::c_short = libc::IFF_UP as libc::c_short;

/// How a program with a time limit ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It ended by itself.
    Status(ExitStatus),
    /// It was killed at the limit.
    TimedOut,
}

/// Runs the command in a network namespace and session of its own until it ends or the limit is
/// over. Everything that it leaves behind is killed. Ctrl-C kills all of it, and this process.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<End> {
    own_network(command);
    let held = Held::hold()?;
    own_session(command);
    let child = command.spawn().with_context(|| {
        format!("cannot run apart from this machine: {}", process::line(command))
    })?;
    let mut session = Session(child);
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = session.0.try_wait().context("cannot wait for a program")? {
            return Ok(End::Status(status));
        }
        if let Some(signal) = held.came() {
            drop(session);
            held.die_of(signal);
        }
        thread::sleep(LOOK);
    }
    Ok(End::TimedOut)
}

/// Makes the command run in a session of its own, whose first process dies with us.
fn own_session(command: &mut Command) {
    // SAFETY: as above.
    unsafe {
        let parent = libc::getpid();
        command.pre_exec(move || {
            if libc::setsid() == -1 || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // We may have died before the call above.
            if libc::getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

/// The first process of a session. Dropping it kills all processes of the session.
struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        // The session ID cannot be reused until the first process is reaped and all others have
        // ended.
        processes::kill_session(self.0.id());
        // The process may have ended already.
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::{End, is_root, run};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    use std::{env, fs, thread};

    #[test]
    fn nothing_is_left_after_the_limit() {
        if !is_root() {
            println!("not root: cannot create a network namespace");
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let script = "sleep 60 & echo $! >\"$0\"; cat /proc/net/dev >>\"$0\"; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(file.path()).stdin(Stdio::null());
        let start = Instant::now();
        let end = run(&mut command, Duration::from_millis(500)).unwrap();
        assert!(matches!(end, End::TimedOut), "{end:?}");
        assert!(start.elapsed() < Duration::from_secs(20));
        let said = fs::read_to_string(file.path()).unwrap();
        assert_ended(said.lines().next().unwrap());
        assert!(said.contains("lo:") && !said.contains("eth0"), "{said}");
    }

    #[track_caller]
    fn assert_ended(pid: &str) {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    /// Runs this test again in another process, which a signal can kill.
    #[test]
    fn a_signal_ends_what_was_started_and_us() {
        const FILE: &str = "XTASK_APART_FILE";
        if !is_root() {
            println!("not root: cannot create a network namespace");
            return;
        }
        if let Some(file) = env::var_os(FILE) {
            let mut command = Command::new("sh");
            command.args(["-c", "sleep 60 & echo $! >\"$0\"; wait"]).arg(file);
            run(&mut command, Duration::from_mins(1)).unwrap();
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "apart::tests::a_signal_ends_what_was_started_and_us"])
            .env(FILE, file.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let limit = Instant::now() + Duration::from_secs(20);
        let mut said = String::new();
        while !said.ends_with('\n') && Instant::now() < limit {
            thread::sleep(Duration::from_millis(10));
            said = fs::read_to_string(file.path()).unwrap();
        }
        let pid = libc::pid_t::try_from(child.id()).unwrap();
        // SAFETY: kill takes numbers; the child has not been waited for, so the number is its own.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
        assert_ended(said.trim());
    }

    #[test]
    fn the_status_is_passed_on() {
        if !is_root() {
            println!("not root: cannot create a network namespace");
            return;
        }
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        let end = run(&mut command, Duration::from_secs(20)).unwrap();
        assert!(matches!(end, End::Status(status) if status.code() == Some(3)), "{end:?}");
    }
}
