//! Clients that come all the time, one after the other, while a server ends and another one
//! comes: whoever is refused just tries again.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::clock::wait_until;

/// Longest time for a client: it may be the one that a server is started for.
const LIMIT: Duration = Duration::from_mins(1);
/// Between two clients: some hundred a second are enough.
const PAUSE: Duration = Duration::from_millis(2);

/// The clients; they stop when this is dropped.
#[derive(Debug)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Clients {
    /// Lets them come to a port of 127.0.0.1 in the calling thread's network namespace.
    #[must_use]
    pub fn start(port: u16) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                if answers(port).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(PAUSE);
            }
        });
        Self { stop, answered, thread: Some(thread) }
    }

    /// Waits until so many more were answered.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn more(&self, count: u64) -> Result<()> {
        let until = self.answered.load(Ordering::Relaxed) + count;
        wait_until("clients to be answered", LIMIT, || {
            Ok(self.answered.load(Ordering::Relaxed) >= until)
        })
    }

    /// Stops them, and says how many were answered.
    ///
    /// # Errors
    /// When they broke.
    pub fn finish(mut self) -> Result<u64> {
        self.end()?;
        Ok(self.answered.load(Ordering::Relaxed))
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.map_or(Ok(()), JoinHandle::join).map_err(|_| anyhow!("the clients panicked"))
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // Whoever wants to know has called `finish`.
        let _ = self.end();
    }
}

/// A client that asks, and reads the answer to its end.
///
/// # Errors
/// When it is refused, or not answered in time.
pub fn answers(port: u16) -> Result<()> {
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut client = TcpStream::connect_timeout(&server, LIMIT)?;
    client.set_read_timeout(Some(LIMIT))?;
    client.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer)?;
    anyhow::ensure!(answer.starts_with(b"HTTP/1."), "no answer");
    Ok(())
}
