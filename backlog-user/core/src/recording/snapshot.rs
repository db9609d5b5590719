//! The state of a model as events that restore it: the beginning of a file whose predecessors may
//! be gone. Pure.

use crate::event::{Count, Event, What};
use crate::model::Model;
use crate::model::page::Page;

/// Events that, applied to an empty model, restore this one together with its
/// [`ModelSnapshot`](crate::model::snapshot::ModelSnapshot).
#[must_use]
pub fn events(model: &Model, now_ns: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for page in model.pages() {
        let listener = page.listener.id;
        let time_ns = page.first_seen_ns;
        events.push(Event { time_ns, what: What::Listener(page.listener.clone()) });
        let mut now = |what| events.push(Event { time_ns: now_ns, what });
        now(What::Count { listener, count: Box::new(count(page)) });
        if let Some((moved, _)) = page.sk_drops {
            now(What::SkDrops { listener, moved });
        }
        if let Some((time_ns, closed)) = page.closed {
            events.push(Event { time_ns, what: What::Closed(closed) });
        } else {
            let (depth, limit) = (page.depth(), page.listener.limit);
            now(What::DepthSample { listener, depth, limit });
        }
    }
    for (netns, settings, moved, begins) in model.known_namespaces() {
        let mut now = |what| events.push(Event { time_ns: now_ns, what });
        now(What::Namespace { netns, settings });
        if begins {
            now(What::Baseline { netns });
        }
        now(What::Counters { netns, moved: Box::new(moved) });
    }
    events
}

/// A count as if everything had been counted at once.
fn count(page: &Page) -> Count {
    Count {
        totals: page.totals,
        recent_peak: 0,
        recent_longest_ns: 0,
        waits: page.wait.moves(),
        depths: page.depth.moves(),
        last_accept: page.last_accept,
        accepted_ns: page.accepted_ns(),
        ..Count::default()
    }
}
