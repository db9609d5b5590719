//! A series: the counts of the sockets of one identity, and the state of those that are open.

use std::sync::Arc;

use super::counts::Counts;
use super::identity::{Identity, clipped, clipped_path, labels};
use super::window::{Highest, Window};
use crate::event::Listener;
use crate::model::interval::Interval;
use crate::model::page::Page;
use crate::model::sizing::{Confidence, Verdict};
use crate::settings::Settings;

/// The sockets that a series represents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Those with one address, port and process.
    Own,
    /// Those of a process whose ports do not last.
    Ephemeral,
    /// Those that have no series.
    Other,
}

/// A verdict without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sized {
    pub(super) verdict: Verdict,
    pub(super) confidence: Confidence,
    pub(super) backlog: Option<u32>,
}

/// The state of the open sockets at the end of an interval. Connections are summed; a use is that
/// of the worst member.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauges {
    pub(super) depth: u64,
    pub(super) limit: u64,
    pub(super) clamped: Option<bool>,
    pub(super) requested: Option<f64>,
    pub(super) syn_limit: u64,
    /// `tcp_syncookies=2`: cookies say nothing about the SYN queue.
    pub(super) cookies_always: bool,
    pub(super) accepted_ns: u64,
    pub(super) sized: Option<Sized>,
    highest: Highest,
    /// The number of members of a group, their connections, and those of the busiest one.
    group: (u64, u64, u64),
}

/// The state of a series.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) identity: Identity,
    pub(super) kind: Kind,
    pub(super) labels: Arc<str>,
    pub(super) info: Option<Arc<str>>,
    pub(super) counts: Counts,
    /// The number of open sockets.
    pub(super) members: u64,
    /// Since when no socket has been open.
    pub(super) closed_ns: Option<u64>,
    pub(super) gauges: Gauges,
    next: Gauges,
    /// The state of the sockets that closed in this interval, if there are any.
    closing: Option<Gauges>,
    window: Window,
}

impl Series {
    pub(super) fn new(kind: Kind, identity: Identity) -> Self {
        Self {
            kind,
            labels: identity.labels().into(),
            identity,
            info: None,
            counts: Counts::default(),
            members: 0,
            closed_ns: None,
            gauges: Gauges::default(),
            next: Gauges::default(),
            closing: None,
            window: Window::default(),
        }
    }

    /// Starts an interval, which is then applied socket by socket.
    pub(super) fn begin(&mut self) {
        (self.members, self.next, self.closing) = (0, Gauges::default(), None);
    }

    /// Adds a socket that closed in the interval.
    pub(super) fn closes(&mut self, page: &Page, row: &Interval, settings: Option<&Settings>) {
        self.closing.get_or_insert_default().add(page, row, settings, None);
    }

    /// Adds a socket that is open at the end of the interval.
    pub(super) fn member(
        &mut self,
        page: &Page,
        row: &Interval,
        settings: Option<&Settings>,
        sized: Option<Sized>,
    ) {
        self.members += 1;
        self.closed_ns = None;
        self.next.add(page, row, settings, sized);
        if self.kind == Kind::Own && (self.info.is_none() || self.members == 1) {
            self.describe(&page.listener);
        }
    }

    /// Updates the info metric, whose labels may change without a new identity.
    fn describe(&mut self, listener: &Listener) {
        let labels = info(&self.labels, listener);
        if self.info.as_deref() != Some(&*labels) {
            self.info = Some(labels.into());
        }
    }

    /// Ends the interval, after all sockets have been added.
    pub(super) fn end(&mut self, time_ns: u64, window_ns: u64) {
        let closing = self.closing.take();
        let highest = closing.as_ref().map_or(Highest::default(), |closing| closing.highest);
        self.window.push(time_ns, window_ns, self.next.highest.with(highest));
        if self.members > 0 {
            self.gauges = std::mem::take(&mut self.next);
            return;
        }
        // Everything else stays as it was, for the last scrapes.
        if let Some(closing) = closing {
            self.gauges = Gauges { sized: self.gauges.sized, ..closing };
        }
        self.gauges.depth = 0;
        self.closed_ns.get_or_insert(time_ns);
    }

    /// The deepest queue and the highest use of the window.
    pub(super) fn highest(&self) -> Highest {
        self.window.highest()
    }

    /// The busiest member's connections relative to the mean; none without a group, or if nothing
    /// arrived.
    pub(super) fn imbalance(&self) -> Option<f64> {
        let (members, sum, most) = self.gauges.group;
        (members > 1 && sum > 0).then(|| most as f64 * members as f64 / sum as f64)
    }
}

impl Gauges {
    fn add(
        &mut self,
        page: &Page,
        row: &Interval,
        settings: Option<&Settings>,
        sized: Option<Sized>,
    ) {
        let listener = &page.listener;
        let (limit, peak) = (u64::from(row.limit), u64::from(row.peak));
        self.depth += u64::from(row.depth);
        self.limit += limit;
        self.clamped = self.clamped.max(listener.is_cut());
        if let Some(requested) = requested(listener) {
            self.requested = Some(self.requested.unwrap_or(0.0) + requested);
        }
        self.syn_limit += syn_limit(limit, settings);
        self.cookies_always |= settings.is_some_and(|set| set.syncookies == Some(2));
        self.accepted_ns = self.accepted_ns.max(page.accepted_ns());
        self.sized = worse(self.sized, sized);
        // The kernel lets one connection in at a limit of zero.
        let use_ratio = peak as f64 / limit.max(1) as f64;
        self.highest.depth += peak;
        self.highest.use_ratio = self.highest.use_ratio.max(use_ratio);
        if page.grouped {
            let (members, sum, most) = self.group;
            let queued = page.totals.enqueued;
            self.group = (members + 1, sum + queued, most.max(queued));
        }
    }
}

/// The requested backlog. The kernel treats a negative one as the largest.
fn requested(listener: &Listener) -> Option<f64> {
    let asked = listener.call.as_ref()?.asked?;
    Some(if asked < 0 { f64::INFINITY } else { f64::from(asked) })
}

/// The bound of the SYN queue: without cookies also the namespace's own limit.
fn syn_limit(limit: u64, settings: Option<&Settings>) -> u64 {
    let without_cookies = settings.filter(|set| set.syncookies == Some(0));
    let of_namespace = without_cookies.and_then(|set| set.tcp_max_syn_backlog);
    of_namespace.map_or(limit, |most| limit.min(u64::from(most)))
}

/// The verdict on several members: one that asks for a change if there is one, otherwise the first.
fn worse(one: Option<Sized>, other: Option<Sized>) -> Option<Sized> {
    match (one, other) {
        (Some(one), Some(other)) if !one.verdict.is_trouble() && other.verdict.is_trouble() => {
            Some(other)
        }
        (Some(one), Some(other)) if one.verdict == other.verdict => {
            Some(Sized { backlog: one.backlog.max(other.backlog), ..one })
        }
        (one, other) => one.or(other),
    }
}

/// The labels of the info metric, including those of the series.
fn info(identity: &str, listener: &Listener) -> String {
    let of = &listener.identity;
    let owner = of.owner.as_deref();
    let container = owner.and_then(|owner| owner.container.as_ref());
    let uid = owner.map(|owner| owner.main.uid.to_string());
    let user = owner.and_then(|owner| owner.main.user.as_deref()).or(uid.as_deref());
    let values = [
        ("family", Some(listener.family())),
        ("unit", owner.and_then(|owner| owner.unit.as_deref())),
        ("container", container.map(|container| container.id.as_str())),
        ("pod_uid", container.and_then(|container| container.pod.as_deref())),
        ("runtime", container.and_then(|container| container.runtime.as_deref())),
        ("user", user),
    ];
    let values = values.map(|(name, value)| (name, value.map(clipped).unwrap_or_default()));
    let cgroup = of.cgroup.as_deref().map(clipped_path).unwrap_or_default();
    let values = values.iter().map(|(name, value)| (*name, value.as_str()));
    let more = labels(values.chain([("cgroup", cgroup.as_str())]));
    format!("{identity},{more}")
}
