//! Runs each scenario with the kernel settings that it needs. The modules are grouped by what they
//! provoke; each returns what it has done.

mod accept_queue;
mod closing;
mod cookies;
mod discarded;
mod fastopen;
mod left;
mod no_route;
mod returns;
mod syn_queue;
mod timers;

use anyhow::Result;

use super::done::Done;
use super::options::Options;
use super::scenario::Scenario;
use super::stage::Stage;
use crate::sysctl::Sysctl;

/// The settings that a scenario needs, which are restored when dropped.
pub(super) fn settings(scenario: Scenario) -> Result<Vec<Sysctl>> {
    let cookies = match scenario {
        // Always: every SYN is answered with a cookie, and none is queued.
        Scenario::CookieOverflow
        | Scenario::CookieReturns
        | Scenario::CookieFailed
        | Scenario::NoRouteCookie => "2",
        Scenario::SynQueueFull | Scenario::LastQuarter => "0",
        // Not 0, which would activate tcp_max_syn_backlog and its last quarter.
        _ => "1",
    };
    let abort = if scenario == Scenario::AbortOnOverflow { "1" } else { "0" };
    let own: &[(&str, &str)] = match scenario {
        // The last-quarter rule must not apply before the queue is full.
        Scenario::SynQueueFull => &[("tcp_max_syn_backlog", "4096")],
        Scenario::LastQuarter => &[("tcp_max_syn_backlog", syn_queue::MAX_SYN_BACKLOG)],
        Scenario::NoRouteSyn | Scenario::NoRouteAck | Scenario::NoRouteCookie => {
            // Otherwise the packets of clients without a route would not arrive. The new device
            // gets the default.
            &[("conf.all.rp_filter", "0"), ("conf.default.rp_filter", "0")]
        }
        // Requests are given up after the first SYN-ACK, after a second.
        Scenario::Expired => &[("tcp_synack_retries", "0")],
        Scenario::Pruned => &[("tcp_synack_retries", "5")],
        // Enables Fast Open for servers (2), without the cookie (0x200).
        Scenario::FastopenFull => &[("tcp_fastopen", "514")],
        Scenario::Migrated => &[("tcp_migrate_req", "1")],
        _ => &[],
    };
    [("tcp_syncookies", cookies), ("tcp_abort_on_overflow", abort)]
        .iter()
        .chain(own)
        .map(|(name, value)| Sysctl::set(&format!("net.ipv4.{name}"), value))
        .collect()
}

/// Runs the scenario.
pub(super) fn play(stage: &mut Stage, options: &Options) -> Result<Done> {
    match options.scenario {
        Scenario::SynOverflow => accept_queue::syn_overflow(stage, options),
        Scenario::AckOverflow => accept_queue::ack_overflow(stage, options),
        Scenario::CookieOverflow => accept_queue::cookie_overflow(stage, options),
        Scenario::AbortOnOverflow => accept_queue::abort_on_overflow(stage, options),
        Scenario::CookieReturns => returns::cookies(stage, options),
        Scenario::SynQueueFull => syn_queue::full(stage, options),
        Scenario::LastQuarter => syn_queue::last_quarter(stage, options),
        Scenario::SynQueueCookies => syn_queue::cookies(stage, options),
        Scenario::CookieFailed => cookies::failed(stage, options),
        Scenario::NoRouteSyn => no_route::syn(stage, options),
        Scenario::NoRouteAck => no_route::ack(stage, options),
        Scenario::NoRouteCookie => no_route::cookie(stage, options),
        Scenario::Expired => timers::expired(stage, options),
        Scenario::Pruned => timers::pruned(stage, options),
        Scenario::JoinRefused => discarded::join_refused(stage, options),
        Scenario::Unreachable => discarded::unreachable(stage, options),
        Scenario::Harmless => discarded::harmless(stage, options),
        Scenario::FastopenFull => fastopen::full(stage, options),
        Scenario::Killed => closing::killed(stage, options),
        Scenario::Migrated => closing::migrated(stage, options),
        Scenario::ListenerLeft => left::listener_left(stage, options),
    }
}
