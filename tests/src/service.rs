//! `backlog-trace serve` under test, queried by HTTP like a scraper. A service that still runs when
//! a test is over is killed.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clock::wait_until;
use crate::tracer::{OPTIONS_VARIABLE, PATH_VARIABLE};

/// The service's message with its address.
const SERVED: &str = "metrics are served at ";

/// A running service.
#[derive(Debug)]
pub struct Service {
    child: Child,
    address: SocketAddr,
    messages: Arc<Mutex<String>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// All headers.
    pub head: String,
    /// The body.
    pub body: String,
}

/// All samples of an answer, by name and labels as written.
#[derive(Clone, Debug, Default)]
pub struct Scrape(BTreeMap<String, f64>);

/// A command that runs the service; callers may add arguments.
#[must_use]
pub fn command() -> Command {
    let path = env::var_os(PATH_VARIABLE).unwrap_or_else(|| OsString::from("backlog-trace"));
    let mut command = Command::new(path);
    let more = env::var(OPTIONS_VARIABLE).unwrap_or_default();
    command.arg("serve").args(more.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Service {
    /// Starts it on any port, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get there; with its output on stderr.
    pub fn start(arguments: &[&str], limit: Duration) -> Result<Self> {
        Self::spawn(command().args(arguments), limit)
    }

    /// The same with a prepared command.
    ///
    /// # Errors
    /// The same.
    pub fn spawn(command: &mut Command, limit: Duration) -> Result<Self> {
        if command.get_args().all(|argument| argument != "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?} (set {PATH_VARIABLE}?)"))?;
        let messages = Arc::new(Mutex::new(String::new()));
        let (stderr, theirs) = (child.stderr.take().context("no stderr")?, Arc::clone(&messages));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut all = theirs.lock().unwrap_or_else(PoisonError::into_inner);
                all.push_str(&line);
                all.push('\n');
            }
        });
        let mut service = Self { child, address: ([127, 0, 0, 1], 0).into(), messages };
        let ready = wait_until("the service", limit, || service.is_ready());
        match ready {
            Ok(()) => Ok(service),
            Err(error) => Err(error.context(service.messages())),
        }
    }

    fn is_ready(&mut self) -> Result<bool> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended with {status}");
        }
        let messages = self.messages();
        let Some((_, rest)) = messages.split_once(SERVED) else { return Ok(false) };
        let Some((scheme, rest)) = rest.split_once("://") else { return Ok(false) };
        self.address = rest.split('/').next().unwrap_or_default().parse()?;
        if scheme == "https" {
            // With TLS, the caller finds out itself when it is ready.
            return Ok(true);
        }
        Ok(self.get("/-/ready", "")?.status == 200)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The address that it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its output on stderr so far.
    #[must_use]
    pub fn messages(&self) -> String {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gets a path, with further headers, each with its line break.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, path: &str, headers: &str) -> Result<Reply> {
        get(self.address, path, headers)
    }

    /// Sends a complete request.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn ask(&self, request: &str) -> Result<Reply> {
        ask(self.address, request)
    }

    /// Reads all metrics.
    ///
    /// # Errors
    /// When there are none, or a line has another format.
    pub fn scrape(&self) -> Result<Scrape> {
        scrape(self.address)
    }

    /// Waits until the metrics satisfy a condition.
    ///
    /// # Errors
    /// When the limit passes before.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&Scrape) -> bool,
    ) -> Result<Scrape> {
        let mut last = Scrape::default();
        let outcome = wait_until(what, limit, || {
            last = self.scrape()?;
            Ok(wanted(&last))
        });
        outcome.map(|()| last.clone()).with_context(|| format!("{last:#?}"))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: libc::c_int) -> Result<()> {
        let id = i32::try_from(self.child.id()).context("process id")?;
        // SAFETY: kill takes two numbers; the child was not waited for, so its number is still
        // its own.
        if unsafe { libc::kill(id, signal) } != 0 {
            return Err(std::io::Error::last_os_error()).context("cannot send a signal");
        }
        Ok(())
    }

    /// Ends it like systemd.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM)?;
        let mut status = None;
        wait_until("the end of the service", limit, || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        status.context("no status")
    }
}

/// Gets a path from any HTTP server, with further headers, each with its line break.
///
/// # Errors
/// When there is no answer.
pub fn get(address: SocketAddr, path: &str, headers: &str) -> Result<Reply> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    ask(address, &format!("{head}{headers}\r\n"))
}

/// Reads all metrics at this address.
///
/// # Errors
/// When there are none, or a line has another format.
pub fn scrape(address: SocketAddr) -> Result<Scrape> {
    let reply = get(address, "/metrics", "")?;
    ensure!(reply.status == 200, "{}", reply.head);
    Scrape::parse(&reply.body)
}

fn ask(address: SocketAddr, request: &str) -> Result<Reply> {
    let mut stream = TcpStream::connect(address).context("cannot connect")?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // The kernel resets a connection if the service has not read the whole request.
        Err(error) if error.kind() != ErrorKind::ConnectionReset || bytes.is_empty() => {
            return Err(error).context("no answer");
        }
        _ => {}
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the headers")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunked(body)?
    } else {
        body.to_owned()
    };
    Ok(Reply { status, head: head.to_owned(), body })
}

/// The body of a chunked answer.
fn unchunked(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    while let Some((size, chunk)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).context("the size of a chunk")?;
        if size == 0 {
            break;
        }
        body.push_str(chunk.get(..size).context("a chunk is cut")?);
        rest = chunk.get(size + 2..).unwrap_or_default();
    }
    Ok(body)
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Scrape {
    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let value = if value == "+Inf" { f64::INFINITY } else { value.parse()? };
            Ok((name.to_owned(), value))
        });
        let all: Result<Vec<(String, f64)>> = samples.collect();
        let all = all?;
        let count = all.len();
        let all: BTreeMap<String, f64> = all.into_iter().collect();
        ensure!(all.len() == count, "a sample appears twice");
        Ok(Self(all))
    }

    /// The sum of the samples with this name and all of these labels; None if there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let is_it = |text: &str| {
            let rest =
                text.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('{'));
            rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(label)))
        };
        let found = self.0.iter().filter(|(text, _)| is_it(text)).map(|(_, value)| *value);
        found.reduce(|sum, value| sum + value)
    }

    /// The number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Are there no samples?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counters that are lower than in an earlier scrape.
    #[must_use]
    pub fn fell_since(&self, earlier: &Self) -> Vec<String> {
        let is_counter = |text: &str| {
            let name = text.split('{').next().unwrap_or(text);
            ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end))
        };
        let fell = |(text, was): (&String, &f64)| {
            let now = self.0.get(text)?;
            (is_counter(text) && now < was).then(|| format!("{text}: {was} and then {now}"))
        };
        earlier.0.iter().filter_map(fell).collect()
    }
}
