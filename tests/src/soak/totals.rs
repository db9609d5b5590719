//! Sums up the tool's lines by port while they arrive. It uses intervals, since summaries of closed
//! listeners are bounded.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::churn::Loads;
use crate::tracer::{Kind, Line};

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// The port of each listener.
    ports: HashMap<u64, u16>,
    pub(super) by_port: Loads,
    /// The same from the summaries, and the number of listeners per port without one.
    summaries: Loads,
    missing: BTreeMap<u16, u64>,
    /// The number of lines by type.
    pub(super) lines: BTreeMap<String, u64>,
    pub(super) end: Option<Value>,
    pub(super) meta: Option<Value>,
}

impl Totals {
    /// Adds a line.
    pub(super) fn take(&mut self, text: &str) -> Result<()> {
        let line = Line::parse(text)?;
        let kind = line.raw["type"].as_str().unwrap_or_default().to_owned();
        match &line.kind {
            Kind::Listener(listener) => {
                self.ports.insert(listener.id.as_u64().context("no id")?, listener.port);
                *self.missing.entry(listener.port).or_default() += 1;
            }
            Kind::Interval(interval) => {
                let id = interval.listener.as_u64().context("no id")?;
                let port = self.ports.get(&id).copied();
                let port = port.with_context(|| format!("an unknown listener: {text}"))?;
                let drops = interval.drops.as_u64().context("no number of drops")?;
                let sum = self.by_port.entry(port).or_default();
                sum.add(interval.enqueued, interval.accepted, drops);
            }
            Kind::Summary(summary) => {
                let port = summary.listener.port;
                let sum = self.summaries.entry(port).or_default();
                sum.add(summary.enqueued, summary.accepted, summary.drops.total);
                *self.missing.entry(port).or_default() -= 1;
            }
            Kind::Meta(_) => self.meta = Some(line.raw),
            _ if kind == "end" => self.end = Some(line.raw),
            _ => {}
        }
        *self.lines.entry(kind).or_default() += 1;
        Ok(())
    }
}

impl Totals {
    /// Ports whose summaries, if complete, contradict the intervals.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let complete = |port: &u16| self.missing.get(port) == Some(&0);
        let summaries = self.summaries.iter().filter(|(port, _)| complete(port));
        let differ = summaries.filter_map(|(port, summary)| {
            let intervals = self.by_port.get(port).copied().unwrap_or_default();
            (intervals != *summary).then(|| format!("port {port}: {intervals:?}, but {summary:?}"))
        });
        differ.collect()
    }
}
