//! The outcome: a table, and a list of what is wrong.

use std::fmt::Write as _;
use std::iter;
use std::time::Duration;

use serde_json::Value;

use super::churn::{Counted, Loads};
use super::samples::Samples;
use super::traced::Run;
use super::trouble::Counts;

/// All results at the end.
pub(super) struct Outcome {
    pub(super) elapsed: Duration,
    pub(super) loads: Loads,
    pub(super) run: Run,
    pub(super) samples: Samples,
    pub(super) troubles: Counts,
    /// Programs in the kernel that did not exist before.
    pub(super) programs_left: usize,
    pub(super) disk_full: bool,
}

/// The name of a count, and the count.
type Field = (&'static str, fn(&Counted) -> u64);

const FIELDS: [Field; 3] = [
    ("enqueued", |counted| counted.enqueued),
    ("accepted", |counted| counted.accepted),
    ("drops", |counted| counted.drops),
];

/// Events in the line `end` that the tool has seen without a listener, or has not seen.
const UNATTRIBUTED: [&str; 5] = [
    "/events_without_slot",
    "/accepts_without_listener",
    "/drops_without_listener",
    "/drops_possibly_uncounted",
    "/missed_by_programs",
];

/// The maximum number of differences to list.
const NAMED: usize = 10;

impl Outcome {
    /// The sum over the loads, and that of the tool for the loads' ports.
    fn totals(&self, field: fn(&Counted) -> u64) -> (u64, u64) {
        let seen = &self.run.totals.by_port;
        let own = self.loads.keys().filter_map(|port| seen.get(port));
        (self.loads.values().map(field).sum(), own.map(field).sum())
    }

    /// The loads for which the tool has a different count.
    fn differences(&self, field: fn(&Counted) -> u64) -> Vec<(u16, u64, u64)> {
        let seen = |port| self.run.totals.by_port.get(port).copied().unwrap_or_default();
        let both = self.loads.iter().map(|(port, load)| (*port, field(load), field(&seen(port))));
        both.filter(|(_, load, tool)| load != tool).collect()
    }

    /// Counts that differ by more than the tool itself reports as seen without a listener, or
    /// missed.
    fn off(&self, name: &str, field: fn(&Counted) -> u64) -> Vec<String> {
        let differences = self.differences(field);
        let off: u64 = differences.iter().map(|(_, load, tool)| load.abs_diff(*tool)).sum();
        let reported: u64 = UNATTRIBUTED.iter().filter_map(|name| self.end(name).as_u64()).sum();
        if off <= reported {
            return Vec::new();
        }
        let ports = differences.into_iter().take(NAMED);
        let each = ports.map(|(port, load, tool)| {
            format!("{name} on port {port}: {load} by the load, {tool} by the tool")
        });
        let all = format!("{name}: {off} off, and the tool reports {reported} as not attributed");
        iter::once(all).chain(each).collect()
    }

    /// A value in the tool's line `end`.
    fn end(&self, pointer: &str) -> Value {
        let end = self.run.totals.end.as_ref();
        end.and_then(|end| end.pointer(pointer)).cloned().unwrap_or_default()
    }

    fn meta(&self, name: &str) -> String {
        let meta = self.run.totals.meta.as_ref().and_then(|meta| meta[name].as_str());
        meta.unwrap_or("unknown").to_owned()
    }

    /// The table as Markdown.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        let (kernel, backend) = (self.meta("kernel"), self.meta("backend"));
        let minutes = self.elapsed.as_secs_f64() / 60.0;
        writeln!(to, "## Kernel {kernel}, {backend}, {minutes:.1} minutes\n")?;
        writeln!(to, "| | by the loads | by the tool | loads that differ |\n|---|---|---|---|")?;
        for (name, field) in FIELDS {
            let (loads, tool) = self.totals(field);
            let differ = self.differences(field).len();
            writeln!(to, "| {name} | {loads} | {tool} | {differ} of {} |", self.loads.len())?;
        }
        writeln!(
            to,
            "\n| quarter | anonymous memory, KiB | descriptors | threads |\n|---|---|---|---|"
        )?;
        for (number, most) in (1..).zip(self.samples.quarters()) {
            let super::samples::Most { memory, descriptors, threads } = most;
            writeln!(to, "| {number} | {memory} | {descriptors} | {threads} |")?;
        }
        writeln!(to, "\n| meanwhile | times |\n|---|---|")?;
        for (what, count) in &self.troubles {
            writeln!(to, "| {what} | {count} |")?;
        }
        writeln!(to, "\n| at the end | |\n|---|---|")?;
        let disk = if self.disk_full { "full" } else { "not full" };
        writeln!(to, "| the tool | {} |", self.run.ended())?;
        writeln!(to, "| the disk of the recording | {disk} |")?;
        let recording = shown(&self.end("/recording_incomplete"), "complete");
        // Without the name of its file, which differs from run to run.
        let (_, recording) = recording.split_once(" is ").unwrap_or(("", &recording));
        writeln!(to, "| recording | {recording} |")?;
        for pointer in ENDED {
            writeln!(to, "| {} | {} |", named(pointer), shown(&self.end(pointer), "unknown"))?;
        }
        writeln!(to, "| programs left in the kernel | {} |", self.programs_left)
    }

    /// Everything that is wrong.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures = self.samples.growth();
        for (name, field) in FIELDS {
            failures.extend(self.off(name, field));
        }
        for text in self.run.totals.contradictions().into_iter().take(NAMED) {
            failures.push(format!("intervals and summaries differ: {text}"));
        }
        if self.loads.is_empty() {
            failures.push("no load came to its end".to_owned());
        }
        if self.programs_left > 0 {
            failures.push(format!("{} programs are left in the kernel", self.programs_left));
        }
        let incomplete = self.end("/recording_incomplete").is_string();
        if incomplete != self.disk_full {
            failures.push("the recording is incomplete if and only if the disk is full".to_owned());
        }
        let expected = if incomplete { 2 } else { 0 };
        if self.run.status.code() != Some(expected) {
            failures.push(format!("the tool ended with {}, not {expected}", self.run.ended()));
        }
        if incomplete && !self.run.errors.contains("is incomplete") {
            failures.push(format!("stderr does not name the full disk: {}", self.run.errors));
        }
        failures
    }
}

/// The fields of the line `end` on what was not seen.
const ENDED: [&str; 9] = [
    "/events_without_slot",
    "/events_at_closed",
    "/accepts_without_listener",
    "/drops_without_listener",
    "/drops_possibly_uncounted",
    "/undecoded_records",
    "/missed_by_programs",
    "/summaries_left_out",
    "/namespaces_ended/different",
];

fn named(pointer: &str) -> String {
    format!("`{}`", pointer.trim_start_matches('/').replace('/', "."))
}

fn shown(value: &Value, null: &str) -> String {
    match value {
        Value::Null => null.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
