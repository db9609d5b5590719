//! The events that are not dispatched yet.

use backlog_core::event::{Event, What};

/// A queue that the source and the enrichers fill and the session empties. Its memory is reused
/// between batches.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) events: Vec<Event>,
    /// Messages that belong to the run; they precede the events.
    pub(super) notices: Vec<String>,
}

impl Queue {
    /// Adds an event.
    pub(super) fn push(&mut self, time_ns: u64, what: What) {
        self.events.push(Event { time_ns, what });
    }

    /// Adds a message.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.notices.push(text.into());
    }
}
