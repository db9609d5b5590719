//! Why a packet was refused at a listener, and what is counted beside the
//! drops. The numbers are indexes into [`Totals`](crate::totals::Totals) and
//! cross the ring as plain `u32`.

/// One way in which a listener loses a packet of a client.
///
/// `kernel.md` rows a to k say which counters each of them moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Cause {
    /// A SYN, while the accept queue was full (`ListenOverflows` in `tcp_conn_request`).
    AcceptQueueFullSyn = 0,
    /// The last ACK of a handshake, while the accept queue was full
    /// (`ListenOverflows` in `tcp_check_req`). The server sends its SYN-ACK again.
    AcceptQueueFullAck = 1,
    /// The last ACK of a SYN-cookie handshake, while the accept queue was full:
    /// nothing on the server remembers the client (`tcp_get_cookie_sock`).
    AcceptQueueFullCookie = 2,
    /// As `AcceptQueueFullAck`, answered with a reset (`tcp_abort_on_overflow`).
    AcceptQueueFullReset = 3,
    /// A SYN, while the SYN queue was full and no cookie was sent (`TCPReqQFullDrop`).
    SynQueueFull = 4,
    /// A SYN, by the last-quarter rule of `tcp_max_syn_backlog`.
    LastQuarter = 5,
    /// No memory or no route for the child socket.
    NoChild = 6,
    /// The listener left LISTEN while the handshake finished.
    ListenerLeft = 7,
    /// `ListenDrops` moved and none of the others explains it.
    Other = 8,
}

impl Cause {
    /// How many causes there are.
    pub const COUNT: usize = 9;

    /// Every cause, in the order of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::AcceptQueueFullSyn,
        Self::AcceptQueueFullAck,
        Self::AcceptQueueFullCookie,
        Self::AcceptQueueFullReset,
        Self::SynQueueFull,
        Self::LastQuarter,
        Self::NoChild,
        Self::ListenerLeft,
        Self::Other,
    ];

    /// The cause with this number, if there is one.
    #[must_use]
    pub fn from_wire(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// The name in JSON and in the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcceptQueueFullSyn => "accept_queue_full_syn",
            Self::AcceptQueueFullAck => "accept_queue_full_ack",
            Self::AcceptQueueFullCookie => "accept_queue_full_cookie",
            Self::AcceptQueueFullReset => "accept_queue_full_reset",
            Self::SynQueueFull => "syn_queue_full",
            Self::LastQuarter => "last_quarter",
            Self::NoChild => "no_child",
            Self::ListenerLeft => "listener_left",
            Self::Other => "other",
        }
    }
}

/// What a listener did that is no drop, and yet worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Beside {
    /// A SYN answered with a SYN cookie (`SyncookiesSent`).
    SynCookieSent = 0,
    /// A connection that was built from a SYN cookie and queued.
    SynCookieAccepted = 1,
    /// A queued connection that died because its listener closed or shut down.
    KilledAtClose = 2,
}

impl Beside {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// Every one, in the order of its number.
    pub const ALL: [Self; Self::COUNT] =
        [Self::SynCookieSent, Self::SynCookieAccepted, Self::KilledAtClose];

    /// The name in JSON and in the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynCookieSent => "syn_cookie_sent",
            Self::SynCookieAccepted => "syn_cookie_accepted",
            Self::KilledAtClose => "killed_at_close",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Beside, Cause};

    #[test]
    fn numbers_are_the_indexes_of_all() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
            assert_eq!(Cause::from_wire(cause as u32), Some(cause));
        }
        for (index, beside) in Beside::ALL.into_iter().enumerate() {
            assert_eq!(beside as usize, index);
        }
        assert_eq!(Cause::from_wire(9), None);
    }
}
