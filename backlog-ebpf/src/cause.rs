//! The causes of drops, and the side events. The numbers are indexes into
//! [`Totals`](crate::totals::Totals) and cross the ring buffer as plain `u32`.
//!
//! Each has one row here: its name in JSON, CSV and the summary, the kernel counters that it moves
//! (for reconciliation), its meaning for users, and how the programs detect it; a cause also has
//! whether a larger limit would have helped (for sizing) and a remedy. The tables of
//! docs/CAUSES.md, the names in docs/schema.json and `explain` come from these rows.

use crate::counter::Counter;

/// Defines an enum from rows; the number of a row is its position.
macro_rules! rows {
    (
        $(#[$about:meta])*
        $table:ident
        $($(#[$doc:meta])* $row:ident {
            name: $name:literal,
            moves: [$($counter:ident),*],
            meaning: $meaning:literal,
            witness: $witness:literal,
        })+
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum $table {
            $($(#[$doc])* $row),+
        }

        impl $table {
            /// All rows, in the order of their numbers.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$row),+];

            /// The number of rows.
            pub const COUNT: usize = [$(stringify!($row)),+].len();

            /// The name in JSON, CSV and the summary.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$row => $name),+
                }
            }

            /// The kernel counters that one occurrence moves.
            #[must_use]
            pub const fn moves(self) -> &'static [Counter] {
                match self {
                    $(Self::$row => &[$(Counter::$counter),*]),+
                }
            }

            /// What happened, in a few words for newcomers.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$row => $meaning),+
                }
            }

            /// How the programs on kernel functions detect it.
            #[must_use]
            pub const fn witness(self) -> &'static str {
                match self {
                    $(Self::$row => $witness),+
                }
            }
        }
    };
}

/// Defines the causes of drops.
macro_rules! causes {
    (
        $(#[$about:meta])*
        $table:ident
        $($(#[$doc:meta])* $row:ident {
            name: $name:literal,
            moves: [$($counter:ident),*],
            by_limit: $by_limit:literal,
            meaning: $meaning:literal,
            witness: $witness:literal,
            remedy: $remedy:literal,
        })+
    ) => {
        rows! {
            $(#[$about])*
            $table
            $($(#[$doc])* $row {
                name: $name,
                moves: [$($counter),*],
                meaning: $meaning,
                witness: $witness,
            })+
        }

        impl $table {
            /// Whether the limit caused the drop. (The SYN queue has the same limit.)
            #[must_use]
            pub const fn is_by_limit(self) -> bool {
                match self {
                    $(Self::$row => $by_limit),+
                }
            }

            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$row => $remedy),+
                }
            }
        }
    };
}

causes! {
    /// A reason why a listener dropped a client's packet.
    ///
    /// docs/CAUSES.md says how each is detected.
    Cause
    /// A SYN, while the accept queue was full (`ListenOverflows` in `tcp_conn_request`).
    AcceptQueueFullSyn {
        name: "accept_queue_full_syn",
        moves: [ListenOverflows, ListenDrops],
        by_limit: true,
        meaning: "a SYN: the accept queue was full, so the client tries again",
        witness: "ListenOverflows moved in `tcp_conn_request`",
        remedy: "nobody accepted fast enough: follow the verdict",
    }
    /// The last ACK of a handshake, while the accept queue was full
    /// (`ListenOverflows` in `tcp_check_req`). The server sends its SYN-ACK again.
    AcceptQueueFullAck {
        name: "accept_queue_full_ack",
        moves: [ListenOverflows, ListenDrops],
        by_limit: true,
        meaning: "the last ACK of a handshake: the accept queue was full, so the client believes that it \
                  is connected until it hears otherwise",
        witness: "ListenOverflows moved in `tcp_check_req`",
        remedy: "nobody accepted fast enough: follow the verdict",
    }
    /// The last ACK of a SYN-cookie handshake, while the accept queue was full (`cookie_v4_check`).
    /// The server keeps no state of the client.
    AcceptQueueFullCookie {
        name: "accept_queue_full_cookie",
        moves: [ListenOverflows, ListenDrops],
        by_limit: true,
        meaning: "the last ACK of a SYN-cookie handshake: the accept queue was full; the client believes \
                  that it is connected, and nothing on the server remembers it",
        witness: "ListenOverflows moved in `cookie_v4_check` or `cookie_v6_check`",
        remedy: "nobody accepted fast enough: follow the verdict",
    }
    /// As `AcceptQueueFullAck`, answered with a reset (`tcp_abort_on_overflow`).
    AcceptQueueFullReset {
        name: "accept_queue_full_reset",
        moves: [ListenOverflows, ListenDrops],
        by_limit: true,
        meaning: "the last ACK of a handshake: the accept queue was full, and the client was reset \
                  (tcp_abort_on_overflow)",
        witness: "ListenOverflows moved in `tcp_check_req`, and EmbryonicRsts moved or the sysctl \
                  is set at that moment",
        remedy: "nobody accepted fast enough: follow the verdict; and `sysctl -w \
                 net.ipv4.tcp_abort_on_overflow=0`, so that clients are not reset",
    }
    /// A SYN, while the SYN queue was full and cookies were off (`TCPReqQFullDrop`).
    SynQueueFull {
        name: "syn_queue_full",
        moves: [ListenDrops, ReqQFullDrop],
        by_limit: true,
        meaning: "a SYN: the SYN queue was full, and SYN cookies are off",
        witness: "TCPReqQFullDrop moved in `tcp_conn_request`",
        remedy: "handshakes were not finished fast enough (distant clients, or a SYN flood): turn SYN \
                 cookies on (`sysctl -w net.ipv4.tcp_syncookies=1`), or set a larger limit",
    }
    /// A SYN, by the last-quarter rule of `tcp_max_syn_backlog`.
    LastQuarter {
        name: "last_quarter",
        moves: [ListenDrops],
        by_limit: false,
        meaning: "a SYN of an unknown client: the last quarter of tcp_max_syn_backlog is kept for known \
                  ones, and SYN cookies are off",
        witness: "ListenDrops moved in `tcp_conn_request`, and `tcp_peer_is_proven` was called in \
                  it and returned false: the kernel calls it for this rule alone",
        remedy: "turn SYN cookies on (`sysctl -w net.ipv4.tcp_syncookies=1`), or raise \
                 `net.ipv4.tcp_max_syn_backlog`",
    }
    /// A last ACK: no memory or no route for the child socket.
    NoChild {
        name: "no_child",
        moves: [ListenDrops],
        by_limit: false,
        meaning: "a last ACK: no memory or no route for the connection",
        witness: "ListenDrops moved alone in `tcp_check_req` or the cookie check; or a valid \
                  cookie came to nothing before a child was made (PassiveOpens did not move; no \
                  other counter does)",
        remedy: "no queue was full: look for a lack of memory, a missing route, a security module \
                 (`dmesg`)",
    }
    /// The listener left LISTEN while the handshake finished.
    ListenerLeft {
        name: "listener_left",
        moves: [ListenDrops],
        by_limit: false,
        meaning: "a last ACK: the listener was closing",
        witness: "`inet_child_forget` was called for a connection that was about to be queued, at \
                  a socket that is not in LISTEN. `ListenDrops` moves for data of a Fast Open SYN, \
                  and no counter for an ACK",
        remedy: "the listener closed during the handshake, by a restart or a reload: keep the old \
                 socket open, or let `SO_REUSEPORT` members take over (`net.ipv4.tcp_migrate_req`)",
    }
    /// A SYN: `ListenDrops` moved in `tcp_conn_request`, and no other counter explains it (no
    /// memory, no route, a security module, TCP-AO).
    Other {
        name: "other",
        moves: [ListenDrops],
        by_limit: false,
        meaning: "a SYN: no memory, no route to the client, a security module, or TCP-AO",
        witness: "ListenDrops moved alone in `tcp_conn_request`, and no other function explains it",
        remedy: "no queue was full: look for a lack of memory, a missing route, a security module \
                 (`dmesg`)",
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
    SynCookieSent {
        name: "syn_cookie_sent",
        moves: [SyncookiesSent],
        meaning: "a SYN was answered with a cookie",
        witness: "SyncookiesSent moved in `tcp_conn_request`",
    }
    /// An ACK that carried a valid SYN cookie (`SyncookiesRecv`).
    SynCookieValid {
        name: "syn_cookie_valid",
        moves: [SyncookiesRecv],
        meaning: "an ACK brought a valid cookie",
        witness: "SyncookiesRecv moved in the cookie check",
    }
    /// A connection that was built from a SYN cookie and queued.
    SynCookieAccepted {
        name: "syn_cookie_accepted",
        moves: [],
        meaning: "a connection that was built from a cookie was queued",
        witness: "`inet_csk_reqsk_queue_add` was called within the cookie check",
    }
    /// An ACK whose SYN cookie was wrong or too old (`SyncookiesFailed`).
    SynCookieFailed {
        name: "syn_cookie_failed",
        moves: [SyncookiesFailed],
        meaning: "an ACK brought a cookie that was wrong or too old",
        witness: "SyncookiesFailed moved in the cookie check",
    }
    /// A SYN that met a full SYN queue (or `tcp_syncookies=2`) and was to get a
    /// cookie (`TCPReqQFullDoCookies`).
    SynQueueFullCookie {
        name: "syn_queue_full_cookie",
        moves: [ReqQFullDoCookies],
        meaning: "a SYN met a full SYN queue and a cookie took its place (with tcp_syncookies=2: \
                  every SYN); it may still be dropped for a full accept queue",
        witness: "TCPReqQFullDoCookies moved in `tcp_conn_request`",
    }
    /// A Fast Open SYN that met a full Fast Open queue and fell back to a handshake
    /// (`TCPFastOpenListenOverflow`).
    FastopenQueueFull {
        name: "fastopen_queue_full",
        moves: [FastOpenListenOverflow],
        meaning: "a Fast Open SYN fell back to a handshake: the Fast Open queue was full",
        witness: "TCPFastOpenListenOverflow moved in `tcp_conn_request`",
    }
    /// A Fast Open SYN for which no child could be made; it fell back to a handshake,
    /// yet moved `ListenDrops`.
    FastopenFailed {
        name: "fastopen_failed",
        moves: [ListenDrops],
        meaning: "a Fast Open child could not be made; a handshake follows, though the kernel \
                  counts a ListenDrop",
        witness: "TCPFastOpenPassiveFail and ListenDrops moved in `tcp_conn_request`",
    }
    /// A request that was never finished and has used up its SYN-ACKs.
    Expired {
        name: "expired",
        moves: [],
        meaning: "a request was given up after all its SYN-ACKs: the client never finished, or its \
                  last ACK was refused each time",
        witness: "`reqsk_timer_handler` left it without another timeout",
    }
    /// A request that was given up early, since the SYN queue was more than half full.
    Pruned {
        name: "pruned",
        moves: [],
        meaning: "a request was given up early, since the SYN queue was more than half full",
        witness: "`reqsk_timer_handler` left it without another timeout, while 2 × length > max(8, \
                  limit) and SYN-ACKs were left",
    }
    /// A request that was given up because an ICMP message said that the client cannot be
    /// reached; moves `ListenDrops`.
    Unreachable {
        name: "unreachable",
        moves: [ListenDrops],
        meaning: "a request was given up because an ICMP message said that the client cannot be \
                  reached; the kernel counts a ListenDrop",
        witness: "ListenDrops moved in `tcp_req_err`",
    }
    /// A SYN that asked to join an MPTCP connection and was refused; moves `ListenDrops`.
    JoinRefused {
        name: "join_refused",
        moves: [ListenDrops],
        meaning: "an MPTCP join with an unknown token was refused: not a connection of its own",
        witness: "ListenDrops moved alone in `tcp_conn_request`, which had called \
                  `mptcp_token_get_sock`",
    }
    /// A queued connection that died because its listener closed or shut down.
    KilledAtClose {
        name: "killed_at_close",
        moves: [],
        meaning: "a queued connection died because its listener closed or shut down",
        witness: "`inet_child_forget` was called for a queued connection. No counter moves",
    }
    /// A queued connection that went to another listener of the group when its own closed.
    Migrated {
        name: "migrated",
        moves: [],
        meaning: "a queued connection went to another listener of its group when its own closed \
                  (tcp_migrate_req)",
        witness: "`reuseport_migrate_sock` returned a listener",
    }
    /// A queued connection that came from a listener of the group that closed.
    MigratedIn {
        name: "migrated_in",
        moves: [],
        meaning: "a queued connection came from a listener of its group that closed \
                  (tcp_migrate_req)",
        witness: "`reuseport_migrate_sock` returned this listener",
    }
    /// A packet that was ignored and lost nothing: a duplicate SYN, a bare ACK under
    /// `TCP_DEFER_ACCEPT`, a reset by the client. It moves `sk_drops`.
    Ignored {
        name: "ignored",
        moves: [],
        meaning: "a packet that lost nothing: a duplicate SYN, a bare ACK under TCP_DEFER_ACCEPT, \
                  a reset by the client",
        witness: "`tcp_check_req` returned nothing and ListenDrops did not move; or the packet \
                  belongs to no request and has no ACK",
    }
    /// A connection that its client had reset by the time it was accepted.
    AbandonedReset {
        name: "abandoned_reset",
        moves: [],
        meaning: "a connection that its client had reset by the time it was accepted (it stays in \
                  the queue until then)",
        witness: "the state of its socket at the accept: CLOSE",
    }
    /// A connection that its client had closed (FIN) by the time it was accepted: the client has
    /// gone, or it still waits for an answer and will send nothing more.
    AbandonedFin {
        name: "abandoned_fin",
        moves: [],
        meaning: "a connection that its client had ended by the time it was accepted (it stays in \
                  the queue until then)",
        witness: "the state of its socket at the accept: CLOSE_WAIT",
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
