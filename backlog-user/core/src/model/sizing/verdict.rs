//! The verdicts: when each applies, and what to do then. docs/SIZING.md and `explain` read this.

/// What to do about a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the limit was enough.
    Fits,
    /// A larger queue would have absorbed the burst.
    Raise,
    /// No queue helps: clients arrive faster than they are accepted.
    AddWorkers,
    /// No backlog helps: nothing is accepted.
    AcceptorStalled,
    /// A member of a `SO_REUSEPORT` group waits or drops while others have room.
    Unbalanced,
    /// The data allow no conclusion.
    NotEnoughData,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 6] = [
        Self::Fits,
        Self::Raise,
        Self::AddWorkers,
        Self::AcceptorStalled,
        Self::Unbalanced,
        Self::NotEnoughData,
    ];

    /// All verdicts in the order in which they are tested: the first one that applies is given.
    pub const AS_TESTED: [Self; 6] = [
        Self::Unbalanced,
        Self::AcceptorStalled,
        Self::NotEnoughData,
        Self::AddWorkers,
        Self::Raise,
        Self::Fits,
    ];

    /// Whether the verdict asks for a change.
    #[must_use]
    pub fn is_trouble(self) -> bool {
        !matches!(self, Self::Fits | Self::NotEnoughData)
    }

    /// The name in JSON and in the summary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Raise => "raise",
            Self::AddWorkers => "add_workers",
            Self::AcceptorStalled => "acceptor_stalled",
            Self::Unbalanced => "unbalanced",
            Self::NotEnoughData => "not_enough_data",
        }
    }

    /// When it applies.
    #[must_use]
    pub fn when(self) -> &'static str {
        match self {
            Self::Fits => {
                "the limit refused nobody, no SYN needed a cookie for lack of room, nobody waited \
                 too long"
            }
            Self::Raise => "a larger queue would have absorbed the refused clients",
            Self::AddWorkers => {
                "clients arrived faster than they were accepted for longer than a client waits \
                 (`--client-timeout`, 5 s); or the last client in the needed queue would have \
                 waited longer than that; or accepted or still queued clients did; or clients left \
                 the queue before they were accepted"
            }
            Self::AcceptorStalled => {
                "connections are queued and nobody has accepted them for far longer than usual, \
                 until the end; or most clients were refused during such a time; or nobody was \
                 refused, but the pause made clients wait too long"
            }
            Self::Unbalanced => {
                "a member of a `SO_REUSEPORT` group waits or drops, or has stalled, while other \
                 members have room"
            }
            Self::NotEnoughData => {
                "fewer than 20 connections, no client refused, and nobody waited too long; or \
                 packets were refused, but no record of a refused client was kept; or nothing has \
                 been accepted since the refusals began, in a run that ended soon after; or the \
                 queue was still growing at the end; or the SYNs that were refused or answered with \
                 a cookie look like an attack; or `-4` or `-6` leaves out some of the \
                 clients that share the queue"
            }
        }
    }

    /// What to do then.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Fits => "nothing; `smallest_limit` would have been enough, for both queues",
            Self::Raise => {
                "pass `backlog` to `listen()`, set `net.core.somaxconn` to `somaxconn` if it is \
                 lower, and restart the server: a running listener keeps its limit until `listen()` \
                 is called again"
            }
            Self::AddWorkers => {
                "accept faster: `times_present_rate` says how much. A larger queue only turns \
                 refusals into waiting, and with more than `largest_backlog` clients wait in vain"
            }
            Self::AcceptorStalled => {
                "find out why nobody accepts: no backlog helps. The sentence says for how long, who \
                 accepted last, and how long the queued connections have waited"
            }
            Self::Unbalanced => {
                "find out why that member is slow, or accept from one shared socket"
            }
            Self::NotEnoughData => {
                "run it for longer, under load, or with a higher `--drop-records`, as the sentence \
                 says"
            }
        }
    }
}
