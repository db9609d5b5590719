//! `serve`: a run that goes on for months and shows its counts at `/metrics`. The session traces as
//! ever; at the end of each interval its sink publishes a snapshot, which a thread of its own
//! serves. So no scrape makes the session wait, and a busy session answers scrapes.

mod config;
mod http;
mod otlp;
mod page;
mod process;
mod service;
mod sink;

use std::sync::Arc;

use anyhow::Result;
use sd_notify::NotifyState;
use tokio::sync::Notify;

use crate::cli::ServeArgs;
use crate::commands::trace::{self, Service};
use crate::exit::Outcome;
use crate::output::outputs::Outputs;
use config::Config;
use otlp::Push;
use sink::Publisher;

/// Serves until a signal ends it.
pub(crate) fn run(args: ServeArgs) -> Result<Outcome> {
    let config = Config::read(args)?;
    let options = config.args().options()?;
    let reload = Arc::new(Notify::new());
    let push = Push::of(config.args())?;
    let pushes = push.as_ref().map(|push| Arc::clone(&push.pushes));
    let (publisher, pages) = Publisher::new(config.bounds(), options.interval, pushes);
    let outputs = Outputs::lines(Box::new(publisher));
    let notified = Arc::clone(&reload);
    let interval = options.interval;
    let begin = move || service::start(config, interval, pages, notified, push);
    trace::serve(options, Service { outputs, reload, stopping }, begin)
}

/// Tells systemd that it is about to end.
fn stopping() {
    // Without systemd nobody wants to know.
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
}
