//! Runs in the forked process: starts commands, ends those that run for too long, and reports how
//! each one ended. It has a single thread, which sleeps until the next event, end of a command, or
//! deadline.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, setpgid};
use rustix::stdio::{dup2_stdin, dup2_stdout};

use super::{LONGEST, Report};
use crate::commands::trace::child::{Group, passing};
use crate::commands::trace::on_event::GRACE;

/// See the module documentation.
pub(super) struct Commands {
    text: String,
    limit: Duration,
    running: Vec<Running>,
    /// The signals that the caller had blocked; the command starts with the same mask.
    blocked: libc::sigset_t,
    /// The run is over.
    ending: bool,
}

/// A running command with all processes of its group.
struct Running {
    group: Group,
    /// When to stop it, and after that when to kill it.
    until: Instant,
    /// Why SIGTERM was sent, if it was.
    stopped: Option<Report>,
}

impl Commands {
    /// Detaches the process from the terminal's signals and from the tool's stdin and stdout, whose
    /// readers wait for end of file. It blocks the signals that end the tool: the tool then ends
    /// this process.
    pub(super) fn prepare(text: &str, limit: Duration) -> io::Result<Self> {
        setpgid(None, None)?;
        dup2_stdin(File::open("/dev/null")?)?;
        dup2_stdout(File::create("/dev/null")?)?;
        let blocked = block_signals()?;
        Ok(Self { text: text.to_owned(), limit, running: Vec::new(), blocked, ending: false })
    }

    /// Runs until the tool has closed its end of the line and all commands have ended.
    pub(super) fn run(mut self, line: &OwnedFd) -> io::Result<()> {
        while !(self.ending && self.running.is_empty()) {
            if self.wait(line)? {
                self.receive(line);
            }
            self.end_running(line);
        }
        Ok(())
    }

    /// Waits for an event, the end of a command, or the next deadline. Returns whether there is an
    /// event.
    fn wait(&self, line: &OwnedFd) -> io::Result<bool> {
        let leaders = self.running.iter().map(|running| running.group.leader());
        let mut polled: Vec<PollFd<'_>> =
            leaders.map(|leader| PollFd::from_borrowed_fd(leader, PollFlags::IN)).collect();
        if !self.ending {
            polled.push(PollFd::new(line, PollFlags::IN));
        }
        let next = self.running.iter().map(|running| running.until).min();
        let left = next.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut polled, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(!self.ending && polled.last().is_some_and(|line| !line.revents().is_empty()))
    }

    /// Starts the command. Its stdin is a pipe that already holds the whole event, so nobody waits
    /// for it to be read.
    fn start(&self, event: &[u8], stderr: OwnedFd) -> io::Result<Group> {
        let (reader, mut writer) = io::pipe()?;
        ioctl_fionbio(&writer, true)?;
        writer.write_all(event)?;
        drop(writer);
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.text])
            .stdin(reader)
            .stdout(Stdio::from(stderr.try_clone()?))
            .stderr(Stdio::from(stderr))
            .process_group(0);
        let blocked = self.blocked;
        // SAFETY: between fork and exec there is one system call, with memory of the fork's own.
        unsafe { command.pre_exec(move || set_blocked(&blocked)) };
        let mut child = command.spawn()?;
        // The child is not reaped before this, so the number is its own.
        let leader = Pid::from_child(&child);
        match pidfd_open(leader, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Group::new(leader, pidfd)),
            Err(error) => {
                let _ = child.kill().and_then(|()| child.wait());
                Err(error.into())
            }
        }
    }

    fn receive(&mut self, line: &OwnedFd) {
        let mut event = vec![0; LONGEST];
        let Ok(Some((size, stderr))) = passing::receive(line, &mut event) else {
            // The tool has ended or is stopping.
            self.ending = true;
            self.running.iter_mut().for_each(|running| running.stop(Report::Stopped));
            return;
        };
        match self.start(event.get(..size).unwrap_or_default(), stderr) {
            Ok(group) => {
                let until = Instant::now() + self.limit;
                self.running.push(Running { group, until, stopped: None });
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                report(line, Report::NotStarted(errno));
            }
        }
    }

    /// Reports commands that have ended, kills what is left of their groups, and stops those that
    /// have run too long.
    fn end_running(&mut self, line: &OwnedFd) {
        let now = Instant::now();
        self.running.retain_mut(|running| {
            let ended = match running.group.ended() {
                Ok(Some(end)) => match (end.exit_code, end.signal) {
                    (Some(status), _) => Report::Exited(status),
                    (None, signal) => Report::Signalled(signal.unwrap_or(0)),
                },
                // Nothing more can be found out about it.
                Err(_) => Report::Signalled(0),
                Ok(None) if now < running.until => return true,
                Ok(None) if running.stopped.is_none() => {
                    running.stop(Report::TooLong);
                    return true;
                }
                Ok(None) => Report::TooLong,
            };
            running.group.kill();
            report(line, running.stopped.unwrap_or(ended));
            false
        });
    }
}

impl Running {
    /// Asks the command to end.
    fn stop(&mut self, why: Report) {
        if self.stopped.is_none() {
            self.stopped = Some(why);
            self.until = Instant::now() + GRACE;
            self.group.signal(Signal::TERM);
        }
    }
}

/// Sends a report without waiting. The tool does not wait for a command, so a lost report does no
/// harm.
fn report(line: &OwnedFd, report: Report) {
    let _ = send(line, &report.bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Blocks the signals that end the tool, and returns the previous mask: a program that the standard
/// library starts inherits the mask.
fn block_signals() -> io::Result<libc::sigset_t> {
    // SAFETY: both sets are filled before they are read, and all calls only read or write them.
    let (done, before) = unsafe {
        let mut before = std::mem::zeroed();
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut before);
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            libc::sigaddset(&raw mut set, signal);
        }
        (libc::sigprocmask(libc::SIG_BLOCK, &raw const set, &raw mut before), before)
    };
    if done == 0 { Ok(before) } else { Err(io::Error::last_os_error()) }
}

/// Sets the signal mask.
fn set_blocked(signals: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the call only reads the set.
    let done = unsafe { libc::sigprocmask(libc::SIG_SETMASK, signals, std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
