//! Clients: some that connect all the time, one after the other, while one server ends and another
//! one starts; many at once, as a burst; and some that fall silent and occupy their acceptor. A
//! refused client just retries.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::clock::wait_until;

/// The time limit of a client, which may be the one that a server is started for.
const LIMIT: Duration = Duration::from_mins(1);
/// The pause between two clients: some hundred per second are enough.
const PAUSE: Duration = Duration::from_millis(2);

/// The clients, which stop when this is dropped.
#[derive(Debug)]
pub struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Clients {
    /// Starts the clients, which connect to a port of 127.0.0.1 in the calling thread's network
    /// namespace.
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

    /// Waits until this many more clients were answered.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn more(&self, count: u64) -> Result<()> {
        let until = self.answered.load(Ordering::Relaxed) + count;
        wait_until("clients to be answered", LIMIT, || {
            Ok(self.answered.load(Ordering::Relaxed) >= until)
        })
    }

    /// Stops the clients; returns how many were answered.
    ///
    /// # Errors
    /// When a client thread has failed.
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
        // A caller that needs the result has called `finish`.
        let _ = self.end();
    }
}

/// Sends a request and reads the complete answer.
///
/// # Errors
/// When the client is refused, or not answered in time.
pub fn answers(port: u16) -> Result<()> {
    ask(port, "/").map(drop)
}

/// The same for this path; returns the body of the answer.
///
/// # Errors
/// When the client is refused, or not answered in time.
pub fn ask(port: u16, path: &str) -> Result<String> {
    let mut client = connect(port, LIMIT)?;
    client.set_read_timeout(Some(LIMIT))?;
    // In a single packet. A client that was refused at first and then got in by a SYN cookie is
    // reset if it sends the rest of its data first: the sequence numbers do not match the cookie.
    client.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("HTTP/1."), "no answer");
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Makes this many clients request a path at the same time, until each is answered; returns the
/// answers.
///
/// # Errors
/// When one is not answered.
pub fn all_at_once(port: u16, count: u32, path: &str) -> Result<Vec<String>> {
    one_by_one(port, count, Duration::ZERO, path)
}

/// The same with a gap between the clients, which do not wait for each other.
///
/// # Errors
/// When one is not answered.
pub fn one_by_one(port: u16, count: u32, gap: Duration, path: &str) -> Result<Vec<String>> {
    // All threads exist before the first one begins.
    let together = &Barrier::new(count as usize);
    thread::scope(|scope| {
        let one = |number: u32| {
            move || {
                together.wait();
                thread::sleep(gap * number);
                ask(port, path)
            }
        };
        let clients: Vec<_> = (0..count).map(|number| scope.spawn(one(number))).collect();
        let end = |client: thread::ScopedJoinHandle<'_, Result<String>>| {
            client.join().map_err(|_| anyhow!("a client panicked"))?
        };
        clients.into_iter().map(end).collect()
    })
}

/// A client that begins a request and falls silent: a server that waits for the rest waits until
/// the client leaves. (A server may not even see a client that sends nothing: Apache sets
/// `TCP_DEFER_ACCEPT`.)
///
/// # Errors
/// When it is refused for too long.
pub fn silent(port: u16, limit: Duration) -> Result<TcpStream> {
    let mut client = connect(port, limit).context("refused")?;
    client.write_all(b"GET / HTTP/1.0\r\n")?;
    Ok(client)
}

fn connect(port: u16, limit: Duration) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), limit)
}
