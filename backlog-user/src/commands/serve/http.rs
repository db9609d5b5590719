//! The HTTP server. Whatever clients do, the number of connections and the life of each are
//! bounded.

mod access;
mod events;
mod private;
mod query;
mod response;
mod routes;
mod site;
mod token;
pub(super) mod unix;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::users::Users;
use super::web_config::{self, SharedWeb, WebConfig};
pub(super) use access::Guard;
pub(super) use site::Site;
pub(super) use token::Token;

/// Connections at a time that wait for an answer. One more ends the oldest, so that a client that
/// holds connections keeps no scrape out.
const CONNECTIONS: usize = 16;

/// A connection ends after this time: Prometheus's default timeout of a scrape.
const LIFE: Duration = Duration::from_secs(10);

/// A stream of events ends after this time, and the page opens another one, so that a client that has
/// vanished holds its place for an hour at most.
const LONG_LIFE: Duration = Duration::from_hours(1);

/// After an error of `accept()`, which is mostly a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a request's head.
const HEAD: usize = 16 << 10;

/// A socket that clients connect to.
pub(super) trait Listener {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    async fn accept(&self) -> io::Result<Self::Stream>;
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        Ok(TcpListener::accept(self).await?.0)
    }
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<Self::Stream> {
        Ok(UnixListener::accept(self).await?.0)
    }
}

/// Its answer takes long: a stream of events or a report, whose numbers are bounded elsewhere.
type IsLong = Arc<AtomicBool>;

/// What stands before the page, and before everything.
type Guards = (Guard, Option<Arc<Users>>);

/// What a client has to get past.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) guard: Guard,
    /// TLS and passwords, which a reload changes.
    pub(super) web: SharedWeb,
}

/// Accepts connections for ever.
pub(super) async fn serve<L: Listener>(listener: L, site: Arc<Site>, door: Door) {
    let mut open: VecDeque<(AbortHandle, IsLong)> = VecDeque::new();
    loop {
        let Ok(stream) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        open.retain(|(task, _)| !task.is_finished());
        make_room(&mut open);
        let is_long = IsLong::default();
        let Door { guard, web } = door.clone();
        let WebConfig { tls, users } = web_config::present(&web);
        let served =
            connection(stream, tls, Arc::clone(&site), (guard, users), Arc::clone(&is_long));
        open.push_back((tokio::spawn(served).abort_handle(), is_long));
    }
}

fn make_room(open: &mut VecDeque<(AbortHandle, IsLong)>) {
    let waits = |(_, is_long): &(AbortHandle, IsLong)| !is_long.load(Ordering::Relaxed);
    while open.iter().filter(|one| waits(one)).count() >= CONNECTIONS {
        let oldest = open.iter().position(waits).and_then(|at| open.remove(at));
        if let Some((task, _)) = oldest {
            task.abort();
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    tls: Option<TlsAcceptor>,
    site: Arc<Site>,
    guards: Guards,
    is_long: IsLong,
) {
    let Some(tls) = tls else { return converse(stream, site, guards, is_long).await };
    if let Ok(Ok(stream)) = timeout(LIFE, tls.accept(stream)).await {
        converse(stream, site, guards, is_long).await;
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    site: Arc<Site>,
    guards: Guards,
    is_long: IsLong,
) {
    let mark = Arc::clone(&is_long);
    let answer = service_fn(move |request: Request<Incoming>| {
        let request = request.map(drop);
        let (site, guards, is_long) = (Arc::clone(&site), guards.clone(), Arc::clone(&mark));
        async move { Ok::<_, Infallible>(routes::answer(&request, &site, &guards, &is_long).await) }
    });
    let mut server = http1::Builder::new();
    // A connection for each request: an idle one would take a place.
    server.timer(TokioTimer::new()).header_read_timeout(LIFE).max_buf_size(HEAD).keep_alive(false);
    let mut server = server.serve_connection(TokioIo::new(stream), answer);
    // A client that breaks off or is too slow has no answer to get.
    let end = Instant::now() + LONG_LIFE;
    let mut was_long = false;
    while timeout(LIFE, &mut server).await.is_err() && Instant::now() < end {
        // A report that is made is read in a life of its own.
        let is_long = is_long.load(Ordering::Relaxed);
        if !is_long && !was_long {
            break;
        }
        was_long = is_long;
    }
}
