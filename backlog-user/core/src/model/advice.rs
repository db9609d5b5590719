//! Conclusions from the model about a listener, which need more than its own page.

use super::Model;
use super::clients::UnadmittedClients;
use super::group::{self, AtClose, Unbalanced};
use super::page::Page;
use super::sizing::{self, Given, Sizing};
use crate::model::saturating::saturating;

/// The most listeners at one address that are compared with each other. A server has as many
/// members as CPUs, and twice as many after a reload.
const COMPARED: usize = 2048;

impl Model {
    /// The verdict on a listener at this time.
    #[must_use]
    pub fn sizing(&self, page: &Page, time_ns: u64) -> Sizing {
        let listener = &page.listener;
        let entry_bytes =
            if listener.local.is_ipv4() { self.memory.ipv4 } else { self.memory.ipv6 };
        let end_ns = page.closed.map_or(time_ns, |(closed_ns, _)| closed_ns);
        let given = Given {
            client_timeout_ns: self.client_timeout_ns,
            somaxconn: self.settings_of(listener.netns).and_then(|set| set.somaxconn),
            entry_bytes,
            elapsed_ns: end_ns.saturating_sub(page.first_seen_ns),
            unbalanced: self.unbalanced(page, time_ns),
            partial: self.one_family
                && listener.local.is_ipv6()
                && listener.local.ip().is_unspecified()
                && !listener.v6_only,
            end_ns,
            syncookies: self.settings_of(listener.netns).and_then(|set| set.syncookies),
        };
        sizing::of(page, &given)
    }

    /// The contents of a closed member's queues.
    #[must_use]
    pub fn at_close(&self, page: &Page) -> Option<AtClose> {
        let migrate_req = self.settings_of(page.listener.netns).and_then(|set| set.migrate_req);
        group::at_close(page, self.beside(page), migrate_req)
    }

    /// The imbalance if this listener waits or drops while other members of its group have room.
    #[must_use]
    pub fn unbalanced(&self, page: &Page, time_ns: u64) -> Option<Unbalanced> {
        group::unbalanced(page, self.beside(page), time_ns)
    }

    /// The likely outcome of the clients of a listener that the server has not accepted. With
    /// `admitted` they add up to `clients`.
    #[must_use]
    pub fn unadmitted(&self, page: &Page, time_ns: u64) -> UnadmittedClients {
        if page.clients() == 0 {
            return UnadmittedClients::default();
        }
        // After a listener has closed, it answers no retry, or another listener does: a client that
        // has been silent since then has not given up, and one that was still trying has no known
        // outcome.
        let closed_ns = page.closed.map(|(closed_ns, _)| closed_ns);
        let until_ns = closed_ns.map_or(time_ns, |closed_ns| closed_ns.min(time_ns));
        let known = self.clients.unadmitted(page.listener.id, page.depth(), until_ns);
        let gave_up = known.gave_up.saturating_add(page.ended.gave_up);
        let believing = known.believing.saturating_add(page.ended.believing);
        let trying = if closed_ns.is_some() { 0 } else { known.trying };
        let reset = page.ended.reset;
        let unknown =
            page.clients().saturating_sub(saturating([page.admitted, gave_up, reset, trying]));
        UnadmittedClients { gave_up, believing, reset, trying, unknown }
    }

    /// The listeners at this one's address in its namespace, which may be its group. Each is
    /// compared with all others, so if there are too many, none is.
    fn beside(&self, page: &Page) -> impl Iterator<Item = &Page> {
        let all = self.addresses.beside(&page.listener).filter(|all| all.len() <= COMPARED);
        all.into_iter().flatten().filter_map(|id| self.get(*id))
    }
}
