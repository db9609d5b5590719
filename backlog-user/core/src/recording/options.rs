//! The options that decide what a run shows, which a replay therefore repeats.

use serde::{Deserialize, Serialize};

use crate::event::form::is_zero;

/// Filled in by the command line, stored in the header of a recording, and applied by a run, live
/// or replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayOptions {
    /// Ports were given: their listeners have rows even while nothing happens.
    pub named_ports: bool,
    /// `--until-drop`.
    pub until_drop: Option<u64>,
    /// The share of the limit whose use is reported, percent: `--until-use` or `--warn-use`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_use: Option<u32>,
    /// `--client-timeout`, nanoseconds; none in early recordings.
    #[serde(default)]
    pub client_timeout_ns: Option<u64>,
    /// `-4` or `-6`: clients of the other family are filtered out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub one_family: bool,
}
