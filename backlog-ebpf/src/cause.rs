//! The causes of drops, and the side events. The numbers are indexes into
//! [`Totals`](crate::totals::Totals) and cross the ring buffer as plain `u32`.
//!
//! Each has one row here: its name in JSON, CSV and the summary, the counters of the kernel that
//! it moves (which reconciliation compares), and of a cause whether a larger limit would have
//! helped (which sizing asks) and what it means to people.

use crate::counter::Counter;

/// Makes an enum of rows; their numbers are their places.
macro_rules! rows {
    (
        $(#[$about:meta])*
        $table:ident
        $($(#[$doc:meta])* $row:ident { name: $name:literal, moves: [$($counter:ident),*] })+
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum $table {
            $($(#[$doc])* $row),+
        }

        impl $table {
            /// Every one, in the order of its number.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$row),+];

            /// How many there are.
            pub const COUNT: usize = [$(stringify!($row)),+].len();

            /// The name in JSON, CSV and the summary.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$row => $name),+
                }
            }

            /// The counters of the kernel that each one of it moves.
            #[must_use]
            pub const fn moves(self) -> &'static [Counter] {
                match self {
                    $(Self::$row => &[$(Counter::$counter),*]),+
                }
            }
        }
    };
}

/// Makes the causes of drops.
macro_rules! causes {
    (
        $(#[$about:meta])*
        $table:ident
        $($(#[$doc:meta])* $row:ident {
            name: $name:literal,
            moves: [$($counter:ident),*],
            by_limit: $by_limit:literal,
            meaning: $meaning:literal,
        })+
    ) => {
        rows! {
            $(#[$about])*
            $table
            $($(#[$doc])* $row { name: $name, moves: [$($counter),*] })+
        }

        impl $table {
            /// Does the limit refuse such a packet? (The SYN queue has the same one.)
            #[must_use]
            pub const fn is_by_limit(self) -> bool {
                match self {
                    $(Self::$row => $by_limit),+
                }
            }

            /// What was refused, and why, in a few words for newcomers. docs/CAUSES.md explains how
            /// each is detected.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$row => $meaning),+
                }
            }
        }
    };
}

causes! {
    /// One way in which a listener loses a packet of a client.
    ///
    /// docs/CAUSES.md says how each is known.
    Cause
    /// A SYN, while the accept queue was full (`ListenOverflows` in `tcp_conn_request`).
    AcceptQueueFullSyn {
        name: "accept_queue_full_syn",
        moves: [ListenOverflows, ListenDrops],
        by_limit: true,
        meaning: "a SYN: the accept queue was full, so the client tries again",
    }
    /// The last ACK of a handshake, while the accept queue was full
    /// (`ListenOverflows` in `tcp_check_req`). The server sends its SYN-ACK again.
    AcceptQueueFullAck {
        name: "accept_queue_full_ack",
        moves: [ListenOverflows, ListenDrops],
        by_limit: true,
        meaning: "the last ACK of a handshake: the accept queue was full, so the client believes that it \
                  is connected until it hears otherwise",
    }
    /// The last ACK of a SYN-cookie handshake, while the accept queue was full:
    /// nothing on the server remembers the client (`cookie_v4_check`).
    AcceptQueueFullCookie {
        name: "accept_queue_full_cookie",
        moves: [ListenOverflows, ListenDrops],
        by_limit: true,
        meaning: "the last ACK of a SYN-cookie handshake: the accept queue was full; the client believes \
                  that it is connected, and nothing on the server remembers it",
    }
    /// As `AcceptQueueFullAck`, answered with a reset (`tcp_abort_on_overflow`).
    AcceptQueueFullReset {
        name: "accept_queue_full_reset",
        moves: [ListenOverflows, ListenDrops],
        by_limit: true,
        meaning: "the last ACK of a handshake: the accept queue was full, and the client was reset \
                  (tcp_abort_on_overflow)",
    }
    /// A SYN, while the SYN queue was full and cookies were off (`TCPReqQFullDrop`).
    SynQueueFull {
        name: "syn_queue_full",
        moves: [ListenDrops, ReqQFullDrop],
        by_limit: true,
        meaning: "a SYN: the SYN queue was full, and SYN cookies are off",
    }
    /// A SYN, by the last-quarter rule of `tcp_max_syn_backlog`.
    LastQuarter {
        name: "last_quarter",
        moves: [ListenDrops],
        by_limit: false,
        meaning: "a SYN of an unknown client: the last quarter of tcp_max_syn_backlog is kept for known \
                  ones, and SYN cookies are off",
    }
    /// A last ACK: no memory or no route for the child socket.
    NoChild {
        name: "no_child",
        moves: [ListenDrops],
        by_limit: false,
        meaning: "a last ACK: no memory or no route for the connection",
    }
    /// The listener left LISTEN while the handshake finished.
    ListenerLeft {
        name: "listener_left",
        moves: [ListenDrops],
        by_limit: false,
        meaning: "a last ACK: the listener was closing",
    }
    /// A SYN: `ListenDrops` moved in `tcp_conn_request` and none of the others
    /// explains it (no memory, no route, a security module, TCP-AO).
    Other {
        name: "other",
        moves: [ListenDrops],
        by_limit: false,
        meaning: "a SYN: no memory, no route to the client, a security module, or TCP-AO",
    }
}

impl Cause {
    /// The cause with this number, if there is one.
    #[must_use]
    pub fn from_wire(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

rows! {
    /// A side event: not a drop, but worth reporting.
    Beside
    /// A SYN answered with a SYN cookie (`SyncookiesSent`).
    SynCookieSent { name: "syn_cookie_sent", moves: [SyncookiesSent] }
    /// An ACK that carried a valid SYN cookie (`SyncookiesRecv`).
    SynCookieValid { name: "syn_cookie_valid", moves: [SyncookiesRecv] }
    /// A connection that was built from a SYN cookie and queued.
    SynCookieAccepted { name: "syn_cookie_accepted", moves: [] }
    /// An ACK whose SYN cookie was wrong or too old (`SyncookiesFailed`).
    SynCookieFailed { name: "syn_cookie_failed", moves: [SyncookiesFailed] }
    /// A SYN that met a full SYN queue (or `tcp_syncookies=2`) and was to get a
    /// cookie (`TCPReqQFullDoCookies`).
    SynQueueFullCookie { name: "syn_queue_full_cookie", moves: [ReqQFullDoCookies] }
    /// A Fast Open SYN that met a full Fast Open queue and fell back to a handshake
    /// (`TCPFastOpenListenOverflow`).
    FastopenQueueFull { name: "fastopen_queue_full", moves: [FastOpenListenOverflow] }
    /// A Fast Open SYN for which no child could be made; it fell back to a handshake,
    /// yet moved `ListenDrops`.
    FastopenFailed { name: "fastopen_failed", moves: [ListenDrops] }
    /// A request that was never finished and has used up its SYN-ACKs.
    Expired { name: "expired", moves: [] }
    /// A request that was given up early, since the SYN queue was more than half full.
    Pruned { name: "pruned", moves: [] }
    /// A request that was given up because an ICMP message said that the client cannot be
    /// reached; moves `ListenDrops`.
    Unreachable { name: "unreachable", moves: [ListenDrops] }
    /// A SYN that asked to join an MPTCP connection and was refused; moves `ListenDrops`.
    JoinRefused { name: "join_refused", moves: [ListenDrops] }
    /// A queued connection that died because its listener closed or shut down.
    KilledAtClose { name: "killed_at_close", moves: [] }
    /// A queued connection that went to another listener of the group when its own closed.
    Migrated { name: "migrated", moves: [] }
    /// A queued connection that came from a listener of the group that closed.
    MigratedIn { name: "migrated_in", moves: [] }
    /// A packet that was ignored and lost nothing: a duplicate SYN, a bare ACK under
    /// `TCP_DEFER_ACCEPT`, a reset by the client. It moves `sk_drops`.
    Ignored { name: "ignored", moves: [] }
    /// A connection that its client had reset by the time it was accepted.
    AbandonedReset { name: "abandoned_reset", moves: [] }
    /// A connection on whose way its client had ended (FIN) by the time it was accepted: it
    /// has gone, or it waits for an answer and has nothing more to say.
    AbandonedFin { name: "abandoned_fin", moves: [] }
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
