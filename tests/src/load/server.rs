//! The threads that accept, in one of several ways, with a timestamp at the return of each accept.
//! They end without a trace: a signal wakes a thread that sleeps in accept(2), since a last
//! connection of our own would distort the count, and shutdown(2) would kill the queue.

use std::io::{Error, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Once};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use fastrand::Rng;
use socket2::{SockAddr, Socket};

use super::gate::Gate;
use super::judge::Accepted;
use super::listener::{Listeners, call_listen};
use super::options::{Accept, Options};
use super::prefork::{self, Worker};
use crate::clock::{mono_ns, wait_until};
use crate::epoll::Epoll;
use crate::{narrow, proc, socket, uring};

/// The longest wait for a connection: a signal ends it, so no thread wakes up just to check a flag,
/// which would distort a count of instructions.
const FOREVER: Duration = Duration::from_hours(1);
/// The time limit for threads to fall asleep or to end.
const LIMIT: Duration = Duration::from_secs(10);

/// When an event loop calls accept(2) again after a failure.
const RETRY: Duration = Duration::from_millis(100);

/// The running server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) gate: Arc<Gate>,
    threads: Vec<Thread>,
    keeper: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug)]
struct Thread {
    handle: JoinHandle<Result<Vec<Accepted>>>,
    /// The thread's ID, once it is about to wait for its first connection.
    waits: Arc<AtomicI32>,
    /// The process that accepts, if this thread only follows it.
    process: Option<libc::pid_t>,
}

impl Server {
    /// Starts the threads, unless nothing is accepted at all.
    pub(super) fn start(options: &Options, listeners: &Listeners) -> Result<Self> {
        install_alarm();
        let first = options.stall.map(|_| options.stall_after);
        let gate = Arc::new(Gate::new(first));
        let count = if options.no_accept { 0 } else { options.threads };
        if options.prefork {
            let threads = processes(count, options, listeners, &gate)?;
            return Ok(Self { gate, threads, keeper: None });
        }
        let threads = (0..count)
            .map(|number| {
                let waits = Arc::new(AtomicI32::new(0));
                let mut acceptor = Acceptor {
                    listener: listeners.of_thread(number),
                    gate: Arc::clone(&gate),
                    delay: options.accept_delay,
                    second_listen: options.second_listen(),
                    waits: Arc::clone(&waits),
                    how: options.accept,
                    stalls: Stalls::of(options, number),
                    ending: Ending {
                        after: options.ends_after(),
                        exhaust: options.exhaust_after.is_some(),
                    },
                    chance: options.delay_seed.map(|seed| Rng::with_seed(seed + number as u64)),
                    begun: Instant::now(),
                };
                Thread { handle: thread::spawn(move || acceptor.run()), waits, process: None }
            })
            .collect();
        let keeper = options.stall.map(|stall| {
            let (gate, listeners) = (Arc::clone(&gate), listeners.clone());
            thread::spawn(move || gate.keep_stall(&listeners, stall))
        });
        Ok(Self { gate, threads, keeper })
    }

    /// Waits until each thread sleeps where it waits for a connection.
    pub(super) fn await_asleep(&self) -> Result<()> {
        wait_until("server threads to sleep in accept", LIMIT, || {
            Ok(self.threads.iter().all(|thread| {
                let id = thread.waits.load(Ordering::Acquire);
                id != 0 && proc::asleep(id)
            }))
        })
    }

    /// Ends the threads; returns what each of them accepted.
    pub(super) fn stop(self) -> Result<Vec<Vec<Accepted>>> {
        let Self { gate, threads, keeper } = self;
        gate.end();
        threads.iter().filter_map(|thread| thread.process).for_each(prefork::kill);
        wait_until("server threads to end", LIMIT, || {
            for thread in threads.iter().filter(|t| !t.handle.is_finished()) {
                // SAFETY: the thread was not joined, so its handle is valid;
                // the signal has a handler that does nothing.
                unsafe { libc::pthread_kill(thread.handle.as_pthread_t(), libc::SIGUSR1) };
            }
            Ok(threads.iter().all(|thread| thread.handle.is_finished()))
        })?;
        if let Some(keeper) = keeper {
            keeper.join().map_err(|_| anyhow!("the stall's keeper panicked"))??;
        }
        threads
            .into_iter()
            .map(|thread| {
                let done = thread.handle.join();
                done.map_err(|_| anyhow!("a server thread panicked"))?
            })
            .collect()
    }
}

/// Forks the workers of a pre-fork server, all before the first thread starts.
fn processes(
    count: usize,
    options: &Options,
    listeners: &Listeners,
    gate: &Arc<Gate>,
) -> Result<Vec<Thread>> {
    let fork = |number| Worker::fork(&listeners.of_thread(number), options.accept_delay);
    let workers: Vec<Worker> = (0..count).map(fork).collect::<Result<_>>()?;
    let follow = |worker: Worker| {
        let (pid, gate) = (worker.pid, Arc::clone(gate));
        Thread {
            handle: thread::spawn(move || worker.follow(&gate)),
            waits: Arc::new(AtomicI32::new(pid)),
            process: Some(pid),
        }
    };
    Ok(workers.into_iter().map(follow).collect())
}

/// The data of one thread.
struct Acceptor {
    listener: Arc<Socket>,
    gate: Arc<Gate>,
    delay: Duration,
    /// The number of accepts before listening again, and the new backlog.
    second_listen: Option<(u64, i32)>,
    waits: Arc<AtomicI32>,
    how: Accept,
    stalls: Stalls,
    ending: Ending,
    /// If set, the pause varies and is only the mean.
    chance: Option<Rng>,
    begun: Instant,
}

/// When a server stops accepting, and how.
#[derive(Clone, Copy, Debug)]
struct Ending {
    after: Option<u64>,
    /// It still calls accept(2), which fails because no file descriptor is left.
    exhaust: bool,
}

/// The repeated periods in which nobody accepts.
#[derive(Clone, Copy, Debug)]
struct Stalls {
    every: Duration,
    long: Duration,
}

impl Stalls {
    fn of(options: &Options, thread: usize) -> Self {
        if options.stall_thread.is_some_and(|only| only != thread) {
            return Self { every: Duration::ZERO, long: Duration::ZERO };
        }
        let (every, long) = (options.stall_every, options.stall_for);
        Self { every: every.unwrap_or_default(), long: long.unwrap_or_default() }
    }

    /// The rest of a stall, at this time after the start.
    fn left(self, since: Duration) -> Duration {
        let Self { every, long } = self;
        if every.is_zero() || since < every {
            return Duration::ZERO;
        }
        let within = Duration::from_secs_f64(since.as_secs_f64() % every.as_secs_f64());
        long.saturating_sub(within)
    }
}

impl Acceptor {
    fn run(&mut self) -> Result<Vec<Accepted>> {
        let mut taken = Vec::new();
        let epoll = (self.how == Accept::Epoll).then(|| self.epoll());
        let epoll = epoll.transpose().context("cannot use epoll")?;
        let ring = self.how.uring().map(|way| uring::Acceptor::new(&*self.listener, way));
        let mut ring = ring.transpose().context("cannot use io_uring")?;
        while self.gate.pass() {
            self.gate.pause(self.stalls.left(self.begun.elapsed()));
            // A permission is used by one accept, however many attempts that takes.
            let Some(accepted) = self.take_one(epoll.as_ref(), ring.as_mut())? else {
                break;
            };
            taken.push(accepted);
            let count = self.gate.count();
            if let Some((at, backlog)) = self.second_listen
                && at == count
            {
                call_listen(&self.listener, backlog, self.how).context("cannot listen again")?;
            }
            let pause = self.pause();
            self.gate.pause(pause);
            if self.ending.after.is_some_and(|after| count >= after) {
                taken.extend(late(ring.as_mut())?);
                self.end(ring.as_mut())?;
            }
        }
        taken.extend(late(ring.as_mut())?);
        Ok(taken)
    }

    /// Pauses after an accept.
    fn pause(&mut self) -> Duration {
        let share = self.chance.as_mut().map_or(1.0, |chance| -(1.0 - chance.f64()).ln());
        self.delay.mul_f64(share)
    }

    /// Accepts nothing more until the run is over.
    fn end(&self, mut ring: Option<&mut uring::Acceptor>) -> Result<()> {
        if !self.ending.exhaust {
            self.gate.pause(FOREVER);
            return Ok(());
        }
        let _all = socket::take_all_descriptors().context("cannot take all file descriptors")?;
        while !self.gate.over() {
            let result = match ring.as_deref_mut() {
                Some(ring) => ring.accept().map(|accepted| accepted.is_some()),
                None => self.call().map(|_| true),
            };
            match result {
                Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {}
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error).context("accept"),
                Ok(false) => {}
                Ok(true) => bail!("accept() has found a file descriptor"),
            }
            self.gate.pause(RETRY);
        }
        Ok(())
    }

    /// Waits for a connection; None if the run is over.
    fn take_one(
        &self,
        epoll: Option<&Epoll>,
        mut ring: Option<&mut uring::Acceptor>,
    ) -> Result<Option<Accepted>> {
        while !self.gate.over() {
            // SAFETY: gettid takes nothing and cannot fail.
            self.waits.store(unsafe { libc::gettid() }, Ordering::Release);
            if let Some(ring) = ring.as_deref_mut() {
                match ring.accept() {
                    Err(error) if passing(&error) => {}
                    Err(error) => return Err(error).context("accept by io_uring"),
                    Ok(Some((connection, accepted_ns))) => {
                        let (connection, peer) = with_peer(connection)?;
                        return received(&connection, &peer, accepted_ns).map(Some);
                    }
                    Ok(None) => {}
                }
                continue;
            }
            match self.how {
                // Try first: under load, there is no need to wait.
                Accept::Nonblocking => {
                    if let Some(accepted) = self.accept()? {
                        return Ok(Some(accepted));
                    }
                    socket::readable(&self.listener, FOREVER).context("poll")?;
                }
                Accept::Epoll => {
                    let ready = epoll.map(|epoll| epoll.wait(FOREVER)).transpose();
                    if ready.context("epoll_wait")?.is_none_or(|ready| ready.is_empty()) {
                        continue;
                    }
                }
                // These sleep in the accept itself.
                _ => {}
            }
            if let Some(accepted) = self.accept()? {
                return Ok(Some(accepted));
            }
        }
        Ok(None)
    }

    /// Calls accept(2) and takes the time before anything else. The connection is closed once the
    /// client's data is read (otherwise it would be reset).
    fn accept(&self) -> Result<Option<Accepted>> {
        let result = self.call();
        let accepted_ns = mono_ns();
        match result {
            Ok((connection, peer)) => received(&connection, &peer, accepted_ns).map(Some),
            Err(error) if passing(&error) => Ok(None),
            Err(error) => Err(error).context("accept"),
        }
    }

    /// The system call, as a 64-bit or 32-bit program makes it.
    fn call(&self) -> std::io::Result<(Socket, SockAddr)> {
        match self.how.narrow() {
            Some(way) => with_peer(narrow::accept(&*self.listener, way)?),
            None => self.listener.accept(),
        }
    }

    fn epoll(&self) -> std::io::Result<Epoll> {
        let epoll = Epoll::new()?;
        // Exclusive, so that one connection wakes one thread.
        epoll.add(&*self.listener, libc::EPOLLIN | libc::EPOLLEXCLUSIVE, 0)?;
        Ok(epoll)
    }
}

/// Cancels the request to `io_uring`; returns what it has accepted in the meantime.
fn late(ring: Option<&mut uring::Acceptor>) -> Result<Vec<Accepted>> {
    let Some(ring) = ring else { return Ok(Vec::new()) };
    let late = ring.take_back().context("cannot end an accept by io_uring")?;
    let one = |connection| {
        let (connection, peer) = with_peer(connection)?;
        received(&connection, &peer, mono_ns())
    };
    late.into_iter().map(one).collect()
}

/// A connection and its client. (If the client has reset it, the client is no longer known.)
fn with_peer(connection: OwnedFd) -> std::io::Result<(Socket, SockAddr)> {
    let connection = Socket::from(connection);
    let peer = connection.peer_addr()?;
    Ok((connection, peer))
}

/// Closes a connection once the client's data is read.
fn received(connection: &Socket, peer: &SockAddr, accepted_ns: u64) -> Result<Accepted> {
    let mut byte = [MaybeUninit::uninit(); 16];
    let _ = connection.recv_with_flags(&mut byte, libc::MSG_DONTWAIT);
    let peer = peer.as_socket().context("a client without an address")?;
    Ok(Accepted { peer: (peer.ip().to_canonical(), peer.port()).into(), accepted_ns })
}

/// Is it an error to retry after?
fn passing(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
    )
}

/// Installs a handler that does nothing, without `SA_RESTART`, so that accept(2) returns.
fn install_alarm() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: an all-zero sigaction is valid (no flags, empty mask); the
        // handler does nothing, so it is safe in any context.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        }
    });
}
