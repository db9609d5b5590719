//! Pushes (`--otlp`): sends a snapshot to an OTLP receiver over HTTP each period, as protobuf.
//! Requests that fail wait in a bounded queue and are retried with backoff; drops are counted and
//! shown at `/metrics`. It runs next to the HTTP server, so the session never waits for a receiver.

mod endpoint;
mod queue;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use backlog_core::metrics::Pushed;
use backlog_core::metrics::otlp;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::page::{Page, Published, zip};
use crate::cli::ServeArgs;
use crate::notice::notice;
use endpoint::Endpoint;
use queue::{Queue, Waiting};

/// Timeout of a request: the default of OpenTelemetry's exporters.
const REQUEST: Duration = Duration::from_secs(10);
/// The pause after a failure. It doubles with each further failure, up to a maximum.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The maximum size of an answer in bytes; a longer one is not read.
const ANSWER: usize = 64 << 10;

/// Points by the result of their push, and failed requests.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    accepted: AtomicU64,
    rejected: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
}

impl Pushes {
    pub(super) fn now(&self) -> Pushed {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Pushed {
            accepted: of(&self.accepted),
            rejected: of(&self.rejected),
            dropped: of(&self.dropped),
            failures: of(&self.failures),
        }
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

/// The result of a request.
enum Sent {
    /// The receiver accepted it, perhaps without some of the points.
    Taken(Option<otlp::Rejected>),
    /// The receiver rejected this request.
    Refused(String),
    /// To be retried, after this time if the receiver gave one.
    Failed(anyhow::Error, Option<Duration>),
}

/// Where to push to, and how often.
pub(super) struct Push {
    endpoint: Endpoint,
    period: Duration,
    pub(super) pushes: Arc<Pushes>,
}

impl Push {
    /// The configured push; None if there is none.
    pub(super) fn of(args: &ServeArgs) -> Result<Option<Self>> {
        let Some(url) = &args.otlp else { return Ok(None) };
        let endpoint = url.parse().map_err(|why| anyhow!("--otlp: {why}"))?;
        let period = args.otlp_period()?;
        Ok(Some(Self { endpoint, period, pushes: Arc::default() }))
    }
}

/// Pushes until the process ends.
pub(super) async fn run(push: Push, published: Published) {
    let Push { endpoint, period, pushes } = push;
    let mut pusher = Pusher {
        endpoint,
        pushes,
        queue: Queue::default(),
        next: Instant::now(),
        pause: PAUSE,
        fails: false,
    };
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            // A slow receiver must not delay new snapshots.
            biased;
            _ = ticks.tick() => {
                let page = published.borrow().clone();
                if let Some(page) = page {
                    pusher.enqueue(page).await;
                }
            }
            () = sleep_until(pusher.next), if !pusher.queue.is_empty() => pusher.send().await,
        }
    }
}

struct Pusher {
    endpoint: Endpoint,
    pushes: Arc<Pushes>,
    queue: Queue,
    /// When the next request may be sent.
    next: Instant,
    /// The pause after the next failure.
    pause: Duration,
    /// Did the last request fail?
    fails: bool,
}

impl Pusher {
    /// Encodes a page in a thread of its own: this takes time with many listeners, and scrapes
    /// continue in the meantime.
    async fn enqueue(&mut self, page: Arc<Page>) {
        let encoded = spawn_blocking(move || {
            let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let otlp::Encoded { bytes, points } = page.otlp(&attributes(host.trim()));
            Waiting { body: zip(&bytes), points }
        });
        // The encoder does not panic.
        if let Ok(waiting) = encoded.await {
            add(&self.pushes.dropped, self.queue.push(waiting));
        }
    }

    /// Sends the oldest request.
    async fn send(&mut self) {
        let Some(waiting) = self.queue.first() else { return };
        let points = waiting.points;
        let sent = match timeout(REQUEST, request(&self.endpoint, waiting.body.clone())).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(error)) => Sent::Failed(error, None),
            Err(_) => Sent::Failed(anyhow!("no answer within {} s", REQUEST.as_secs()), None),
        };
        self.next = Instant::now();
        match sent {
            Sent::Taken(rejected) => {
                let not_taken = rejected.as_ref().map_or(0, |rejected| rejected.points.min(points));
                add(&self.pushes.accepted, points - not_taken);
                add(&self.pushes.rejected, not_taken);
                if let Some(otlp::Rejected { points, message }) = rejected {
                    notice(&format!("--otlp: the receiver rejected {points} points: {message}"));
                }
                self.works();
            }
            Sent::Refused(why) => {
                add(&self.pushes.rejected, points);
                notice(&format!("--otlp: {} refused {points} points: {why}", self.endpoint));
                self.works();
            }
            Sent::Failed(error, later) => {
                add(&self.pushes.failures, 1);
                if !self.fails {
                    let to = &self.endpoint;
                    notice(&format!("--otlp: cannot push to {to}: {error:#}: trying again"));
                }
                self.fails = true;
                self.next += later.unwrap_or(self.pause).min(LONGEST_PAUSE);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// The receiver has accepted or rejected the oldest request.
    fn works(&mut self) {
        self.queue.remove_first();
        if self.fails {
            let dropped = self.pushes.now().dropped;
            let to = &self.endpoint;
            notice(&format!("--otlp: pushing to {to} again; points dropped so far: {dropped}"));
        }
        (self.fails, self.pause) = (false, PAUSE);
    }
}

/// Sends a request on a connection of its own.
async fn request(endpoint: &Endpoint, body: Bytes) -> Result<Sent> {
    let stream = TcpStream::connect(endpoint.address).await.context("connecting")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Dropping the set ends the task, however the request ends.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(&endpoint.path)
        .header(HOST, &endpoint.host)
        .header(USER_AGENT, concat!("backlog-trace/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/x-protobuf")
        .header(CONTENT_ENCODING, "gzip")
        .body(Full::new(body))?;
    let response = sender.send_request(request).await.context("sending")?;
    let status = response.status();
    let later = response.headers().get(RETRY_AFTER);
    let later = later.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let answer = Limited::new(response.into_body(), ANSWER).collect().await;
    // An unreadable answer is ignored, since the status is enough.
    let answer = answer.map(Collected::to_bytes).unwrap_or_default();
    Ok(match status {
        status if status.is_success() => Sent::Taken(otlp::rejected(&answer)),
        // The statuses for which the protocol permits a retry.
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Sent::Failed(anyhow!("HTTP status {status}"), later),
        status => Sent::Refused(format!("HTTP status {status}")),
    })
}

/// Attributes that describe the service and the host.
fn attributes(host: &str) -> [(&'static str, &str); 4] {
    [
        ("service.name", "backlog-trace"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", host),
        ("host.name", host),
    ]
}
