//! The contents of a member's queues when it closed, and whether `net.ipv4.tcp_migrate_req` moves
//! them to another member.

use backlog_ebpf::cause::Beside;

use super::super::page::Page;
use super::end_ns;
use crate::model::saturating::saturating;

/// See the module's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtClose {
    /// When it closed.
    pub time_ns: u64,
    /// Connections in its accept queue.
    pub queued: u32,
    /// Requests in its SYN queue.
    pub requests: u32,
    /// Those of the connections that were seen to move to another member.
    pub moved: u64,
    /// Was another member open at that moment?
    pub other_open: bool,
    /// `net.ipv4.tcp_migrate_req` of its namespace; none: not known, or the kernel is older
    /// than 5.14.
    pub migrate_req: Option<u8>,
}

impl AtClose {
    /// Would the setting have moved the lost connections? None: unknown.
    #[must_use]
    pub fn would_have_moved(&self) -> Option<bool> {
        if !self.other_open || self.is_empty() {
            return Some(false);
        }
        self.migrate_req.map(|set| set == 0)
    }

    /// Nothing was queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queued == 0 && self.requests == 0
    }
}

/// For a closed member of a group.
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
    // A tracepoint does not see it until the connection is accepted where it has moved to.
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
