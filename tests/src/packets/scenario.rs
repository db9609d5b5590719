//! The scenarios, with their names on the command line and the limits within which they are exact.
//! `plays` runs them.

use std::ops::RangeInclusive;

use clap::ValueEnum;

/// The kinds of loss, and of events that only look like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Scenario {
    /// SYNs that find the accept queue full
    SynOverflow,
    /// Final ACKs of half-open requests that find it full
    AckOverflow,
    /// ACKs of SYN cookies that find it full
    CookieOverflow,
    /// As ack-overflow, with `tcp_abort_on_overflow`: answered by resets
    AbortOnOverflow,
    /// Refused ACKs of SYN cookies, and what the clients send when there is room again
    CookieReturns,
    /// SYNs that find the SYN queue full, without SYN cookies
    SynQueueFull,
    /// SYNs refused by the last quarter of `tcp_max_syn_backlog`
    LastQuarter,
    /// SYNs that find the SYN queue full and come through by a cookie: no loss
    SynQueueCookies,
    /// ACKs with a wrong SYN cookie: no loss
    CookieFailed,
    /// SYNs of clients that there is no route to
    NoRouteSyn,
    /// Final ACKs after the route to the client has vanished
    NoRouteAck,
    /// The same with SYN cookies; the kernel counts no loss
    NoRouteCookie,
    /// Requests never acknowledged, given up after the last SYN-ACK: no loss
    Expired,
    /// The same, given up early because the SYN queue is half full: no loss
    Pruned,
    /// SYNs that ask an MPTCP listener to join an unknown connection: no loss
    JoinRefused,
    /// Requests whose client cannot be reached, by ICMP: no drop of the queue
    Unreachable,
    /// Packets for requests that are discarded with no loss at all
    Harmless,
    /// Fast Open SYNs that find their queue full and fall back: no loss
    FastopenFull,
    /// Queued connections, killed by the close of their listener: no drop
    Killed,
    /// Queued connections that move to another listener of the group: no loss
    Migrated,
    /// Final ACKs whose listener leaves LISTEN meanwhile: a race
    ListenerLeft,
}

impl Scenario {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The name of the cause in the tool's output; None if nothing is dropped.
    #[must_use]
    pub fn cause(self) -> Option<&'static str> {
        match self {
            Self::SynOverflow => Some("accept_queue_full_syn"),
            Self::AckOverflow => Some("accept_queue_full_ack"),
            Self::CookieOverflow | Self::CookieReturns => Some("accept_queue_full_cookie"),
            Self::AbortOnOverflow => Some("accept_queue_full_reset"),
            Self::SynQueueFull => Some("syn_queue_full"),
            Self::LastQuarter => Some("last_quarter"),
            Self::NoRouteSyn => Some("other"),
            Self::NoRouteAck | Self::NoRouteCookie => Some("no_child"),
            Self::ListenerLeft => Some("listener_left"),
            Self::SynQueueCookies
            | Self::CookieFailed
            | Self::Expired
            | Self::Pruned
            | Self::JoinRefused
            | Self::Unreachable
            | Self::Harmless
            | Self::FastopenFull
            | Self::Killed
            | Self::Migrated => None,
        }
    }

    /// The backlogs with which it is exact.
    #[must_use]
    pub fn backlogs(self) -> RangeInclusive<u16> {
        match self {
            // Seven requests are kept, while the SYN queue must not be full.
            Self::LastQuarter => 8..=100,
            // Half of the queue stays, at least eight requests; one must be given up.
            Self::Pruned => 5..=100,
            // All requests of a round are in the SYN queue at once.
            Self::ListenerLeft => 64..=100,
            _ => 3..=100,
        }
    }

    /// The default backlog.
    #[must_use]
    pub fn usual_backlog(self) -> u16 {
        match self {
            Self::NoRouteAck
            | Self::Expired
            | Self::FastopenFull
            | Self::Harmless
            | Self::Unreachable => 8,
            Self::LastQuarter | Self::Pruned | Self::Migrated => 16,
            Self::ListenerLeft => 100,
            _ => 4,
        }
    }

    /// The largest `--count` with that backlog; None if the option has no meaning.
    #[must_use]
    pub fn most(self, backlog: u16) -> Option<u16> {
        // The number of requests that may stay.
        let half = backlog.max(8) / 2;
        match self {
            Self::SynOverflow | Self::NoRouteSyn => Some(20_000),
            // More would take so long that the kernel gives up requests.
            Self::SynQueueFull | Self::LastQuarter => Some(2_000),
            // Each gets an answer, and the device holds at most 500.
            Self::CookieOverflow | Self::CookieFailed | Self::NoRouteCookie | Self::JoinRefused => {
                Some(100)
            }
            // They fill the accept queue.
            Self::SynQueueCookies => Some(backlog + 1),
            // They are in the SYN queue, or migrate into one queue together.
            Self::NoRouteAck
            | Self::Harmless
            | Self::Unreachable
            | Self::FastopenFull
            | Self::Migrated => Some(backlog),
            // None may be given up early.
            Self::Expired => Some(half.min(backlog)),
            // The others stay.
            Self::Pruned => Some(backlog.saturating_sub(half)),
            Self::ListenerLeft => Some(20),
            Self::AckOverflow | Self::AbortOnOverflow | Self::CookieReturns | Self::Killed => None,
        }
    }

    /// The default `--count` with that backlog.
    #[must_use]
    pub fn usual_count(self, backlog: u16) -> u16 {
        let usual = if self == Self::ListenerLeft { 1 } else { 5 };
        self.most(backlog).map_or(usual, |most| usual.min(most))
    }

    /// Can a refused packet be repeated and is refused again?
    #[must_use]
    pub fn repeats(self) -> bool {
        match self {
            // The first reset removes the request; each round has its own clients.
            Self::AbortOnOverflow | Self::CookieReturns | Self::ListenerLeft => false,
            _ => self.cause().is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_within_the_limits() {
        for scenario in Scenario::value_variants() {
            let name = scenario.name();
            assert!(scenario.backlogs().contains(&scenario.usual_backlog()), "{name}");
            for backlog in scenario.backlogs() {
                let usual = scenario.usual_count(backlog);
                assert!(usual >= 1, "{name} with a backlog of {backlog}");
                assert!(scenario.most(backlog).is_none_or(|most| usual <= most), "{name}");
            }
        }
    }

    #[test]
    fn those_that_die_and_those_that_stay_fit_into_the_syn_queue() {
        for backlog in Scenario::Pruned.backlogs() {
            let most = Scenario::Pruned.most(backlog).unwrap();
            assert_eq!(most + backlog.max(8) / 2, backlog);
        }
        // All expiring requests are within the number that may stay.
        assert_eq!(Scenario::Expired.most(4), Some(4));
        assert_eq!(Scenario::Expired.most(8), Some(4));
        assert_eq!(Scenario::Expired.most(32), Some(16));
    }
}
