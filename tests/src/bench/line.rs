//! The output: one JSON object per line for each tracer and scenario.

use anyhow::Result;
use serde::Serialize;

use super::rounds::Taken;
use super::scenario::Scenario;
use crate::output::write_truth;

/// One line.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Line<'a> {
    Measured {
        tracer: &'a str,
        scenario: Scenario,
        #[serde(flatten)]
        taken: Taken,
        /// What the tracer's own process took meanwhile, for each turn.
        process: f64,
    },
    /// A turn of a loop of the part scale.
    Scaled {
        tracer: &'a str,
        scenario: &'a str,
        #[serde(flatten)]
        taken: Taken,
        process: f64,
    },
    /// Some other number of it.
    Value { tracer: &'a str, scenario: &'a str, name: &'a str, value: f64 },
    /// What its process takes in a second when nothing happens.
    Idle { tracer: &'a str, idle: f64 },
    /// How it is attached.
    Attached { tracer: &'a str, attached: &'a str },
    /// Why a tracer has no result.
    Absent { tracer: &'a str, absent: String },
}

impl Line<'_> {
    /// Prints it.
    pub(super) fn tell(&self) -> Result<()> {
        write_truth(self, None)
    }
}
