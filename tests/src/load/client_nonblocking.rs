//! Clients that do not wait: one thread starts connects on schedule, and learns from epoll which of
//! them have completed.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::Socket;

use super::client::{Tally, begin, finish, open};
use super::hold::Hold;
use super::judge::Connected;
use super::listener::local;
use super::options::Options;
use super::pacer::Pacer;
use crate::clock::mono_ns;
use crate::epoll::Epoll;

/// Runs one thread's clients.
pub(super) fn run(
    options: &Options,
    server: SocketAddr,
    pacer: &Pacer,
    hold: &Hold,
) -> Result<Tally> {
    let mut air = Air {
        options,
        server,
        hold,
        epoll: Epoll::new().context("cannot use epoll")?,
        flights: HashMap::new(),
        deadlines: VecDeque::new(),
        begun: 0,
        tally: Tally::default(),
    };
    let mut next = pacer.claim();
    while next.is_some() || !air.flights.is_empty() {
        let now = Instant::now();
        if next.is_some_and(|due| due <= now) {
            air.begin();
            next = pacer.claim();
        }
        air.give_up(now, pacer.until);
        let until_next = next.map(|due| due.saturating_duration_since(Instant::now()));
        air.land(air.longest_sleep(until_next, pacer.until))?;
    }
    Ok(air.tally)
}

/// The connects in flight.
struct Air<'a> {
    options: &'a Options,
    server: SocketAddr,
    hold: &'a Hold,
    epoll: Epoll,
    flights: HashMap<u64, Flight>,
    /// All may take the same time, so the oldest is always at the front.
    deadlines: VecDeque<(Instant, u64)>,
    begun: u64,
    tally: Tally,
}

struct Flight {
    socket: Socket,
    local: SocketAddr,
    started_ns: u64,
}

impl Air<'_> {
    /// Starts a connect.
    fn begin(&mut self) {
        self.tally.counts.tried += 1;
        let started_ns = mono_ns();
        let begun = open(self.options, self.server).and_then(|socket| {
            socket.set_nonblocking(true)?;
            match begin(self.options, &socket, self.server) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                _ => Ok((local(&socket)?, socket)),
            }
        });
        let (local, socket) = match begun {
            Ok(begun) => begun,
            Err(error) => return self.tally.failed(&error, None),
        };
        self.begun += 1;
        // If it has completed already, epoll reports it immediately.
        match self.epoll.add(&socket, libc::EPOLLOUT | libc::EPOLLONESHOT, self.begun) {
            Ok(()) => {
                let deadline = Instant::now() + self.options.connect_timeout;
                self.deadlines.push_back((deadline, self.begun));
                self.flights.insert(self.begun, Flight { socket, local, started_ns });
            }
            Err(error) => self.tally.failed(&error, Some(local)),
        }
    }

    /// Processes the connects that have completed or failed, after waiting for at most `limit`.
    fn land(&mut self, limit: Duration) -> Result<()> {
        let landed = self.epoll.wait(limit).context("epoll_wait")?;
        let done_ns = mono_ns();
        for number in landed {
            let Some(flight) = self.flights.remove(&number) else {
                continue;
            };
            let Flight { socket, local, started_ns } = flight;
            let outcome = match socket.take_error() {
                Ok(None) => finish(self.options, &socket),
                Ok(Some(error)) | Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => {
                    self.tally.succeeded(Connected { local, started_ns, done_ns });
                    self.hold.keep(socket);
                }
                Err(error) => self.tally.failed(&error, Some(local)),
            }
        }
        Ok(())
    }

    /// Gives up connects that have taken too long, or all of them when the time is over.
    fn give_up(&mut self, now: Instant, until: Option<Instant>) {
        while let Some(&(deadline, number)) = self.deadlines.front() {
            if deadline > now && self.flights.contains_key(&number) {
                break;
            }
            self.deadlines.pop_front();
            if let Some(flight) = self.flights.remove(&number) {
                self.tally.timed_out(Some(flight.local));
            }
        }
        if until.is_some_and(|until| until <= now) {
            for (_, flight) in self.flights.drain() {
                self.tally.counts.pending += 1;
                self.tally.unanswered.push(flight.local);
            }
        }
    }

    /// The time until the next thing to do: a connect, a deadline or the end.
    fn longest_sleep(&self, until_next: Option<Duration>, until: Option<Instant>) -> Duration {
        let now = Instant::now();
        let left = |end: Instant| end.saturating_duration_since(now);
        let deadline = self.deadlines.front().map(|(end, _)| left(*end));
        [until_next, deadline, until.map(left)].into_iter().flatten().min().unwrap_or_default()
    }
}
