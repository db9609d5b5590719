//! The line of an event that needs attention at once: drops begin, a queue is nearly full, or
//! nobody accepts. It describes the listener itself, since `--on-event` passes only this line to a
//! command.

use std::net::IpAddr;

use backlog_core::clock::Clock;
use backlog_core::event::Acceptor;
use backlog_core::model::Refusal;
use backlog_core::model::high_use::HighUse;
use backlog_core::model::page::Page;
use backlog_core::text::acceptor::sentence;
use backlog_core::text::owner_text;
use backlog_ebpf::cause::Cause;
use serde::Serialize;

use super::refusal::Client;
use super::values::{At, Id, Named, Process, Time};

/// `event`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct EventLine<'a> {
    #[serde(flatten)]
    at: At,
    /// What happened.
    event: EventKind,
    /// The `id` of the listener.
    listener: Id,
    /// The address and port of the listener, of a member of a group also its number (`#2`), and the
    /// network namespace if others have the same address.
    name: String,
    /// The address that the listener is bound to.
    addr: IpAddr,
    /// The port that it is bound to.
    port: u16,
    /// The inode number of its network namespace.
    netns: u32,
    /// The name of its network namespace. Null: not known.
    netns_name: Option<&'a str>,
    /// Its main process. Null: not known.
    process: Option<Process<'a>>,
    /// Connections in the accept queue: at the drop, at the peak, or now. Null: not known.
    depth: Option<u32>,
    /// The limit then. If it changed in the interval of a peak whose time is unknown, the smallest
    /// one.
    limit: u32,
    /// With `high_use`, the share of the limit that was reached, percent. Null: another event.
    level: Option<u32>,
    /// With `high_use`, when the queue was so deep. Null: another event, or at an unknown time in
    /// the interval that ends at `time`.
    peak_time: Option<Time>,
    /// With `drops`, why the first packet was refused. Null: another event, or the drops were only
    /// counted.
    cause: Option<Named<Cause>>,
    /// With `drops`, where that packet came from. Null: likewise.
    client: Option<Client>,
    /// The event in words.
    text: String,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// An episode of drops begins.
    Drops,
    /// The peak of the accept queue reaches the share of the limit that `--until-use` or
    /// `--warn-use` names.
    HighUse,
    /// Nobody has accepted for a second although the queue is not empty.
    Stall,
}

impl<'a> EventLine<'a> {
    /// An episode of drops begins.
    pub(crate) fn drops(clock: &Clock, page: &'a Page, refusal: &Refusal) -> Self {
        let Refusal { time_ns, drop, .. } = refusal;
        let (cause, client) = (drop.cause.name(), drop.client);
        let queue = (Some(drop.depth), drop.limit);
        let words = format!("drops begin: {cause} at {}/{}, {client}", drop.depth, drop.limit);
        Self {
            cause: Some(Named(drop.cause)),
            client: Some(client.into()),
            ..Self::of(clock, *time_ns, EventKind::Drops, page, queue, &words)
        }
    }

    /// The start of an episode whose drops were only counted, at the end of an interval.
    pub(crate) fn counted_drops(clock: &Clock, time_ns: u64, page: &'a Page) -> Self {
        let words = "drops begin: they are only counted";
        Self::of(clock, time_ns, EventKind::Drops, page, (None, page.listener.limit), words)
    }

    /// A queue is nearly full.
    pub(crate) fn high_use(clock: &Clock, page: &'a Page, high: &HighUse) -> Self {
        let queue = (Some(high.depth), high.limit);
        Self {
            level: Some(high.level),
            peak_time: high.peak_ns.map(|peak_ns| Time::of(clock, peak_ns)),
            ..Self::of(clock, high.time_ns, EventKind::HighUse, page, queue, &high.words())
        }
    }

    /// Nobody accepts.
    pub(crate) fn stall(clock: &Clock, time_ns: u64, page: &'a Page, acceptor: &Acceptor) -> Self {
        let queue = (Some(page.depth()), page.listener.limit);
        let words = sentence(acceptor);
        Self::of(clock, time_ns, EventKind::Stall, page, queue, &words)
    }

    fn of(
        clock: &Clock,
        time_ns: u64,
        event: EventKind,
        page: &'a Page,
        (depth, limit): (Option<u32>, u32),
        words: &str,
    ) -> Self {
        let listener = &page.listener;
        let name = page.full_name();
        let process = owner_text::process(listener).map(|process| format!(" ({process})"));
        Self {
            at: At::of(clock, time_ns),
            event,
            listener: listener.id.into(),
            addr: listener.local.ip(),
            port: listener.local.port(),
            netns: listener.netns.inode(),
            netns_name: listener.identity.netns.as_deref(),
            process: super::listener::process(listener),
            depth,
            limit,
            level: None,
            peak_time: None,
            cause: None,
            client: None,
            text: format!("{name}{}: {words}", process.unwrap_or_default()),
            name,
        }
    }

    /// What the event is about.
    pub(crate) fn kind(&self) -> EventKind {
        self.event
    }
}

#[cfg(test)]
mod tests {
    use super::EventLine;
    use crate::output::json::line::Line;
    use crate::output::schema;
    use crate::output::tests::listener;
    use backlog_core::clock::Clock;
    use backlog_core::event::{Acceptor, Caller, DropEvent, ListenerId};
    use backlog_core::model::Refusal;
    use backlog_core::model::high_use::HighUse;
    use backlog_core::model::page::Page;
    use serde_json::{Value, json};

    fn line(event: EventLine<'_>) -> Value {
        let line = serde_json::to_value(Line::Event(event)).unwrap();
        schema::check(&line);
        line
    }

    #[test]
    fn every_event_names_its_listener_and_follows_the_schema() {
        let clock = Clock::fixed(0);
        let mut page = Page::new(listener(1, "127.0.0.1:80"), 0);
        page.level(5, 16);
        let drop = DropEvent::made_up("10.0.0.9:1000".parse().unwrap(), 7);
        let refusal = Refusal { time_ns: 5, drop, retry_of_ns: None, first: true, episode: true };
        let drops = line(EventLine::drops(&clock, &page, &refusal));
        assert_eq!(drops["cause"], "accept_queue_full_syn");
        assert_eq!(drops["client"], json!({"addr": "10.0.0.9", "port": 1000}));
        let text = "127.0.0.1:80: drops begin: accept_queue_full_syn at 17/16, 10.0.0.9:1000";
        assert_eq!(drops["text"], text);
        let counted = line(EventLine::counted_drops(&clock, 5, &page));
        assert_eq!((&counted["event"], &counted["depth"]), (&json!("drops"), &Value::Null));
        let high = HighUse {
            listener: ListenerId(1),
            time_ns: 9,
            peak_ns: None,
            depth: 13,
            limit: 16,
            level: 80,
        };
        let unknown = line(EventLine::high_use(&clock, &page, &high));
        assert_eq!((&unknown["level"], &unknown["peak_time"]), (&json!(80), &Value::Null));
        assert_eq!(
            unknown["text"],
            "127.0.0.1:80: peak 13/16 in the last interval reaches 80 % of the limit"
        );
        let known = line(EventLine::high_use(&clock, &page, &HighUse { peak_ns: Some(7), ..high }));
        assert_eq!(known["peak_time"], "1970-01-01T00:00:00.000000007Z");
        let acceptor = Acceptor {
            listener: ListenerId(1),
            process: Caller { pid: 812, comm: "gunicorn".into() },
            looked_after_ns: 0,
            last_accept_ns: None,
            accepted_since_ns: None,
            tid: None,
            processes: 1,
            threads: 1,
            doing: Vec::new(),
            cpu_ns: None,
            cpu_over_ns: None,
            seen_accepting: false,
            gone: false,
            idle: true,
            holder: None,
            cpu_limit: None,
        };
        let stall = line(EventLine::stall(&clock, 5, &page, &acceptor));
        assert_eq!((&stall["event"], &stall["depth"]), (&json!("stall"), &json!(5)));
        for event in [drops, counted, unknown, known, stall] {
            assert_eq!((&event["addr"], &event["port"]), (&json!("127.0.0.1"), &json!(80)));
            assert!(event["text"].as_str().unwrap().starts_with("127.0.0.1:80: "), "{event}");
        }
    }
}
