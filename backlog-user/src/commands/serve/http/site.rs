//! The data that the HTTP server serves.

use std::sync::Arc;

use crate::commands::serve::board::Board;
use crate::commands::serve::health::Health;
use crate::commands::serve::turn::Turns;
use crate::output::record::ring::Ring;

/// See the module documentation.
pub(in crate::commands::serve) struct Site {
    pub(in crate::commands::serve) health: Health,
    pub(in crate::commands::serve) board: Arc<Board>,
    /// The recording that reports are made from; None if the page is off.
    pub(in crate::commands::serve) past: Option<Ring>,
    /// Limits reports to one at a time.
    pub(in crate::commands::serve) reports: Turns,
}
