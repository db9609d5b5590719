//! The tool's JSON lines as types, with only those fields that the tests use. Unknown fields and
//! types are not an error, because the contract may grow; the raw value stays available.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::listener::Listener;

/// A line of output.
#[derive(Clone, Debug)]
pub struct Line {
    /// The parsed line.
    pub kind: Kind,
    /// The whole object.
    pub raw: Value,
}

/// The content of a line, by its `type`.
#[derive(Clone, Debug)]
pub enum Kind {
    /// How the tool runs; the first line.
    Meta(Meta),
    /// A listener was found or changed.
    Listener(Box<Listener>),
    /// The last interval of a listener.
    Interval(Interval),
    /// A packet was refused.
    Drop(DropLine),
    /// The whole run of a listener; these are the last lines.
    Summary(Box<Summary>),
    /// A type that was added later.
    Other(String),
}

/// `meta`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// When the run began, in RFC 3339 with nine digits like all times.
    pub time: String,
    /// Version of the contract.
    pub schema: u64,
    /// The backend.
    pub backend: String,
    /// Which hook is attached in which way.
    pub hooks: BTreeMap<String, Value>,
}

/// `interval`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Interval {
    /// The ID of the listener.
    pub listener: Value,
    /// Connections that were enqueued.
    pub enqueued: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Drops in the interval.
    pub drops: Value,
}

/// `drop`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DropLine {
    /// When the packet was refused.
    pub time: String,
    /// The ID of the listener.
    pub listener: Value,
    /// The cause.
    pub cause: String,
    /// The affected client; absent if the hook does not know it.
    pub client: Option<Client>,
    /// The initial sequence number of its SYN.
    pub isn: Option<u32>,
    /// The depth of the queue at that time.
    pub depth: Option<u64>,
    /// Its limit.
    pub limit: Option<u64>,
    /// The length of the SYN queue at that time.
    pub syn_queue: Option<u64>,
    /// The CPU that handled the packet.
    pub cpu: Option<u32>,
    /// When this client was first refused, if that was earlier.
    pub retry_of: Option<Value>,
    /// True: it was refused earlier, at an unknown time.
    pub retry: Option<bool>,
}

/// The address of a client.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Client {
    /// Address.
    pub addr: String,
    /// Port.
    pub port: u16,
}

/// `summary`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// When the run ended.
    pub time: String,
    /// The listener.
    pub listener: Listener,
    /// Connections that were enqueued.
    pub enqueued: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that are still queued.
    pub queued: u64,
    /// Connections that no program saw before they were accepted.
    pub unseen: u64,
    /// Side events, which are not drops of the queue.
    pub beside: BTreeMap<String, Value>,
    /// The deepest queue.
    pub peak: Peak,
    /// The depths that arrivals caused.
    pub depth: Distribution,
    /// Waits in microseconds.
    pub wait_us: Distribution,
    /// Refused packets.
    pub drops: Drops,
    /// The kernel's counters compared with the tool's.
    pub reconciled: BTreeMap<String, Reconciled>,
    /// Records that did not fit into the ring buffer, as a number or by kind.
    pub lost_records: Value,
    /// The advice.
    pub sizing: Value,
    /// Connections that were abandoned in the queue.
    pub abandoned: Value,
    /// Runs of drops.
    pub episodes: Value,
    /// Accepts by process and thread.
    pub accepts: Value,
}

/// `peak`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Peak {
    /// The depth.
    pub depth: u64,
    /// When it was first reached; None if the queue was never used.
    pub time: Option<String>,
}

/// A summarised distribution. Numbers may be fractions, or null if nothing was measured.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Distribution {
    /// Median.
    pub p50: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// The histogram itself.
    pub buckets: Vec<Bucket>,
}

impl Distribution {
    /// How many values are in the histogram.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }
}

/// One bucket of a histogram.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Bucket {
    /// Values in it.
    pub count: u64,
}

/// `drops` of a summary: the total, the clients, and a number for each cause.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Drops {
    /// The sum over the causes.
    pub total: u64,
    /// Distinct clients hit.
    pub clients: Option<u64>,
    /// The causes, and everything that was added later.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Summary {
    /// The count of a side event.
    #[must_use]
    pub fn beside(&self, name: &str) -> u64 {
        self.beside.get(name).and_then(Value::as_u64).unwrap_or(0)
    }
}

impl Drops {
    /// Packets refused for one cause, or another number in the object.
    #[must_use]
    pub fn of(&self, cause: &str) -> u64 {
        self.rest.get(cause).and_then(Value::as_u64).unwrap_or(0)
    }

    /// How long after their first refusal clients were admitted, in microseconds.
    #[must_use]
    pub fn delay_us(&self) -> Value {
        self.rest.get("delay_us").cloned().unwrap_or_default()
    }
}

/// A reconciled kernel counter.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct Reconciled {
    /// The kernel's.
    pub kernel: u64,
    /// The tool's.
    pub seen: u64,
}

impl Line {
    /// Parses a line.
    ///
    /// # Errors
    /// When it is not a JSON object with `type` and `time`, or a known type violates the contract.
    pub fn parse(text: &str) -> Result<Self> {
        let raw: Value = serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))?;
        let name = raw.get("type").and_then(Value::as_str);
        let name = name.with_context(|| format!("no type: {text}"))?;
        let time = raw.get("time").and_then(Value::as_str);
        time.with_context(|| format!("no time: {text}"))?;
        let kind = match name {
            "meta" => Kind::Meta(read(&raw)?),
            "listener" => Kind::Listener(Box::new(read(&raw)?)),
            "interval" => Kind::Interval(read(&raw)?),
            "drop" => Kind::Drop(read(&raw)?),
            "summary" => Kind::Summary(Box::new(read(&raw)?)),
            other => Kind::Other(other.to_owned()),
        };
        Ok(Self { kind, raw })
    }

    /// Does it have this type? Also for types that only a few tests use.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.raw.get("type").is_some_and(|one| one == name)
    }
}

/// Converts a line, or a part of one, to a type.
pub(super) fn read<T: DeserializeOwned>(raw: &Value) -> Result<T> {
    T::deserialize(raw).with_context(|| format!("against the contract: {raw}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_and_new_fields_are_no_error() {
        let text = r#"{"type":"summary","time":"2026-01-01T00:00:00Z","new":1,
            "listener":{"id":1,"addr":"::","port":8000,"limit":16,"cgroup":null},
            "enqueued":17,"accepted":0,"queued":17,"peak":{"depth":17,"time":"t"},
            "drops":{"total":4,"clients":3,"accept_queue_full_syn":4,"why":"x"},
            "depth":{"p50":null,"max":null,"buckets":[]},
            "wait_us":{"p50":null,"max":1.5,"buckets":[{"le":2,"count":3}]},
            "reconciled":{"ListenOverflows":{"kernel":4,"seen":4}}}"#;
        let Kind::Summary(summary) = Line::parse(text).unwrap().kind else {
            panic!("no summary");
        };
        assert_eq!((summary.peak.depth, summary.listener.limit), (17, 16));
        assert_eq!(summary.drops.of("accept_queue_full_syn"), 4);
        assert_eq!(summary.drops.of("why"), 0);
        assert_eq!(summary.drops.clients, Some(3));
        assert_eq!(summary.wait_us.count(), 3);
        assert_eq!(summary.wait_us.p50, None);
        assert_eq!(summary.reconciled["ListenOverflows"].seen, 4);
    }

    #[test]
    fn an_unknown_type_is_kept_and_a_broken_line_is_not() {
        let line = Line::parse(r#"{"type":"news","time":"t"}"#).unwrap();
        assert!(matches!(line.kind, Kind::Other(name) if name == "news"));
        assert!(Line::parse(r#"{"type":"meta"}"#).is_err());
        assert!(Line::parse("meta").is_err());
    }
}
