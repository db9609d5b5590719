//! Tests with synthetic groups: each member has its own queue.

mod made_up;

use fastrand::Rng;

use self::made_up::{MS, Member, SECOND, id, run};
use super::{AtClose, Unbalanced, groups};
use crate::event::{Closed, Event, What};
use crate::model::Model;
use crate::model::sizing::Verdict;
use crate::settings::Settings;

/// 0.1 s, 1 s, and 10 s.
const INTERVALS: [u64; 3] = [100 * MS, SECOND, 10 * SECOND];

const END: u64 = 10 * SECOND;

fn steady(per_second: u64) -> Vec<u64> {
    (0..END).step_by(usize::try_from(SECOND / per_second).unwrap()).collect()
}

/// The finding at each member, which must be the same for every interval length.
fn found(members: &[Member]) -> Vec<Option<Unbalanced>> {
    let judged = INTERVALS.map(|interval_ns| {
        let model = run(members, interval_ns, END);
        let all = (0..members.len()).map(|index| {
            let page = model.get(id(index)).unwrap();
            let found = model.unbalanced(page, END);
            let verdict = model.sizing(page, END).verdict;
            assert_eq!(found.is_some(), verdict == Verdict::Unbalanced);
            found
        });
        all.collect::<Vec<_>>()
    });
    let [first, second, third] = judged;
    assert_eq!(first, second);
    assert_eq!(second, third);
    third
}

/// One of four members handles a slow request for 1.5 s in every 2 s.
fn skewed() -> Vec<Member> {
    let mut members = vec![Member::of(steady(40), 32); 4];
    members[1].stalls =
        (0..5).map(|index| (index * 2 * SECOND + SECOND / 2, (index + 1) * 2 * SECOND)).collect();
    members
}

fn why(members: &[Member], index: usize) -> String {
    let model = run(members, SECOND, END);
    model.sizing(model.get(id(index)).unwrap(), END).why
}

#[test]
fn a_member_that_is_slow_while_others_have_room_is_unbalanced() {
    let found = found(&skewed());
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false, false]);
    let evidence = found[1].unwrap();
    let Unbalanced { member, others, with_room, .. } = evidence;
    assert_eq!((member, others, with_room), (2, 3, 3));
    assert!(evidence.drops > 0 && evidence.others_drops == 0, "{evidence:?}");
    assert!(evidence.wait_us.unwrap() > 1_000_000, "{evidence:?}");
    assert!(evidence.others_wait_us.unwrap().1 < 10_000, "{evidence:?}");
    let why = why(&skewed(), 1);
    insta::assert_snapshot!(why);
}

#[test]
fn a_member_that_stalls_and_recovers_is_unbalanced() {
    let mut members = vec![Member::of(steady(60), 16); 2];
    members[0].stalls = vec![(0, 3 * SECOND)];
    let found = found(&members);
    assert!(found[0].is_some() && found[1].is_none(), "{found:?}");
    insta::assert_snapshot!(why(&members, 0));
}

#[test]
fn a_member_that_stops_for_good_is_unbalanced_and_that_is_said() {
    for (from_ns, expected) in [(0, "It never accepted"), (5 * SECOND, "It had stopped accepting")]
    {
        let mut members = vec![Member::of(steady(60), 16); 2];
        members[0].stalls = vec![(from_ns, 2 * END)];
        let found = found(&members);
        assert!(found[0].is_some() && found[1].is_none(), "{found:?}");
        let why = why(&members, 0);
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn where_nobody_accepts_no_member_is_unbalanced() {
    let stalls = vec![(0, 2 * END)];
    let mut members = vec![Member { stalls, ..Member::of(steady(60), 16) }; 2];
    members[1].arrivals.truncate(3);
    assert_eq!(found(&members), [None, None]);
}

#[test]
fn without_drops_a_long_wait_at_one_member_is_enough() {
    let mut members = skewed();
    for member in &mut members {
        member.limit = 4096;
    }
    let found = found(&members);
    assert!(found[1].is_some_and(|found| found.drops == 0), "{found:?}");
    let why = why(&members, 1);
    assert!(why.starts_with("Clients waited here while 3 of 3 others had room"), "{why}");
}

#[test]
fn a_burst_that_the_hash_spreads_unevenly_needs_a_larger_queue() {
    let burst = |clients: u64| (0..clients).map(|index| SECOND + index * 10_000).collect();
    let mut members: Vec<Member> =
        [28, 16, 14, 17].map(|clients| Member::of(burst(clients), 20)).to_vec();
    for member in &mut members {
        member.service_ns = 20 * MS;
    }
    assert_eq!(found(&members), [None; 4]);
}

#[test]
fn a_member_that_opened_later_had_no_room_then() {
    let mut members = vec![Member::of(steady(60), 16); 2];
    members[0].stalls = vec![(0, 3 * SECOND)];
    members[1].opened_ns = 5 * SECOND;
    members[1].arrivals.retain(|time_ns| *time_ns > 5 * SECOND);
    assert_eq!(found(&members), [None, None]);
}

/// Random groups, with stalls of any length at any member: the result does not depend on the
/// interval.
#[test]
fn the_interval_changes_nothing() {
    let mut random = Rng::with_seed(11);
    let mut unbalanced = 0;
    for _ in 0..60 {
        let members: Vec<Member> = (0..random.usize(2..6)).map(|_| any(&mut random)).collect();
        unbalanced += found(&members).iter().flatten().count();
    }
    assert!(unbalanced > 10, "{unbalanced}");
}

fn any(random: &mut Rng) -> Member {
    let mut member = Member::of(steady(random.u64(5..120)), random.u32(2..64));
    member.service_ns = random.u64(1..12) * MS;
    for _ in 0..random.usize(0..3) {
        let begin_ns = random.u64(0..8000) * MS;
        member.stalls.push((begin_ns, begin_ns + random.u64(10..4000) * MS));
    }
    member
}

fn opened(model: &mut Model, index: usize, time_ns: u64) {
    let what = What::Listener(made_up::listener(index, 16));
    model.apply(&Event { time_ns, what });
}

fn closed(model: &mut Model, index: usize, time_ns: u64) {
    let closed = Closed { listener: id(index), depth: 2, syn_queue: 1 };
    model.apply(&Event { time_ns, what: What::Closed(closed) });
}

#[test]
fn a_reload_is_one_group_and_a_restart_begins_another() {
    let mut model = Model::new(0);
    opened(&mut model, 0, 1);
    opened(&mut model, 1, 1);
    // A reload: new members open before the old ones close.
    opened(&mut model, 2, 5);
    opened(&mut model, 3, 5);
    closed(&mut model, 0, 6);
    closed(&mut model, 1, 7);
    // A restart.
    closed(&mut model, 2, 8);
    closed(&mut model, 3, 9);
    opened(&mut model, 4, 10);
    opened(&mut model, 5, 10);
    let summaries = model.summaries();
    let sizes: Vec<_> =
        groups(&summaries).map(|group| (group.members.len(), group.replaced)).collect();
    assert_eq!(sizes, [(4, true), (2, false)]);
}

#[test]
fn members_are_numbered_in_the_order_of_their_opening_until_all_have_closed() {
    let mut model = Model::new(0);
    opened(&mut model, 0, 1);
    let name = |model: &Model, index| model.get(id(index)).unwrap().name();
    assert_eq!(name(&model, 0), "0.0.0.0:8000");
    opened(&mut model, 1, 2);
    closed(&mut model, 0, 3);
    opened(&mut model, 2, 4);
    let names = [0, 1, 2].map(|index| name(&model, index));
    assert_eq!(names, ["0.0.0.0:8000 #1", "0.0.0.0:8000 #2", "0.0.0.0:8000 #3"]);
    closed(&mut model, 1, 5);
    closed(&mut model, 2, 6);
    opened(&mut model, 3, 7);
    assert_eq!(name(&model, 3), "0.0.0.0:8000");
}

#[test]
fn numbers_go_on_behind_a_snapshot() {
    let mut model = Model::new(0);
    for index in 0..3 {
        opened(&mut model, index, 1 + index as u64);
    }
    closed(&mut model, 0, 5);
    let past = model.snapshot();
    let mut copy = Model::new(0);
    for index in 0..3 {
        opened(&mut copy, index, 1 + index as u64);
        if index == 0 {
            closed(&mut copy, index, 5);
        }
    }
    copy.resume(6, &past);
    opened(&mut copy, 3, 7);
    let names = [0, 1, 2, 3].map(|index| copy.get(id(index)).unwrap().name());
    let expected = [1, 2, 3, 4].map(|member| format!("0.0.0.0:8000 #{member}"));
    assert_eq!(names, expected);
}

/// Connections queued at a close are lost unless the setting moves them to an open member.
#[test]
fn what_a_member_loses_at_its_close_is_kept() {
    for (migrate_req, others, expected) in [
        (Some(0), 2, Some(true)),
        (Some(1), 2, Some(false)),
        (None, 2, None),
        (Some(0), 1, Some(false)),
    ] {
        let mut model = Model::new(0);
        let settings = Settings { migrate_req, ..Settings::default() };
        model.apply(&Event { time_ns: 0, what: What::Namespace { netns: 1.into(), settings } });
        opened(&mut model, 0, 1);
        opened(&mut model, 1, 1);
        if others == 1 {
            closed(&mut model, 1, 2);
        }
        closed(&mut model, 0, 3);
        let at_close = model.at_close(model.get(id(0)).unwrap()).unwrap();
        let AtClose { time_ns, queued, requests, .. } = at_close;
        assert_eq!((time_ns, queued, requests), (3, 2, 1));
        assert_eq!(at_close.would_have_moved(), expected, "{at_close:?}");
    }
}
