//! Tests the rules of docs/METRICS.md on a model that is fed with synthetic events.

use std::fmt::Write as _;

use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::{WAITS, bucket};
use backlog_ebpf::totals::Totals;

use super::{Bounds, FAMILIES, Facts, Format, Metrics, Now, Own, Pushed, Snapshot, encode};
use crate::clock::Clock;
use crate::event::{Call, Caller, Closed, Count, Event, Identity, Listener, ListenerId, What};
use crate::model::reconcile::{Account, CounterCheck};
use crate::model::{Model, Retention};

const SECOND: u64 = 1_000_000_000;
pub(super) const BOUNDS: Bounds = Bounds {
    max_listeners: 1000,
    keep_closed_ns: 300 * SECOND,
    min_age_ns: 30 * SECOND,
    peak_window_ns: 60 * SECOND,
};

/// A run with an interval of a second.
pub(super) struct Made {
    model: Model,
    metrics: Metrics,
    time_ns: u64,
}

impl Made {
    pub(super) fn new(bounds: Bounds) -> Self {
        let mut model = Model::new(0);
        model.retain(Retention::LONG_RUN);
        Self { model, metrics: Metrics::new(bounds, 32_768..=60_999), time_ns: 0 }
    }

    fn apply(&mut self, what: What) {
        self.model.apply(&Event { time_ns: self.time_ns, what });
    }

    /// `nginx` begins to listen.
    pub(super) fn opens(&mut self, id: u32, port: u16, opened_now: bool) {
        let call = Call {
            asked: Some(4096),
            caller: Some(Caller { pid: id, comm: "nginx".to_owned() }),
            ..Call::default()
        };
        self.apply(What::Listener(Listener {
            id: ListenerId(id),
            local: format!("0.0.0.0:{port}").parse().unwrap(),
            v6_only: false,
            netns: 1.into(),
            inode: Some(u64::from(id)),
            cookie: None,
            limit: 128,
            depth: 0,
            reuseport: None,
            opened_now,
            sk_drops: None,
            call: Some(call),
            cgroup: None,
            identity: Identity { netns: Some("host".to_owned()), ..Identity::default() },
        }));
    }

    fn closes(&mut self, id: u32) {
        self.apply(What::Closed(Closed { listener: ListenerId(id), depth: 0, syn_queue: 0 }));
    }

    /// The connections so far, each accepted after 100 µs, and the refused packets.
    pub(super) fn counts(&mut self, id: u32, accepted: u64, refused: u64, peak: u32) {
        let page = self.model.get(ListenerId(id)).unwrap();
        let more = u32::try_from(accepted - page.totals.accepted).unwrap();
        let mut totals = Totals { enqueued: accepted, accepted, peak, ..Totals::default() };
        totals.drops[Cause::AcceptQueueFullSyn as usize] = refused;
        totals.longest_ns = 100_000;
        let waits = vec![(bucket(99, WAITS), more)];
        let count = Count { totals, recent_peak: peak, waits, ..Count::default() };
        self.apply(What::Count { listener: ListenerId(id), count: Box::new(count) });
    }

    pub(super) fn seconds(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.time_ns += SECOND;
            let rows = self.model.tick(self.time_ns);
            self.metrics.interval(&self.model, &rows, self.time_ns);
        }
    }

    pub(super) fn snapshot(&self, pushed: Option<Pushed>) -> Snapshot {
        self.metrics.snapshot(&Now {
            model: &self.model,
            clock: &Clock::fixed(0),
            time_ns: self.time_ns,
            facts: &Facts::default(),
            own: Own::default(),
            pushed,
        })
    }

    fn text(&self, format: Format) -> String {
        encode(&self.snapshot(None), format)
    }

    /// The value of the sample with these labels among its own.
    fn value(&self, name: &str, labels: &str) -> Option<f64> {
        let text = self.text(Format::Prometheus);
        let is_it = |line: &&str| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']));
            rest.is_some_and(|rest| labels.split(' ').all(|label| rest.contains(label)))
        };
        let mut found = text.lines().filter(is_it);
        let line = found.next()?;
        assert_eq!(found.next(), None, "{name} {labels}: more than one");
        line.rsplit(' ').next()?.parse().ok()
    }
}

const QUEUED: &str = "backlog_connections_queued_total";
const DROPS: &str = "backlog_drops_total";
const SYN: &str = "cause=\"accept_queue_full_syn\"";

#[test]
fn a_counter_goes_on_when_the_server_is_started_again() {
    let mut made = Made::new(BOUNDS);
    made.opens(1, 80, false);
    made.counts(1, 10, 2, 5);
    made.seconds(1);
    assert_eq!(made.value(QUEUED, "port=\"80\""), Some(10.0));
    made.counts(1, 12, 3, 5);
    made.closes(1);
    made.seconds(10);
    assert_eq!(made.value("backlog_listener_members", "port=\"80\""), Some(0.0));
    assert_eq!(made.value("backlog_accept_queue_limit_connections", "port=\"80\""), Some(128.0));
    // A packet that arrived during the close counts as well, and the next socket continues from
    // there.
    made.opens(2, 80, true);
    made.counts(2, 5, 0, 1);
    made.seconds(1);
    assert_eq!(made.value(QUEUED, "port=\"80\""), Some(17.0));
    assert_eq!(made.value(DROPS, &format!("port=\"80\" {SYN}")), Some(3.0));
    assert_eq!(made.value("backlog_listener_members", "port=\"80\""), Some(1.0));
}

#[test]
fn a_page_that_is_evicted_leaves_its_last_counts() {
    let mut made = Made::new(BOUNDS);
    made.opens(1, 80, false);
    made.seconds(1);
    made.closes(1);
    made.seconds(1);
    made.counts(1, 3, 1, 2);
    made.seconds(1);
    assert!(made.model.get(ListenerId(1)).is_none());
    assert_eq!(made.value(QUEUED, "port=\"80\""), Some(3.0));
    assert_eq!(made.value("backlog_host_drops_total", SYN), Some(1.0));
}

#[test]
fn series_vanish_all_together_some_time_after_the_close() {
    let mut made = Made::new(BOUNDS);
    made.opens(1, 80, false);
    made.counts(1, 1, 0, 1);
    made.closes(1);
    made.seconds(299);
    assert!(made.text(Format::Prometheus).contains("port=\"80\""));
    made.seconds(3);
    assert!(!made.text(Format::Prometheus).contains("port=\"80\""));
    assert_eq!(made.value("backlog_host_connections_queued_total", ""), Some(1.0));
}

#[test]
fn a_young_listener_is_shown_once_it_lasts_with_all_that_it_counted() {
    let mut made = Made::new(BOUNDS);
    made.seconds(1);
    made.opens(1, 80, true);
    made.counts(1, 4, 0, 1);
    made.seconds(29);
    assert_eq!(made.value(QUEUED, "port=\"80\""), None);
    assert_eq!(made.value("backlog_tracer_listeners", "state=\"pending\""), Some(1.0));
    made.seconds(1);
    assert_eq!(made.value(QUEUED, "port=\"80\""), Some(4.0));
}

#[test]
fn a_young_listener_is_shown_at_once_if_it_refuses_or_is_half_full() {
    for (refused, peak) in [(1, 0), (0, 64)] {
        let mut made = Made::new(BOUNDS);
        made.opens(1, 80, true);
        made.counts(1, 4, refused, peak);
        made.seconds(1);
        assert_eq!(made.value(QUEUED, "port=\"80\""), Some(4.0));
    }
}

#[test]
fn short_lives_and_ports_of_the_kernel_are_summed_up() {
    let mut made = Made::new(BOUNDS);
    made.opens(1, 80, true);
    made.counts(1, 4, 0, 1);
    made.opens(2, 40_000, false);
    made.counts(2, 2, 0, 1);
    made.closes(1);
    made.seconds(1);
    let labels = "netns=\"host\" address=\"\" port=\"ephemeral\" process=\"nginx\"";
    assert_eq!(made.value(QUEUED, labels), Some(6.0));
    // A listener of interest gets its own series. Its earlier counts stay where they were.
    made.counts(2, 5, 1, 1);
    made.seconds(1);
    assert_eq!(made.value(QUEUED, labels), Some(6.0));
    assert_eq!(made.value(QUEUED, "port=\"40000\""), Some(3.0));
    assert_eq!(made.value(DROPS, &format!("port=\"40000\" {SYN}")), Some(1.0));
}

#[test]
fn what_is_beyond_the_limit_is_summed_up_as_other() {
    let mut made = Made::new(Bounds { max_listeners: 2, ..BOUNDS });
    for id in 1..=4 {
        made.opens(id, 80 + u16::try_from(id).unwrap(), false);
        made.counts(id, u64::from(id), 0, 1);
    }
    made.seconds(1);
    assert_eq!(made.value(QUEUED, "port=\"other\""), Some(7.0));
    assert_eq!(made.value("backlog_tracer_listeners", "state=\"other\""), Some(2.0));
    // A listener that refuses replaces a closed one, from then on.
    made.closes(1);
    made.seconds(1);
    assert_eq!(made.value(QUEUED, "port=\"84\""), None);
    made.counts(4, 10, 1, 1);
    made.seconds(1);
    assert_eq!(made.value(QUEUED, "port=\"84\""), Some(6.0));
    assert_eq!(made.value(QUEUED, "port=\"other\""), Some(7.0));
    assert_eq!(made.value(QUEUED, "port=\"81\""), None);
}

#[test]
fn the_sum_over_all_series_never_falls_and_is_the_hosts() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut made = Made::new(Bounds { max_listeners: 5, keep_closed_ns: 20 * SECOND, ..BOUNDS });
    let mut open: Vec<(u32, u64)> = Vec::new();
    let mut expected = 0;
    for id in 1..400 {
        let port = 80 + random.u16(..12);
        made.opens(id, if random.bool() { port } else { 40_000 + port }, random.bool());
        open.push((id, 0));
        for (id, accepted) in &mut open {
            let more = random.u64(..5);
            *accepted += more;
            expected += more;
            made.counts(*id, *accepted, u64::from(random.u8(..) == 0), random.u32(..70));
        }
        if open.len() > 12 {
            let (id, _) = open.swap_remove(random.usize(..open.len()));
            made.closes(id);
        }
        made.seconds(1);
        let shown = made.value("backlog_host_connections_queued_total", "");
        assert_eq!(shown, Some(expected as f64));
        assert!(made.metrics.series.len() <= 5);
        assert!(made.metrics.sockets.len() <= open.len() + 2, "closed sockets go");
    }
}

#[test]
fn the_histogram_is_cumulative_and_its_count_and_the_untimed_are_the_accepted() {
    let mut made = Made::new(BOUNDS);
    made.opens(1, 80, false);
    made.counts(1, 10, 0, 1);
    made.seconds(1);
    let bucket = |le: &str| {
        made.value("backlog_accept_wait_seconds_bucket", &format!("port=\"80\" le=\"{le}\""))
    };
    assert_eq!(bucket("6.4e-05"), Some(0.0));
    assert_eq!(bucket("0.000256"), Some(10.0));
    assert_eq!(bucket("+Inf"), Some(10.0));
    let sum = made.value("backlog_accept_wait_seconds_sum", "port=\"80\"").unwrap();
    assert!((sum - 0.001).abs() < 0.001 / 64.0, "{sum}");
}

#[test]
fn counters_of_a_namespace_go_on_in_the_next_one_of_its_name() {
    let mut made = Made::new(BOUNDS);
    made.opens(1, 80, false);
    made.seconds(1);
    let account = |kernel| Account {
        netns: 1.into(),
        verdicts: vec![CounterCheck { counter: "ListenDrops", kernel, seen: kernel }],
        unread_drops: 0,
    };
    for (kernel, expected) in [(5, 5.0), (7, 7.0), (2, 9.0)] {
        made.metrics.reconciled(&[account(kernel)]);
        let labels = "netns=\"host\" counter=\"ListenDrops\"";
        assert_eq!(made.value("backlog_kernel_counter_total", labels), Some(expected));
        assert_eq!(made.value("backlog_seen_counter_total", labels), Some(expected));
    }
}

#[test]
fn a_listener_without_a_connection_has_a_few_series() {
    let mut made = Made::new(BOUNDS);
    made.opens(1, 80, false);
    made.seconds(1);
    let text = made.text(Format::Prometheus);
    let of_it = text.lines().filter(|line| line.contains("port=\"80\"")).count();
    // Info, members, clamped, requested, depth, limit, and two causes at zero.
    assert_eq!(of_it, 8, "{text}");
}

#[test]
fn the_forms_are_kept() {
    let mut made = Made::new(BOUNDS);
    made.opens(1, 80, false);
    made.counts(1, 3, 1, 129);
    made.seconds(1);
    let mut both = made.text(Format::Prometheus);
    let _ = write!(both, "-----\n{}", made.text(Format::OpenMetrics));
    insta::assert_snapshot!(both);
}

#[test]
fn names_are_those_of_the_conventions() {
    for family in FAMILIES {
        let name = family.name;
        assert!(name.starts_with("backlog_") || name.starts_with("process_"), "{name}");
        assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{name}");
        assert!(family.help.ends_with('.') && !family.help.contains(['\n', '\\']), "{name}");
    }
}

#[test]
fn openmetrics_is_given_to_those_that_ask_for_it() {
    for (accept, format) in [
        ("", Format::Prometheus),
        ("*/*", Format::Prometheus),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Prometheus),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            Format::OpenMetrics,
        ),
        ("application/openmetrics-text;q=0.1,text/plain", Format::Prometheus),
        ("application/openmetrics-text; version=0.0.1,text/plain;q=0.5", Format::Prometheus),
    ] {
        assert_eq!(Format::accepted(accept), format, "{accept}");
    }
}
