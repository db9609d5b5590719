//! The thread next to the session: it serves HTTP, reloads the configuration, and reports the state
//! of the service to systemd.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::net::sockopt::set_socket_send_buffer_size;
use sd_notify::NotifyState;
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, interval_at};

use super::board::Board;
use super::config::Config;
use super::health::Health;
use super::http::{self, Door, Guard, Site, Token, unix};
use super::otlp::{self, Push};
use super::page::Published;
use super::turn::Turns;
use super::web_config::{self, SharedWeb};
use crate::notice::notice;
use crate::output::record::ring::Ring;
use crate::output::web::{Moment, Viewers};
use crate::rights::threads::spawn;

/// The send buffer for answers that their reader does not take; the kernel doubles this.
const SEND_BUFFER: usize = 128 << 10;

/// The channels from the session.
pub(super) struct Sources {
    pub(super) published: Published,
    pub(super) moments: Option<Receiver<Moment>>,
    pub(super) viewers: Viewers,
    pub(super) past: Option<Ring>,
    pub(super) web: SharedWeb,
}

/// The sockets, bound before tracing starts.
struct Doors {
    tcp: (TcpListener, Door),
    unix: Option<UnixListener>,
    /// What is served at which address, for the log.
    log: Vec<String>,
}

/// Starts the thread with its addresses bound. If that fails, nothing is traced.
pub(super) fn start(
    config: Config,
    interval: Duration,
    sources: Sources,
    reload: Arc<Notify>,
    push: Option<Push>,
) -> Result<()> {
    let web = sources.web.clone();
    let doors = Doors::open(&config, web)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // A report and a password check may run at the same time.
        .max_blocking_threads(2)
        .build()
        .context("starting the runtime of the HTTP server")?;
    spawn("http", move || runtime.block_on(run(config, interval, sources, &reload, doors, push)))
        .context("starting the thread of the HTTP server")?;
    Ok(())
}

impl Doors {
    fn open(config: &Config, web: SharedWeb) -> Result<Self> {
        let args = config.args();
        let listen = args.listen;
        let tcp = TcpListener::bind(listen).with_context(|| {
            format!("--listen: cannot listen on {listen}: give another address and port")
        })?;
        tcp.set_nonblocking(true).context("preparing the socket of --listen")?;
        // Connections inherit the buffer size.
        set_socket_send_buffer_size(&tcp, SEND_BUFFER)
            .context("preparing the socket of --listen")?;
        let address = tcp.local_addr().context("reading the address of --listen")?;
        let tls = web_config::present(&web).tls.is_some();
        let url = format!("{}://{address}", if tls { "https" } else { "http" });
        let mut log = vec![format!("metrics are served at {url}/metrics")];
        let guard = guard(config, (address, &url, tls), &mut log)?;
        let unix = args.listen_unix.as_deref().map(unix::listen).transpose()?;
        log.extend(
            args.listen_unix.iter().map(|path| format!("the page is at {}", path.display())),
        );
        Ok(Self { tcp: (tcp, Door { guard, web }), unix, log })
    }
}

/// The guard of the page at this address.
fn guard(
    config: &Config,
    (address, url, tls): (SocketAddr, &str, bool),
    log: &mut Vec<String>,
) -> Result<Guard> {
    if config.args().no_page {
        return Ok(Guard::Off);
    }
    if !tls && !address.ip().to_canonical().is_loopback() {
        log.push(format!(
            "the page is off at {address}: it names clients, so beyond loopback it needs TLS: give \
             --web-config"
        ));
        return Ok(Guard::Off);
    }
    let named = config.args().token_file.as_deref();
    match Token::create(named) {
        Ok(token) => {
            let file = token.file().display();
            log.push(format!("the page is at {url}/?token=TOKEN: {file} has the token"));
            Ok(Guard::Token { token: Arc::new(token), tls })
        }
        Err(error) if named.is_some() => Err(error.context("--token-file")),
        // Metrics matter more than the page.
        Err(error) => {
            log.push(format!("the page is off: {error:#}"));
            Ok(Guard::Off)
        }
    }
}

async fn run(
    config: Config,
    interval: Duration,
    sources: Sources,
    reload: &Notify,
    doors: Doors,
    push: Option<Push>,
) {
    let Sources { published, moments, viewers, past, web } = sources;
    let Doors { tcp: (tcp, door), unix, log } = doors;
    let health = Health::new(published.clone(), interval);
    let board = Board::new(viewers);
    let site =
        Site { health: health.clone(), board: Arc::clone(&board), past, reports: Turns::default() };
    let site = Arc::new(site);
    let tcp = tokio::net::TcpListener::from_std(tcp);
    let unix = unix.map(tokio::net::UnixListener::from_std).transpose();
    let (tcp, unix) = match (tcp, unix) {
        (Ok(tcp), Ok(unix)) => (tcp, unix),
        (Err(error), _) | (_, Err(error)) => {
            return notice(&format!("cannot serve: {error}: restart it"));
        }
    };
    for text in &log {
        notice(text);
    }
    if let Some(unix) = unix {
        let door = Door { guard: Guard::Socket, web: SharedWeb::default() };
        tokio::spawn(http::serve(unix, Arc::clone(&site), door));
    }
    let board = async {
        if let Some(moments) = moments {
            board.keep(moments).await;
        }
    };
    tokio::join!(
        http::serve(tcp, site, door),
        board,
        reloads(config, reload, &web),
        pushes(push, published.clone()),
        tell_systemd(published, health),
    );
}

/// Pushes to a receiver, if one is configured.
async fn pushes(push: Option<Push>, published: Published) {
    if let Some(push) = push {
        otlp::run(push, published).await;
    }
}

/// Reloads the configuration at each SIGHUP.
async fn reloads(mut config: Config, reload: &Notify, web: &SharedWeb) {
    loop {
        reload.notified().await;
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
        match config.reload() {
            Ok(text) => notice(text),
            Err(error) => notice(&format!("SIGHUP: nothing has changed: {error:#}")),
        }
        if let Some(file) = &config.args().web_config {
            match web_config::reload(web, file) {
                Ok(()) => notice("SIGHUP: --web-config is in use"),
                Err(error) => notice(&format!("SIGHUP: TLS and passwords stay: {error:#}")),
            }
        }
        tell(&[NotifyState::Ready]);
    }
}

/// Reports to systemd that the service is ready once the first page exists, and, if the watchdog is
/// on, that it is alive while pages are published.
async fn tell_systemd(mut published: Published, health: Health) {
    if published.wait_for(Option::is_some).await.is_err() {
        return;
    }
    tell(&[NotifyState::Ready]);
    let mut timeout_us = 0;
    if !sd_notify::watchdog_enabled(false, &mut timeout_us) {
        return;
    }
    let period = Duration::from_micros(timeout_us / 3).max(Duration::from_millis(10));
    let mut ticks = interval_at(Instant::now(), period);
    loop {
        ticks.tick().await;
        if health.is_alive() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // The error without systemd does not matter.
    let _ = sd_notify::notify(false, states);
}
