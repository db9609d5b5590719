//! How long the connections that are still queued at the end have been waiting.

use backlog_core::event::{ListenerId, What};

use crate::commands::trace::enrichers::Context;

/// Looks up the enqueue times of the connections that are still queued. Must be called when no
/// program runs any more.
pub(super) fn look_at_queues(context: &mut Context<'_>, start_ns: u64, time_ns: u64) {
    let Context { live, model, queue } = context;
    let open = model.open().filter(|page| page.depth() > 0);
    let depths: Vec<(ListenerId, u32)> =
        open.map(|page| (page.listener.id, page.depth())).collect();
    if depths.is_empty() {
        return;
    }
    let mut queued = live.queued();
    for (listener, depth) in depths {
        let known = queued.remove(&listener).unwrap_or_default();
        if let Some((since_ns, at_least)) = oldest(known, depth, start_ns) {
            queue.push(time_ns, What::Queued { listener, since_ns, at_least });
        }
    }
}

/// The enqueue time of the oldest of `depth` connections, and whether that is only a lower bound of
/// its wait. Queues are first in, first out, so entries beyond the depth are stale. The time of a
/// connection queued before the start is unknown.
fn oldest(mut known_ns: Vec<u64>, depth: u32, start_ns: u64) -> Option<(u64, bool)> {
    known_ns.sort_unstable_by(|one, other| other.cmp(one));
    let depth = usize::try_from(depth).ok()?;
    known_ns.truncate(depth);
    let all_known = known_ns.len() == depth;
    let since_ns = known_ns.pop()?;
    if since_ns == 0 { Some((start_ns, true)) } else { Some((since_ns, !all_known)) }
}

#[cfg(test)]
mod tests {
    use super::oldest;

    #[test]
    fn the_oldest_is_the_first_of_as_many_as_are_queued() {
        // One entry is stale.
        assert_eq!(oldest(vec![30, 10, 50, 40], 3, 5), Some((30, false)));
        // One connection has no entry.
        assert_eq!(oldest(vec![30, 40], 3, 5), Some((30, true)));
        // One connection was queued before the start.
        assert_eq!(oldest(vec![30, 0, 40], 3, 5), Some((5, true)));
        assert_eq!(oldest(Vec::new(), 3, 5), None);
    }
}
