//! `backlog-trace serve`: runs for months, with metrics at `/metrics` and a live page. The session
//! traces as in other runs. At the end of each interval its sinks publish a snapshot, which another
//! thread serves: no scrape delays the session, and a busy session does not delay scrapes.

mod board;
mod config;
mod health;
mod http;
mod otlp;
mod page;
mod process;
mod report;
mod service;
mod sink;
mod turn;
mod users;
mod web_config;

use std::sync::{Arc, Mutex};

use anyhow::Result;
use sd_notify::NotifyState;
use tokio::sync::Notify;

use crate::cli::ServeArgs;
use crate::cli::options::Options;
use crate::commands::trace::{self, Service};
use crate::exit::Outcome;
use crate::output::outputs::Outputs;
use crate::output::record::ring::Ring;
use crate::output::web::{Viewers, Web};
use config::Config;
use otlp::Push;
use service::Sources;
use sink::Publisher;
use web_config::WebConfig;

/// The options of the run that these arguments ask for, with those of their file.
pub(crate) fn options(args: ServeArgs) -> Result<Options> {
    Ok(Config::read(args)?.args().options()?)
}

/// Serves until a signal stops it.
pub(crate) fn run(args: ServeArgs) -> Result<Outcome> {
    let config = Config::read(args)?;
    let options = config.args().options()?;
    let reload = Arc::new(Notify::new());
    let push = Push::of(config.args())?;
    let pushes = push.as_ref().map(|push| Arc::clone(&push.pushes));
    let (sink, published) = Publisher::new(config.bounds(), options.interval, pushes);
    let viewers = Viewers::default();
    let mut outputs = Outputs::lines(Box::new(sink));
    let (mut moments, mut past) = (None, None);
    let web = config.args().web_config.as_deref().map(WebConfig::read).transpose()?;
    let web = web.unwrap_or_default();
    if config.args().may_show_page(web.tls.is_some()) {
        let (page, receiver) = Web::new(viewers.clone(), options.interval);
        outputs = outputs.with(page);
        (moments, past) = (Some(receiver), Some(Ring::default()));
    }
    let sources =
        Sources { published, moments, viewers, past: past.clone(), web: Arc::new(Mutex::new(web)) };
    let notified = Arc::clone(&reload);
    let interval = options.interval;
    let begin = move || service::start(config, interval, sources, notified, push);
    trace::serve(options, Service { outputs, past, reload, stopping }, begin)
}

/// Reports to systemd that the service is stopping.
fn stopping() {
    // The error without systemd does not matter.
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
}
