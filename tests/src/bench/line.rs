//! The output: one JSON object per line for each tracer and scenario.

use anyhow::Result;
use serde::Serialize;

use super::rounds::Taken;
use super::scenario::Scenario;
use crate::output::write_truth;

/// A line.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Line<'a> {
    Measured {
        tracer: &'a str,
        scenario: Scenario,
        #[serde(flatten)]
        taken: Taken,
        /// The instructions of the tracer's own process during this, per turn.
        process: f64,
    },
    /// A turn in a loop of the part `scale`.
    Scaled {
        tracer: &'a str,
        scenario: &'a str,
        #[serde(flatten)]
        taken: Taken,
        process: f64,
    },
    /// Another value of the tracer.
    Value { tracer: &'a str, scenario: &'a str, name: &'a str, value: f64 },
    /// The instructions of its process per second when nothing happens.
    Idle { tracer: &'a str, idle: f64 },
    /// How it is attached.
    Attached { tracer: &'a str, attached: &'a str },
    /// Why a tracer has no result.
    Absent { tracer: &'a str, absent: String },
}

impl Line<'_> {
    /// Prints the line.
    pub(super) fn tell(&self) -> Result<()> {
        write_truth(self, None)
    }
}
