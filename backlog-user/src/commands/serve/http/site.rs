//! What is served.

use std::sync::Arc;

use crate::commands::serve::board::Board;
use crate::commands::serve::health::Health;
use crate::commands::serve::turn::Turns;
use crate::output::record::ring::Ring;

/// See the module's head.
pub(in crate::commands::serve) struct Site {
    pub(in crate::commands::serve) health: Health,
    pub(in crate::commands::serve) board: Arc<Board>,
    /// What reports are made of; none: the page is off.
    pub(in crate::commands::serve) past: Option<Ring>,
    /// One report at a time is made.
    pub(in crate::commands::serve) reports: Turns,
}
