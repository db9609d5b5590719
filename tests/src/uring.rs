//! Accepts by `io_uring(7)`, in each way that makes a difference in the kernel.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Result};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode};
use libc::c_int;

use crate::clock::mono_ns;

/// Entries of a ring: an accept, and its cancellation.
const ENTRIES: u32 = 8;
/// The user data of completions.
const ACCEPT: u64 = 1;
const OTHER: u64 = 2;

/// How connections are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A request for each: completed immediately, or in the thread that submitted it when a client
    /// connects.
    Single,
    /// One request for all of them.
    Multishot,
    /// A request for each, done by a thread of the kernel's pool (io-wq).
    Pool,
}

/// May this process use it, and does the kernel support this way?
///
/// # Errors
/// With the reason why not.
pub fn works(way: Way) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut acceptor = Acceptor::new(&listener, way)?;
    acceptor.arm()?;
    acceptor.ring.submit()?;
    // The request either fails immediately, or waits for a client and is then cancelled.
    match acceptor.take_back() {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            Err(Error::other("this kernel knows no multishot accept (before 5.19)"))
        }
        taken => taken.map(drop),
    }
}

/// A connection, and the time of its completion on `CLOCK_MONOTONIC`.
pub type Accepted = (OwnedFd, u64);

/// A ring of one thread that accepts on one listener.
pub struct Acceptor {
    ring: IoUring,
    listener: RawFd,
    way: Way,
    armed: bool,
    ready: VecDeque<Accepted>,
}

impl Acceptor {
    /// Creates the ring. The listener must outlive it.
    ///
    /// # Errors
    /// When `io_uring` is not available here.
    pub fn new(listener: &impl AsRawFd, way: Way) -> Result<Self> {
        let listener = listener.as_raw_fd();
        let ring = ring()?;
        Ok(Self { ring, listener, way, armed: false, ready: VecDeque::new() })
    }

    /// Waits for a connection. None: a signal has arrived, or there was nothing to accept.
    ///
    /// # Errors
    /// The error of the request.
    pub fn accept(&mut self) -> Result<Option<Accepted>> {
        if let Some(ready) = self.ready.pop_front() {
            return Ok(Some(ready));
        }
        if !self.armed {
            self.arm()?;
        }
        match self.ring.submit_and_wait(1) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(None),
            other => other?,
        };
        self.take()?;
        Ok(self.ready.pop_front())
    }

    /// Cancels the request until the next accept; returns the connections that it has accepted in
    /// the meantime.
    ///
    /// # Errors
    /// The error of the request.
    pub fn take_back(&mut self) -> Result<Vec<OwnedFd>> {
        self.take()?;
        if self.armed {
            push(&mut self.ring, &opcode::AsyncCancel::new(ACCEPT).build().user_data(OTHER))?;
            while self.armed {
                match self.ring.submit_and_wait(1) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    other => drop(other?),
                }
                self.take()?;
            }
        }
        Ok(self.ready.drain(..).map(|(connection, _)| connection).collect())
    }

    fn arm(&mut self) -> Result<()> {
        let listener = Fd(self.listener);
        let (none, flags) = (std::ptr::null_mut(), libc::SOCK_CLOEXEC);
        let entry = match self.way {
            Way::Single => opcode::Accept::new(listener, none, none.cast()).flags(flags).build(),
            Way::Multishot => opcode::AcceptMulti::new(listener).flags(flags).build(),
            Way::Pool => {
                let accept = opcode::Accept::new(listener, none, none.cast());
                accept.flags(flags).build().flags(Flags::ASYNC)
            }
        };
        push(&mut self.ring, &entry.user_data(ACCEPT))?;
        self.armed = true;
        Ok(())
    }

    /// Processes completions.
    fn take(&mut self) -> Result<()> {
        let now = mono_ns();
        let done: Vec<_> = self.ring.completion().collect();
        let mut failed = Ok(());
        for one in done.iter().filter(|one| one.user_data() == ACCEPT) {
            self.armed = cqueue::more(one.flags());
            match one.result() {
                // SAFETY: the kernel has just made it, and nobody else knows of it.
                new @ 0.. => self.ready.push_back((unsafe { OwnedFd::from_raw_fd(new) }, now)),
                // It was cancelled; 5.10 instead interrupts a worker that sleeps in it.
                error if [libc::ECANCELED, libc::EINTR].contains(&-error) => {}
                error => failed = Err(Error::from_raw_os_error(-error)),
            }
        }
        failed
    }
}

/// Calls listen(2) by a request.
///
/// # Errors
/// When the kernel refuses: before 6.11 it has no such request.
pub fn listen(socket: &impl AsRawFd, backlog: c_int) -> Result<()> {
    let mut ring = ring()?;
    let entry = opcode::Listen::new(Fd(socket.as_raw_fd()), backlog).build();
    once(&mut ring, &entry).map(drop)
}

/// A table of registered files, into which connections are accepted without a descriptor.
pub struct Registered {
    ring: IoUring,
}

impl Registered {
    /// Creates the table.
    ///
    /// # Errors
    /// When `io_uring` is not available here.
    pub fn new() -> Result<Self> {
        let ring = ring()?;
        ring.submitter().register_files(&[-1])?;
        Ok(Self { ring })
    }

    /// Accepts one connection, and closes it.
    ///
    /// # Errors
    /// The error of a request: before 5.15 the kernel has no such accept.
    pub fn accept_and_close(&mut self, listener: &impl AsRawFd) -> Result<()> {
        let place =
            DestinationSlot::try_from_slot_target(0).map_err(|_| ErrorKind::InvalidInput)?;
        let listener = Fd(listener.as_raw_fd());
        let none = std::ptr::null_mut();
        let accept = opcode::Accept::new(listener, none, none.cast()).file_index(Some(place));
        once(&mut self.ring, &accept.build())?;
        once(&mut self.ring, &opcode::Close::new(Fixed(0)).build()).map(drop)
    }
}

fn ring() -> Result<IoUring> {
    IoUring::new(ENTRIES).map_err(|error| {
        let why = match error.raw_os_error() {
            Some(libc::ENOSYS) => "this kernel has no io_uring (CONFIG_IO_URING)",
            Some(libc::EPERM) => "io_uring is not permitted (kernel.io_uring_disabled)",
            _ => return error,
        };
        Error::other(why)
    })
}

/// Submits a request and waits for its completion.
fn once(ring: &mut IoUring, entry: &Entry) -> Result<c_int> {
    push(ring, &entry.clone().user_data(OTHER))?;
    ring.submit_and_wait(1)?;
    let done = ring.completion().next().ok_or(ErrorKind::Interrupted)?.result();
    if done < 0 { Err(Error::from_raw_os_error(-done)) } else { Ok(done) }
}

fn push(ring: &mut IoUring, entry: &Entry) -> Result<()> {
    // SAFETY: none of our requests points to memory, and their files outlive them.
    unsafe { ring.submission().push(entry) }.map_err(Error::other)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn each_way_accepts_and_can_be_taken_back() {
        for way in [Way::Single, Way::Multishot, Way::Pool] {
            if let Err(error) = works(way) {
                println!("absent: {way:?}: {error}");
                continue;
            }
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut acceptor = Acceptor::new(&listener, way).unwrap();
            for _ in 0..3 {
                let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (accepted, _) = acceptor.accept().unwrap().unwrap();
                let accepted = TcpStream::from(accepted);
                assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
            }
            assert!(acceptor.take_back().unwrap().is_empty());
        }
    }
}
