//! The contents of a member's queues when it closed, and whether `net.ipv4.tcp_migrate_req` moves
//! them to another member.

use backlog_ebpf::cause::Beside;

use super::super::page::Page;
use super::end_ns;
use crate::model::saturating::saturating;

/// See the module documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtClose {
    /// When it closed.
    pub time_ns: u64,
    /// Connections in its accept queue.
    pub queued: u32,
    /// Requests in its SYN queue.
    pub requests: u32,
    /// How many of the connections were seen to move to another member.
    pub moved: u64,
    /// Whether another member was open at that moment.
    pub other_open: bool,
    /// `net.ipv4.tcp_migrate_req` of its namespace; none: unknown, or the kernel is older than
    /// 5.14.
    pub migrate_req: Option<u8>,
}

impl AtClose {
    /// Whether the setting would have moved the lost connections; none: unknown.
    #[must_use]
    pub fn would_have_moved(&self) -> Option<bool> {
        if !self.other_open || self.is_empty() {
            return Some(false);
        }
        self.migrate_req.map(|set| set == 0)
    }

    /// Whether nothing was queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queued == 0 && self.requests == 0
    }
}

/// The contents of a closed member's queues.
pub(crate) fn of<'model>(
    page: &Page,
    pages: impl Iterator<Item = &'model Page>,
    migrate_req: Option<u8>,
) -> Option<AtClose> {
    let (time_ns, closed) = page.closed?;
    let members = super::of(page, pages)?;
    let was_open = |other: &&Page| {
        other.listener.id != page.listener.id
            && (other.first_seen_ns..end_ns(other)).contains(&time_ns)
    };
    // With tracepoints, a migration is seen only when the connection is accepted at its new
    // listener.
    let own = page.totals.beside[Beside::Migrated as usize];
    let others = members.iter().filter(|other| other.listener.id != page.listener.id);
    let lost = |other: &&Page| other.closed.is_some_and(|(_, closed)| closed.depth > 0);
    let arrived =
        saturating(others.clone().map(|other| other.totals.beside[Beside::MigratedIn as usize]));
    let moved = if others.copied().any(|other| lost(&other)) { own } else { own.max(arrived) };
    Some(AtClose {
        time_ns,
        queued: closed.depth,
        requests: closed.syn_queue,
        moved,
        other_open: members.iter().any(was_open),
        migrate_req,
    })
}
