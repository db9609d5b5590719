//! Tests which hosts cause which findings.

use backlog_core::counter::Counter;

use super::{Finding, Kind, Level, find, is_any};
use crate::commands::listeners::host::{Host, Space};
use crate::commands::listeners::tests::{audited, host, set, space};
use crate::host::kernel::slab::Memory;

/// The findings, without those of level info.
fn of(host: &Host) -> Vec<(Level, Kind)> {
    let found = find(host);
    let told = found.iter().filter(|finding| finding.level > Level::Info);
    told.map(|finding| (finding.level, finding.kind)).collect()
}

fn of_space(space: Space) -> Vec<(Level, Kind)> {
    of(&host(vec![space]))
}

fn one(limit: u32, depth: u32) -> Space {
    space(vec![audited("0.0.0.0:80", limit, depth)])
}

/// The remedy of the only finding of this kind.
fn cure(space: Space, kind: Kind) -> String {
    let host = host(vec![space]);
    let found = find(&host);
    let mut of_kind = found.iter().filter(|finding| finding.kind == kind);
    let Finding { cure, .. } = of_kind.next().unwrap();
    cure.clone().unwrap()
}

#[test]
fn a_usual_host_has_none() {
    assert_eq!(of_space(one(128, 0)), []);
    assert_eq!(of_space(one(511, 3)), []);
    assert_eq!(of(&host(Vec::new())), []);
}

#[test]
fn a_queue_is_high_from_80_percent_and_full_above_its_limit() {
    let high = [(Level::Problem, Kind::QueueHigh)];
    assert_eq!(of_space(one(100, 79)), []);
    assert_eq!(of_space(one(100, 80)), high);
    assert_eq!(of_space(one(100, 100)), high);
    assert_eq!(of_space(one(100, 101)), [(Level::Problem, Kind::QueueFull)]);
    // 80% of 128 is 102.4.
    assert_eq!((of_space(one(128, 102)), of_space(one(128, 103))), (vec![], high.into()));
}

#[test]
fn a_limit_of_zero_is_full_with_one() {
    let kinds = |depth| of_space(space(vec![audited("127.0.0.1:80", 0, depth)]));
    assert_eq!(kinds(0), []);
    assert_eq!(kinds(1), [(Level::Problem, Kind::QueueFull)]);
}

#[test]
fn drops_count_if_the_namespace_has_refused_any() {
    let dropping = |overflows, drops, full| {
        let mut space = one(128, 0);
        space.listeners[0].listener.sk_drops = Some(3);
        set(&mut space, Counter::ListenOverflows, overflows);
        set(&mut space, Counter::ListenDrops, drops);
        set(&mut space, Counter::ReqQFullDrop, full);
        space
    };
    let problem = [(Level::Problem, Kind::Drops)];
    // Resets by a port scanner.
    assert_eq!(of_space(dropping(0, 0, 0)), []);
    assert_eq!(of_space(dropping(2, 2, 0)), problem);
    assert!(cure(dropping(2, 2, 0), Kind::Drops).contains("accept faster"));
    assert!(cure(dropping(0, 2, 2), Kind::Drops).contains("they are on now"));
    assert!(cure(dropping(0, 2, 0), Kind::Drops).contains("security module"));
    let mut on = dropping(0, 2, 2);
    on.settings.syncookies = Some(0);
    assert!(cure(on, Kind::Drops).contains("turn on cookies"));
    let unknown = Space { counters: None, ..dropping(0, 0, 0) };
    assert_eq!(of_space(unknown), problem);
}

#[test]
fn drops_of_listeners_that_are_closed_are_told_and_fail_no_check() {
    let told = |space: &Space| {
        let host = host(vec![space.clone()]);
        find(&host).iter().any(|finding| finding.kind == Kind::DropsOfClosed)
    };
    let mut gone = one(128, 0);
    assert!(!told(&gone));
    set(&mut gone, Counter::ListenDrops, 4);
    assert!(told(&gone) && of_space(gone.clone()).is_empty());
    // The drops may belong to a listener outside the selection.
    assert!(!told(&Space { left_out: 1, ..gone.clone() }));
    gone.listeners[0].listener.sk_drops = None;
    assert!(!told(&gone));
}

#[test]
fn the_ceiling_is_that_of_the_namespace() {
    assert_eq!(of_space(one(4096, 0)), [(Level::Notice, Kind::AtSomaxconn)]);
    assert_eq!(of_space(one(4095, 0)), []);
    let mut lowered = one(4096, 0);
    lowered.settings.somaxconn = Some(1024);
    assert_eq!(of_space(lowered.clone()), []);
    let host = host(vec![lowered]);
    assert!(find(&host).iter().any(|finding| finding.kind == Kind::AboveSomaxconn));
    let mut unknown = one(4096, 0);
    unknown.settings.somaxconn = None;
    assert_eq!(of_space(unknown), []);
}

#[test]
fn the_cure_depends_on_somaxconn() {
    let mut space = one(100, 90);
    assert!(cure(space.clone(), Kind::QueueHigh).contains("somaxconn permits 4096"));
    space.settings.somaxconn = Some(100);
    assert!(cure(space.clone(), Kind::QueueHigh).contains("raise net.core.somaxconn in"));
    space.settings.somaxconn = Some(50);
    assert!(cure(space, Kind::QueueHigh).contains("less than now"));
}

#[test]
fn a_small_limit_matters_where_others_can_reach_it() {
    let kinds = |local, limit| of_space(space(vec![audited(local, limit, 0)]));
    assert_eq!(kinds("0.0.0.0:80", 63), [(Level::Notice, Kind::SynQueueBound)]);
    assert_eq!(kinds("0.0.0.0:80", 64), []);
    assert_eq!((kinds("127.0.0.1:80", 5), kinds("[::1]:80", 5)), (vec![], vec![]));
}

#[test]
fn a_long_syn_queue_is_a_problem_without_cookies() {
    let mut space = one(128, 0);
    space.listeners[0].syn_queue = Some(102);
    assert_eq!(of_space(space.clone()), []);
    space.listeners[0].syn_queue = Some(103);
    assert_eq!(of_space(space.clone()), [(Level::Notice, Kind::SynQueueHigh)]);
    space.settings.syncookies = Some(0);
    let problem = (Level::Problem, Kind::SynQueueHigh);
    assert_eq!(of_space(space), [problem, (Level::Notice, Kind::SyncookiesOff)]);
}

#[test]
fn cookies_off_weigh_more_where_tcp_max_syn_backlog_is_the_bound() {
    let mut off = one(385, 0);
    off.settings.syncookies = Some(0);
    // Three quarters of 512, and the limit that reaches the last quarter.
    assert_eq!(of_space(off.clone()), [(Level::Notice, Kind::SyncookiesOff)]);
    off.listeners[0].listener.limit = 386;
    assert_eq!(of_space(off.clone()), [(Level::Problem, Kind::SyncookiesOff)]);
    off.settings.syncookies = None;
    assert_eq!(of_space(off), []);
}

/// The kernel refuses a SYN of an unknown client if `bound - pending < bound >> 2`. This finds the
/// number of pending requests at that point by trying.
#[test]
fn the_last_quarter_begins_where_the_kernel_says() {
    for bound in (0..=130_u32).chain([255, 256, 512, 1023, 1024, 4096, 65_536]) {
        let refuses = |pending: u32| i64::from(bound) - i64::from(pending) < i64::from(bound >> 2);
        let pending = (0..=bound + 1).find(|pending| refuses(*pending)).unwrap();
        let mut space = one(128, 0);
        space.settings.tcp_max_syn_backlog = Some(bound);
        assert_eq!(space.unknown_clients(), None, "with cookies");
        space.settings.syncookies = Some(0);
        assert_eq!(space.unknown_clients(), Some(pending), "tcp_max_syn_backlog {bound}");
    }
}

/// With 64, unknown clients get 49 places. Measured: 80 SYNs of unknown clients, 31 refused.
#[test]
fn drops_by_the_last_quarter_name_that_rule() {
    let mut quarter = one(1024, 0);
    quarter.settings.syncookies = Some(0);
    quarter.settings.tcp_max_syn_backlog = Some(64);
    quarter.listeners[0].listener.sk_drops = Some(31);
    set(&mut quarter, Counter::ListenDrops, 31);
    let told = cure(quarter.clone(), Kind::Drops);
    assert!(told.contains("while 49 handshakes are pending") && !told.contains("another cause"));
    let host = host(vec![quarter.clone()]);
    let found = find(&host);
    let off = found.iter().find(|finding| finding.kind == Kind::SyncookiesOff).unwrap();
    assert!(off.fact.contains("leaves 49 places"), "{}", off.fact);
    // Drops of an accept queue neither hide it nor are hidden by it.
    set(&mut quarter, Counter::ListenOverflows, 1);
    let both = cure(quarter.clone(), Kind::Drops);
    assert!(both.contains("accept faster") && both.contains("49 handshakes"), "{both}");
    // All drops were of the accept queue.
    set(&mut quarter, Counter::ListenOverflows, 31);
    assert!(!cure(quarter.clone(), Kind::Drops).contains("handshakes"));
    // A SYN queue that the limit bounds to fewer entries anyway.
    set(&mut quarter, Counter::ListenOverflows, 0);
    quarter.listeners[0].listener.limit = 48;
    assert!(cure(quarter, Kind::Drops).contains("another cause"));
}

#[test]
fn abort_on_overflow_is_a_problem_where_something_listens() {
    let mut space = one(128, 0);
    space.settings.abort_on_overflow = Some(1);
    assert_eq!(of_space(space.clone()), [(Level::Problem, Kind::AbortOnOverflow)]);
    space.listeners.clear();
    assert_eq!(of_space(space), []);
}

#[test]
fn who_asks_for_a_listener_that_is_not_there_is_told() {
    let mut nothing = Host { filtered: true, ..Host::default() };
    assert_eq!(of(&nothing), [(Level::Problem, Kind::NothingListens)]);
    nothing.spaces.push(one(128, 0));
    assert_eq!(of(&nothing), []);
}

#[test]
fn memory_is_told_of_the_dearest_and_fails_no_check() {
    let both = space(vec![audited("0.0.0.0:80", 4000, 0), audited("[::]:81", 4000, 0)]);
    let mut known = host(vec![both]);
    let found = find(&known);
    let [Finding { kind: Kind::Memory, fact, .. }] = found.as_slice() else { panic!("{found:?}") };
    // That is (320 + 2496 + 320) * 4001.
    assert!(fact.contains("2816 bytes") && fact.contains("at most 12.0 MiB"), "{fact}");
    assert!(!is_any(&found, Level::Notice));
    known.memory = Memory::default();
    assert!(find(&known)[0].fact.contains("is unknown"));
}

#[test]
fn a_check_for_problems_lets_notices_pass() {
    let host = host(vec![one(4096, 0)]);
    let found = find(&host);
    assert!(is_any(&found, Level::Notice) && !is_any(&found, Level::Problem));
    let worse = super::super::tests::host(vec![one(4096, 4097)]);
    let found = find(&worse);
    assert!(is_any(&found, Level::Problem));
    // The most severe first.
    assert!(found.is_sorted_by_key(|finding| std::cmp::Reverse(finding.level)));
}

#[test]
fn names_are_those_that_are_serialised() {
    for kind in [Kind::QueueFull, Kind::DropsOfClosed, Kind::SyncookiesOff, Kind::AtSomaxconn] {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    assert_eq!(serde_json::to_value(Level::Problem).unwrap(), Level::Problem.name());
}
