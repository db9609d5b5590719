//! The HTTP server: `/metrics`, and whether the service is alive and ready. Whatever clients do,
//! the number of connections and the life of each are bounded.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use backlog_core::metrics::Format;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::page::Published;

/// Connections at a time. One more ends the oldest, so that a client that holds connections keeps
/// no scrape out.
const CONNECTIONS: usize = 16;

/// A connection ends after this time: Prometheus's default timeout of a scrape.
const LIFE: Duration = Duration::from_secs(10);

/// After an error of `accept()`, which is mostly a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a request's head.
const HEAD: usize = 16 << 10;

/// Pages are older than this many intervals, and than [`AGE`]: the session is stuck.
const INTERVALS: u32 = 10;
const AGE: Duration = Duration::from_mins(1);

/// Whether pages come.
#[derive(Clone)]
pub(super) struct Health {
    published: Published,
    longest: Duration,
}

impl Health {
    pub(super) fn new(published: Published, interval: Duration) -> Self {
        Self { published, longest: interval.saturating_mul(INTERVALS).max(AGE) }
    }

    /// Pages come, or it has only begun.
    pub(super) fn is_alive(&self) -> bool {
        self.published.borrow().as_ref().is_none_or(|page| page.at.elapsed() < self.longest)
    }

    fn is_ready(&self) -> bool {
        self.published.borrow().is_some() && self.is_alive()
    }
}

/// Accepts connections for ever.
pub(super) async fn serve(listener: TcpListener, health: Health) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        open.retain(|task| !task.is_finished());
        while open.len() >= CONNECTIONS {
            open.pop_front().iter().for_each(AbortHandle::abort);
        }
        open.push_back(tokio::spawn(connection(stream, health.clone())).abort_handle());
    }
}

async fn connection(stream: TcpStream, health: Health) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &health);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    // A connection for each request: an idle one would take a place.
    server.timer(TokioTimer::new()).header_read_timeout(LIFE).max_buf_size(HEAD).keep_alive(false);
    // A client that breaks off or is too slow has no answer to get.
    let _ = timeout(LIFE, server.serve_connection(TokioIo::new(stream), answer)).await;
}

type Answer = Response<Full<Bytes>>;

fn answer<B>(request: &Request<B>, health: &Health) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
    }
    match request.uri().path() {
        "/metrics" => metrics(request.headers(), health),
        "/-/healthy" if health.is_alive() => text(StatusCode::OK, "healthy\n"),
        "/-/healthy" => text(StatusCode::SERVICE_UNAVAILABLE, "the tracer is stuck\n"),
        "/-/ready" if health.is_ready() => text(StatusCode::OK, "ready\n"),
        "/-/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        "/" => text(StatusCode::OK, "backlog-trace: metrics are at /metrics\n"),
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn metrics(headers: &HeaderMap, health: &Health) -> Answer {
    let Some(page) = health.published.borrow().clone() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the first interval has not ended\n");
    };
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(value(ACCEPT));
    let zips = accepts_gzip(value(ACCEPT_ENCODING));
    let body = if zips { page.zipped(format) } else { page.text(format) };
    let mut response = Response::builder()
        .header(CONTENT_TYPE, format.content_type())
        .header(VARY, "Accept, Accept-Encoding");
    if zips {
        response = response.header(CONTENT_ENCODING, "gzip");
    }
    // The headers are constants that fit.
    response.body(Full::new(body)).unwrap_or_default()
}

fn accepts_gzip(encodings: &str) -> bool {
    encodings.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        words.next() == Some("gzip") && !words.any(|word| matches!(word, "q=0" | "q=0.0"))
    })
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}
