//! Workers as processes, forked before the clients connect, as in a pre-fork server. Each accepts
//! from the inherited listener and reports its accepts through a pipe.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::FromRawFd as _;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use socket2::Socket;

use super::gate::Gate;
use super::judge::Accepted;
use crate::clock::mono_ns;

/// The size of an accept in the pipe: time, address, port.
const BYTES: usize = 8 + 16 + 2;

/// A forked worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) pid: libc::pid_t,
    reports: File,
}

impl Worker {
    /// Forks a worker that accepts until it is killed.
    ///
    /// Must be called while the process has only one thread, since the fork contains only the
    /// calling one.
    pub(super) fn fork(listener: &Arc<Socket>, delay: Duration) -> Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: the array has room for the two descriptors.
        let result = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
        ensure!(result == 0, "cannot create a pipe: {}", Error::last_os_error());
        // SAFETY: pipe2 has just made both descriptors, and nobody else has them.
        let (reports, reporter) =
            unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
        // SAFETY: this process has one thread, so the child has all of it.
        match unsafe { libc::fork() } {
            -1 => Err(Error::last_os_error()).context("cannot fork a worker"),
            0 => {
                drop(reports);
                let failed = serve(listener, delay, reporter).is_err();
                // SAFETY: ends this process without its parent's destructors.
                unsafe { libc::_exit(i32::from(failed)) }
            }
            pid => Ok(Self { pid, reports }),
        }
    }

    /// Reads its reports until it is killed, and reaps it.
    pub(super) fn follow(mut self, gate: &Gate) -> Result<Vec<Accepted>> {
        let mut taken = Vec::new();
        let mut report = [0; BYTES];
        loop {
            match self.reports.read_exact(&mut report) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error).context("reading what a worker reports"),
            }
            taken.push(decode(&report));
            gate.count();
        }
        let status = reap(self.pid)?;
        ensure!(libc::WIFSIGNALED(status), "a worker ended by itself: status {status:#x}");
        Ok(taken)
    }
}

/// Waits for a worker's end. The signals that wake the threads at the end interrupt this.
fn reap(pid: libc::pid_t) -> Result<libc::c_int> {
    let mut status = 0;
    // SAFETY: a child of this process that nobody else waits for, and a place for its status.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid {
        let error = Error::last_os_error();
        ensure!(error.kind() == ErrorKind::Interrupted, "cannot reap a worker: {error}");
    }
    Ok(status)
}

/// Kills a worker that has not been reaped yet.
pub(super) fn kill(pid: libc::pid_t) {
    // SAFETY: sends a signal; the process is a child that was not waited for, so its id is its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn serve(listener: &Socket, delay: Duration, mut reporter: File) -> Result<()> {
    // SAFETY: asks for a signal when the parent ends; takes plain numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    loop {
        let result = listener.accept();
        let accepted_ns = mono_ns();
        let (_connection, peer) = match result {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let peer = peer.as_socket().context("a client without an address")?;
        reporter.write_all(&encode(&Accepted { peer, accepted_ns }))?;
        thread::sleep(delay);
    }
}

fn encode(accepted: &Accepted) -> [u8; BYTES] {
    let mut report = [0; BYTES];
    let ip = match accepted.peer.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    report[..8].copy_from_slice(&accepted.accepted_ns.to_ne_bytes());
    report[8..24].copy_from_slice(&ip.octets());
    report[24..].copy_from_slice(&accepted.peer.port().to_ne_bytes());
    report
}

fn decode(report: &[u8; BYTES]) -> Accepted {
    let (mut time, mut ip, mut port) = ([0; 8], [0; 16], [0; 2]);
    time.copy_from_slice(&report[..8]);
    ip.copy_from_slice(&report[8..24]);
    port.copy_from_slice(&report[24..]);
    let ip = IpAddr::V6(Ipv6Addr::from(ip)).to_canonical();
    Accepted {
        peer: SocketAddr::new(ip, u16::from_ne_bytes(port)),
        accepted_ns: u64::from_ne_bytes(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        for peer in ["127.0.0.1:4711", "[::1]:65535"] {
            let accepted = Accepted { peer: peer.parse().unwrap(), accepted_ns: u64::MAX - 7 };
            let read = decode(&encode(&accepted));
            assert_eq!((read.peer, read.accepted_ns), (accepted.peer, accepted.accepted_ns));
        }
    }
}
