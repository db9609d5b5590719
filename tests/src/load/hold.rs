//! Controls when clients close: immediately, after a while, or at the end of the run. Counts
//! connections that were reset by then.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::Socket;

use super::options::Options;

/// Holds the clients' connections.
#[derive(Debug)]
pub(super) struct Hold {
    resets: Arc<AtomicU64>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Now,
    Later { time: Duration, to: Sender<(Instant, Socket)>, closer: JoinHandle<()> },
    End(Mutex<Vec<Socket>>),
}

impl Hold {
    /// Creates a holder with these options.
    pub(super) fn new(options: &Options) -> Self {
        let resets = Arc::new(AtomicU64::new(0));
        let way = if options.hold_to_end {
            Way::End(Mutex::default())
        } else if options.hold.is_zero() {
            Way::Now
        } else {
            later(options.hold, Arc::clone(&resets))
        };
        Self { resets, way }
    }

    /// Takes over a connection.
    pub(super) fn keep(&self, socket: Socket) {
        match &self.way {
            Way::Now => close(socket, &self.resets),
            // The closer lives until `finish`. If it were gone, the error would contain the socket,
            // and this would close it.
            Way::Later { time, to, .. } => drop(to.send((Instant::now() + *time, socket))),
            Way::End(all) => all.lock().unwrap_or_else(PoisonError::into_inner).push(socket),
        }
    }

    /// Closes the remaining ones, each at its time; returns how many had been reset.
    pub(super) fn finish(self) -> u64 {
        let Self { resets, way } = self;
        match way {
            Way::Now => {}
            Way::Later { to, closer, .. } => {
                drop(to);
                // It cannot panic, since it only sleeps and closes.
                let _ = closer.join();
            }
            Way::End(all) => {
                for socket in all.into_inner().unwrap_or_else(PoisonError::into_inner) {
                    close(socket, &resets);
                }
            }
        }
        resets.load(Ordering::Relaxed)
    }
}

/// All are held for the same time, so one thread closes them in order of arrival.
fn later(time: Duration, resets: Arc<AtomicU64>) -> Way {
    let (to, from) = channel::<(Instant, Socket)>();
    let closer = thread::spawn(move || {
        for (due, socket) in from {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            close(socket, &resets);
        }
    });
    Way::Later { time, to, closer }
}

fn close(socket: Socket, resets: &AtomicU64) {
    let reset = socket.take_error().ok().flatten().is_some_and(|error| {
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
    });
    resets.fetch_add(u64::from(reset), Ordering::Relaxed);
    drop(socket);
}
