//! Parses the output of `backlog-bench`, a JSON object per line, and computes differences from the
//! loop without a tracer. Pure.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The row without a tracer, and the one measured again after all tracers were detached.
const NONE: &str = "none";
pub(super) const AGAIN: &str = "none, at the end";
/// The row of the smallest possible tracer.
pub(super) const FLOOR: &str = "floor";
/// The tracer that most users would run instead.
pub(super) const TCPSYNBL: &str = "tcpsynbl (libbpf-tools)";

/// All rows of one kernel.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// Tables that could not be measured here, and why.
    pub(super) missing: Vec<(String, String)>,
}

/// A tracer, or the loop without one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) tracer: String,
    /// Its hooks, or the number of its programs.
    pub(super) attached: Option<String>,
    /// Why it was not measured.
    pub(super) absent: Option<String>,
    /// Instructions of its process per second when nothing happens.
    pub(super) idle: Option<f64>,
    figures: BTreeMap<String, Figure>,
    /// Other values, by scenario and name.
    values: BTreeMap<(String, String), f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Figure {
    figure: f64,
    process: f64,
}

/// The instructions that a tracer adds to one iteration of a loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extra {
    /// In the process that connects, accepts or receives: the hooks, and waking the tracer.
    pub(super) path: f64,
    /// In the tracer's own process.
    pub(super) process: f64,
}

impl Extra {
    /// The sum.
    pub(super) fn total(self) -> f64 {
        self.path + self.process
    }
}

impl Rows {
    /// Parses the lines.
    pub(super) fn parse(output: &str) -> Result<Self> {
        let mut rows = Self::default();
        for line in output.lines().filter(|line| line.starts_with('{')) {
            rows.add(line).with_context(|| format!("not of backlog-bench: {line}"))?;
        }
        Ok(rows)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let value: Value = serde_json::from_str(line)?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| value.get(key).and_then(Value::as_f64);
        let row = self.row(&text("tracer").context("no tracer")?);
        row.attached = text("attached").or(row.attached.take());
        row.absent = text("absent").or(row.absent.take());
        row.idle = number("idle").or(row.idle);
        let Some(scenario) = text("scenario") else { return Ok(()) };
        if let Some(name) = text("name") {
            row.values.insert((scenario, name), number("value").context("no value")?);
        } else {
            let figure = Figure {
                figure: number("figure").context("no figure")?,
                process: number("process").context("no process")?,
            };
            row.figures.insert(scenario, figure);
        }
        Ok(())
    }

    fn row(&mut self, tracer: &str) -> &mut Row {
        let place = self.rows.iter().position(|row| row.tracer == tracer).unwrap_or_else(|| {
            self.rows.push(Row { tracer: tracer.to_owned(), ..Row::default() });
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    /// The rows with a tracer, in the order measured.
    pub(super) fn tracers(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| ![NONE, AGAIN].contains(&row.tracer.as_str()))
    }

    /// The instructions of one iteration without a tracer.
    pub(super) fn base(&self, scenario: &str) -> Option<f64> {
        let none = self.rows.iter().find(|row| row.tracer == NONE)?;
        Some(none.figures.get(scenario)?.figure)
    }

    /// The instructions that a tracer adds; None if that was not measured.
    pub(super) fn extra(&self, tracer: &str, scenario: &str) -> Option<Extra> {
        let row = self.rows.iter().find(|row| row.tracer == tracer)?;
        let with = row.figures.get(scenario)?;
        Some(Extra {
            path: with.figure - self.base(scenario)?,
            // Its idle work per second was subtracted, sometimes slightly too much.
            process: with.process.max(0.0),
        })
    }

    /// The ratio of two figures; None if one is missing, or if the divisor is below one
    /// instruction.
    pub(super) fn ratio(&self, one: (&str, &str), other: (&str, &str)) -> Option<f64> {
        let of = |(tracer, scenario)| self.extra(tracer, scenario).map(Extra::total);
        let (one, other) = (of(one)?, of(other)?);
        (other >= 1.0).then(|| one / other)
    }

    /// Another value of a tracer.
    pub(super) fn value(&self, tracer: &str, scenario: &str, name: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.tracer == tracer)?;
        row.values.get(&(scenario.to_owned(), name.to_owned())).copied()
    }

    /// Records that a table could not be measured, with the first line of the reason.
    pub(super) fn miss(&mut self, table: &str, why: &str) {
        let why = why.lines().next().unwrap_or_default();
        self.missing.push((table.to_owned(), why.to_owned()));
    }

    /// Adds the rows of another guest.
    pub(super) fn extend(&mut self, other: Self) {
        self.missing.extend(other.missing);
        for Row { tracer, attached, absent, idle, figures, values } in other.rows {
            let row = self.row(&tracer);
            row.attached = attached.or(row.attached.take());
            row.absent = absent.or(row.absent.take());
            row.idle = idle.or(row.idle);
            row.figures.extend(figures);
            row.values.extend(values);
        }
    }

    /// Why a tracer has no row.
    pub(super) fn absent(&self, tracer: &str) -> Option<&str> {
        self.rows.iter().find(|row| row.tracer == tracer)?.absent.as_deref()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Rows with a floor of 400 and 1000 + 200 for the tool.
    pub(in crate::bench) const OUTPUT: &str = r#"noise
{"tracer":"none","scenario":"ipv4","figure":80000.0,"process":0.0}
{"tracer":"floor","attached":"fexit a"}
{"tracer":"floor","scenario":"ipv4","figure":80400.0,"process":0.0}
{"tracer":"backlog-trace fentry","idle":700.0}
{"tracer":"backlog-trace fentry","scenario":"ipv4","figure":81000.0,"process":200.0}
{"tracer":"tcpsynbl (bcc)","absent":"no headers"}
{"tracer":"none, at the end","scenario":"ipv4","figure":80003.0,"process":-0.1}
"#;

    #[test]
    fn a_tracer_adds_what_the_loop_has_not_without_it() {
        let rows = Rows::parse(OUTPUT).unwrap();
        let extra = rows.extra("backlog-trace fentry", "ipv4").unwrap();
        assert_eq!((extra.path, extra.process), (1000.0, 200.0));
        let ratio = rows.ratio(("backlog-trace fentry", "ipv4"), (FLOOR, "ipv4"));
        assert_eq!(ratio, Some(3.0));
        assert_eq!(rows.extra(FLOOR, "ipv6"), None);
        assert_eq!(rows.absent("tcpsynbl (bcc)"), Some("no headers"));
        assert_eq!(rows.tracers().count(), 3);
        assert_eq!(rows.extra(AGAIN, "ipv4").map(Extra::total), Some(3.0));
    }

    #[test]
    fn the_rows_of_two_guests_are_one_table() {
        let mut rows = Rows::parse(OUTPUT).unwrap();
        let other = r#"{"tracer":"floor","scenario":"start","name":"cpu","value":7.0}"#;
        rows.extend(Rows::parse(other).unwrap());
        assert_eq!(rows.value(FLOOR, "start", "cpu"), Some(7.0));
        assert_eq!(rows.value(FLOOR, "start", "wall"), None);
        assert_eq!(rows.extra(FLOOR, "ipv4").map(Extra::total), Some(400.0));
    }

    #[test]
    fn nothing_is_no_measure() {
        let rows = Rows::parse(OUTPUT).unwrap();
        assert_eq!(rows.ratio((FLOOR, "ipv4"), (NONE, "ipv4")), None);
        assert!(Rows::parse("{\"scenario\":\"ipv4\"}").is_err());
    }
}
