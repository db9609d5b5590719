//! The last event of each kind for each listener and namespace, so that unchanged state need not be
//! written again. Writer and reader keep the same memory. Pure.

use std::collections::BTreeMap;

use super::line::Of;
use crate::event::What;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Memory {
    last: BTreeMap<(Of, u64), Told>,
    /// The number of the current interval.
    round: u64,
}

#[derive(Debug)]
struct Told {
    what: What,
    /// The interval of its last event.
    round: u64,
}

impl Memory {
    /// Stores an event. If it only repeats the last one, returns its kind and its listener or
    /// namespace.
    pub fn note(&mut self, what: &What) -> Option<(Of, u64)> {
        let key = key(what)?;
        let round = self.round;
        if let Some(told) = self.last.get_mut(&key) {
            told.round = round;
            if told.what == *what {
                return Some(key);
            }
            told.what.clone_from(what);
        } else {
            self.last.insert(key, Told { what: what.clone(), round });
        }
        None
    }

    /// The last event of this kind.
    pub fn recall(&mut self, of: Of, id: u64) -> Option<&What> {
        let told = self.last.get_mut(&(of, id))?;
        told.round = self.round;
        Some(&told.what)
    }

    /// The number of its entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.last.len()
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Ends an interval: entries without an event in it and in the previous one are evicted,
    /// because the number of short-lived listeners is unbounded.
    pub fn end_interval(&mut self) {
        let before = self.round;
        self.round += 1;
        self.last.retain(|_, told| told.round + 1 >= before);
    }
}

fn key(what: &What) -> Option<(Of, u64)> {
    match what {
        What::Count { listener, .. } => Some((Of::Count, listener.0.into())),
        What::DepthSample { listener, .. } => Some((Of::DepthSample, listener.0.into())),
        What::SkDrops { listener, .. } => Some((Of::SkDrops, listener.0.into())),
        What::Namespace { netns, .. } => Some((Of::Namespace, netns.number())),
        What::Counters { netns, .. } => Some((Of::Counters, netns.number())),
        What::Listener(_)
        | What::Closed(_)
        | What::Limit(_)
        | What::Identity { .. }
        | What::Drop(_)
        | What::Admitted(_)
        | What::Dequeued(_)
        | What::Acceptor(_)
        | What::AcceptErrors(_)
        | What::Memory(_)
        | What::Queued { .. }
        | What::Baseline { .. }
        | What::Ended { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;
    use crate::event::{ListenerId, What};
    use crate::recording::line::Of;

    fn level(id: u32, depth: u32) -> What {
        What::DepthSample { listener: ListenerId(id), depth, limit: 16 }
    }

    #[test]
    fn only_what_was_told_last_is_the_same() {
        let mut memory = Memory::default();
        assert_eq!(memory.note(&level(1, 3)), None);
        assert_eq!(memory.note(&level(2, 3)), None);
        assert_eq!(memory.note(&level(1, 3)), Some((Of::DepthSample, 1)));
        assert_eq!(memory.note(&level(1, 4)), None);
        assert_eq!(memory.note(&level(1, 3)), None);
        assert_eq!(memory.recall(Of::DepthSample, 1), Some(&level(1, 3)));
        assert_eq!(memory.recall(Of::Count, 1), None);
    }

    #[test]
    fn who_is_not_told_of_any_more_is_forgotten() {
        let mut memory = Memory::default();
        memory.note(&level(1, 3));
        memory.note(&level(2, 3));
        for _ in 0..3 {
            memory.end_interval();
            memory.note(&level(2, 3));
        }
        assert_eq!(memory.last.len(), 1);
        assert_eq!(memory.note(&level(1, 3)), None);
    }
}
