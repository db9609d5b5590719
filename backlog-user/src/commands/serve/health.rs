//! Tells whether the session still publishes metrics.

use std::time::Duration;

use super::page::Published;

/// The session is stuck if its last page is older than this many intervals and than [`AGE`].
const INTERVALS: u32 = 10;
const AGE: Duration = Duration::from_mins(1);

/// See the module documentation.
#[derive(Clone)]
pub(super) struct Health {
    pub(super) published: Published,
    longest: Duration,
}

impl Health {
    pub(super) fn new(published: Published, interval: Duration) -> Self {
        Self { published, longest: interval.saturating_mul(INTERVALS).max(AGE) }
    }

    /// Pages are being published, or the service has just started.
    pub(super) fn is_alive(&self) -> bool {
        self.published.borrow().as_ref().is_none_or(|page| page.at.elapsed() < self.longest)
    }

    /// The first page was published.
    pub(super) fn is_ready(&self) -> bool {
        self.published.borrow().is_some() && self.is_alive()
    }
}
