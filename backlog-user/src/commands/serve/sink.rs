//! The sink of the session: updates the metrics, and publishes a page of them at the end of each
//! interval.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use backlog_core::metrics::{self, Facts, Metrics};
use tokio::sync::watch;

use super::config::{self, SharedBounds};
use super::otlp::Pushes;
use super::page::{Page, Published};
use super::process;
use crate::output::sink::{Now, Sink, Update};

/// See the module documentation.
pub(super) struct Publisher {
    metrics: Metrics,
    bounds: SharedBounds,
    interval: Duration,
    facts: Facts,
    /// When this process was started.
    start_s: Option<f64>,
    pushes: Option<Arc<Pushes>>,
    page: watch::Sender<Option<Arc<Page>>>,
}

impl Publisher {
    /// Creates the sink, and the channel on which it publishes.
    pub(super) fn new(
        bounds: SharedBounds,
        interval: Duration,
        pushes: Option<Arc<Pushes>>,
    ) -> (Self, Published) {
        let (page, published) = watch::channel(None);
        let metrics = Metrics::new(config::read(&bounds), ephemeral_ports());
        let (facts, start_s) = (Facts::default(), process::start_s());
        (Self { metrics, bounds, interval, facts, start_s, pushes, page }, published)
    }

    fn publish(&self, now: Now<'_>, time_ns: u64) {
        let snapshot = self.metrics.snapshot(&metrics::Now {
            model: now.model,
            clock: now.clock,
            time_ns,
            facts: &self.facts,
            own: process::read(self.start_s),
            pushed: self.pushes.as_ref().map(|pushes| pushes.now()),
        });
        self.page.send_replace(Some(Arc::new(Page::new(snapshot))));
    }
}

impl Sink for Publisher {
    fn monitors(&self) -> bool {
        true
    }

    fn update(&mut self, now: Now<'_>, update: &Update<'_>) -> io::Result<()> {
        match *update {
            Update::Start(meta) => self.facts = Facts::of(meta, self.interval.as_secs_f64()),
            Update::Interval { time_ns, rows } => {
                self.metrics.set_bounds(config::read(&self.bounds));
                self.metrics.interval(now.model, rows, time_ns);
            }
            Update::Reconciled { accounts, .. } => self.metrics.reconciled(accounts),
            // The last update of an interval.
            Update::Health { time_ns, health } => {
                self.metrics.health(health);
                self.publish(now, time_ns);
            }
            Update::Listener { .. }
            | Update::Closed { .. }
            | Update::Limit { .. }
            | Update::Refused(_)
            | Update::Acceptor { .. }
            | Update::AcceptErrors { .. }
            | Update::HighUse { .. }
            | Update::ClockSet { .. }
            | Update::Flush
            | Update::Notice(_)
            | Update::End { .. } => {}
        }
        Ok(())
    }
}

/// The range of ephemeral ports in our own network namespace. Other namespaces start with the
/// kernel's default, as ours did.
fn ephemeral_ports() -> RangeInclusive<u16> {
    let parse = |text: String| {
        let mut ports = text.split_whitespace().map(str::parse);
        Some(ports.next()?.ok()?..=ports.next()?.ok()?)
    };
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    range.and_then(parse).unwrap_or(32_768..=60_999)
}
