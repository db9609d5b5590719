//! The thread beside the session: it serves HTTP, reads the configuration again, and tells systemd
//! how the service is.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sd_notify::NotifyState;
use tokio::sync::Notify;
use tokio::time::{Instant, interval_at};

use super::config::Config;
use super::http::{self, Health};
use super::otlp::{self, Push};
use super::page::Published;
use crate::notice::notice;
use crate::rights::threads::spawn;

/// Starts it, with its address bound: if that fails, nothing is traced.
pub(super) fn start(
    config: Config,
    interval: Duration,
    published: Published,
    reload: Arc<Notify>,
    push: Option<Push>,
) -> Result<()> {
    let listen = config.args().listen;
    let listener = TcpListener::bind(listen).with_context(|| {
        format!("--listen: cannot listen on {listen}: give another address and port")
    })?;
    listener.set_nonblocking(true).context("preparing the socket of --listen")?;
    let address = listener.local_addr().context("reading the address of --listen")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime of the HTTP server")?;
    spawn("http", move || {
        runtime.block_on(async move {
            let health = Health::new(published.clone(), interval);
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return notice(&format!("--listen: {error}: restart it")),
            };
            notice(&format!("metrics are served at http://{address}/metrics"));
            tokio::join!(
                http::serve(listener, health.clone()),
                reloads(config, &reload),
                pushes(push, published.clone()),
                tell_systemd(published, health),
            );
        });
    })
    .context("starting the thread of the HTTP server")?;
    Ok(())
}

/// Pushes, if it is to.
async fn pushes(push: Option<Push>, published: Published) {
    if let Some(push) = push {
        otlp::run(push, published).await;
    }
}

/// Reads the configuration again at each SIGHUP.
async fn reloads(mut config: Config, reload: &Notify) {
    loop {
        reload.notified().await;
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
        match config.reload() {
            Ok(text) => notice(text),
            Err(error) => notice(&format!("SIGHUP: nothing has changed: {error:#}")),
        }
        tell(&[NotifyState::Ready]);
    }
}

/// Says that the service is ready when the first page is there, and then, if systemd watches it,
/// that it is alive for as long as pages come.
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
    // Without systemd nobody wants to know.
    let _ = sd_notify::notify(false, states);
}
