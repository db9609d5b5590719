//! The HTTP server. It bounds the number of connections and the lifetime of each, whatever clients
//! do.

mod access;
mod events;
mod life;
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
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::users::Users;
use super::web_config::{self, SharedWeb, WebConfig};
pub(super) use access::Guard;
use life::{Life, SHORT};
pub(super) use site::Site;
pub(super) use token::Token;

/// The maximum number of connections that wait for an answer. Another one closes the oldest, so
/// that a client that holds connections cannot lock out scrapes.
const CONNECTIONS: usize = 16;

/// The pause after an error of `accept()`, usually a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The maximum size of a request's header in bytes.
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

/// What protects the page, and what protects everything.
type Guards = (Guard, Option<Arc<Users>>);

/// The access rules of an address.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) guard: Guard,
    /// TLS and passwords, which a reload may change.
    pub(super) web: SharedWeb,
}

/// Accepts connections forever.
pub(super) async fn serve<L: Listener>(listener: L, site: Arc<Site>, door: Door) {
    let mut open: VecDeque<(AbortHandle, Life)> = VecDeque::new();
    loop {
        let Ok(stream) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        open.retain(|(task, _)| !task.is_finished());
        make_room(&mut open);
        let life = Life::short();
        let Door { guard, web } = door.clone();
        let WebConfig { tls, users } = web_config::present(&web);
        let served = connection(stream, tls, Arc::clone(&site), (guard, users), life.clone());
        open.push_back((tokio::spawn(served).abort_handle(), life));
    }
}

fn make_room(open: &mut VecDeque<(AbortHandle, Life)>) {
    let waits = |(_, life): &(AbortHandle, Life)| !life.is_long();
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
    life: Life,
) {
    let Some(tls) = tls else { return converse(stream, site, guards, life).await };
    if let Ok(Ok(stream)) = timeout(SHORT, tls.accept(stream)).await {
        converse(stream, site, guards, life).await;
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    site: Arc<Site>,
    guards: Guards,
    life: Life,
) {
    let theirs = life.clone();
    let answer = service_fn(move |request: Request<Incoming>| {
        let request = request.map(drop);
        let (site, guards, life) = (Arc::clone(&site), guards.clone(), theirs.clone());
        async move { Ok::<_, Infallible>(routes::answer(&request, &site, &guards, &life).await) }
    });
    let mut server = http1::Builder::new();
    // No keep-alive: an idle connection would take a place.
    server.timer(TokioTimer::new()).header_read_timeout(SHORT).max_buf_size(HEAD).keep_alive(false);
    tokio::select! {
        // A client that has disconnected gets no answer.
        _ = server.serve_connection(TokioIo::new(stream), answer) => {}
        () = life.over() => {}
    }
}
