//! Tests start values, ranges and turns.

use backlog_core::counter::Counter;
use backlog_core::counter::Range;
use backlog_core::event::{Event, Netns, What};
use backlog_core::settings::Settings;

use super::answers::{Answer, Answers};
use super::turns::AT_ONCE;
use super::{KernelCounters, moved};
use crate::commands::listeners::tests::listed;

#[test]
fn what_moved_between_the_readings_is_no_difference() {
    let at = |value| [Some(value); Counter::COUNT];
    let reading = moved(&(at(10), at(12)), &(at(40), at(41)));
    let range = reading[0].unwrap();
    assert_eq!(range, Range { low: 28, high: 31 });
    assert_eq!((range.nearest(30), range.nearest(33), range.nearest(2)), (30, 31, 28));
    assert_eq!(moved(&(at(1), [None; Counter::COUNT]), &(at(1), at(1)))[0], None);
}

#[test]
fn a_beginning_that_is_not_known_is_now() {
    let at = |value| [Some(value); Counter::COUNT];
    let mut kernel_counters = KernelCounters::find();
    kernel_counters.start.insert(7.into(), (at(10), at(10)));
    assert_eq!(kernel_counters.start_of(7.into(), at(50)), ((at(10), at(10)), true));
    // Another namespace has reused the number.
    assert_eq!(kernel_counters.start_of(7.into(), at(3)), ((at(3), at(3)), false));
    assert_eq!(kernel_counters.start_of(7.into(), at(4)), ((at(3), at(3)), true));
    // A namespace that was unknown at the start may be older.
    assert_eq!(kernel_counters.start_of(8.into(), at(4)), ((at(4), at(4)), false));
    kernel_counters.are_new([Netns::from(9)]);
    assert_eq!(kernel_counters.start_of(9.into(), at(4)), ((at(0), at(0)), true));
}

#[test]
fn who_has_another_s_number_is_another() {
    let at = |value| [Some(value); Counter::COUNT];
    let (first, second) = (Netns::new(7, 1), Netns::new(7, 2));
    let mut kernel_counters = KernelCounters::find();
    kernel_counters.start.insert(first, (at(10), at(10)));
    kernel_counters.are_new([second]);
    assert_eq!(kernel_counters.start_of(second, at(12)), ((at(0), at(0)), true));
    let mut answers = Answers::default();
    let answer =
        Answer { counters: Some(at(12)), settings: Settings::default(), listed: None, read_ns: 0 };
    answers.by_netns.insert(second, answer);
    assert_eq!(kernel_counters.ended(&[first, second], &answers), [first]);
    assert!(
        !kernel_counters.start.contains_key(&first) && kernel_counters.start.contains_key(&second)
    );
}

#[test]
fn many_namespaces_take_turns() {
    let mut kernel_counters = KernelCounters::find();
    let wanted: Vec<Netns> = (0..70).map(Netns::from).collect();
    let mut seen: Vec<Netns> = (0..3).flat_map(|_| kernel_counters.turn_of(&wanted)).collect();
    assert_eq!(seen.len(), 3 * AT_ONCE);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, wanted);
    // Namespaces that were not compared yet come first.
    let at = [Some(1); Counter::COUNT];
    kernel_counters.start.extend(wanted[..60].iter().map(|netns| (*netns, (at, at))));
    let turn = kernel_counters.turn_of(&wanted);
    assert_eq!((turn.len(), turn.ends_with(&wanted[60..])), (AT_ONCE, true));
}

#[test]
fn those_that_are_gone_or_share_a_number_take_nobody_s_turn() {
    let mut kernel_counters = KernelCounters::find();
    // None of them can be reached.
    let wanted: Vec<Netns> = (0..70).map(Netns::from).collect();
    assert_eq!(kernel_counters.turn(&wanted), wanted);
    let alike: Vec<Netns> = (1..70).map(|identity| Netns::new(7, identity)).collect();
    assert_eq!(kernel_counters.turn_of(&alike), alike);
}

#[test]
fn settings_are_those_of_the_namespaces_that_are_traced() {
    let somaxconn = |value| Settings { somaxconn: Some(value), ..Settings::default() };
    let listens = vec![listed("0.0.0.0:80")];
    let answer =
        |value, listed| Answer { counters: None, settings: somaxconn(value), listed, read_ns: 0 };
    let mut answers = Answers::default();
    answers.by_netns.insert(1.into(), answer(4096, Some(Vec::new())));
    assert_eq!(answers.settings(None), None);
    answers.by_netns.insert(2.into(), answer(128, Some(listens.clone())));
    assert_eq!(answers.settings(None), Some(somaxconn(128).into()));
    answers.by_netns.insert(3.into(), answer(512, Some(listens)));
    let both = answers.settings(None).unwrap();
    assert_eq!((both.namespaces, both.least, both.most), (2, somaxconn(128), somaxconn(512)));
    // The selected one counts even without a listener, and is not replaced by the host's.
    assert_eq!(answers.settings(Some(1)), Some(somaxconn(4096).into()));
    assert_eq!(answers.settings(Some(9)), Some(Settings::default().into()));
}

#[test]
fn a_few_of_those_in_which_nothing_listens_are_asked_in_each_interval() {
    let mut kernel_counters = KernelCounters::find();
    // None of them can be reached.
    let quiet: Vec<Netns> = (1..20).map(Netns::from).collect();
    let mut ended = Vec::new();
    while ended.len() < quiet.len() {
        let left: Vec<Netns> = quiet.iter().filter(|one| !ended.contains(*one)).copied().collect();
        let some = kernel_counters.quiet_ended(&left);
        if some.is_empty() {
            // Only a process that may enter a namespace can find out that it has ended.
            assert!(!kernel_counters.namespaces().may_enter(1));
            return;
        }
        assert!(some.len() <= 8);
        ended.extend(some);
    }
    assert_eq!(ended, quiet);
}

#[test]
fn one_that_was_forgotten_and_is_still_there_begins_anew() {
    let at = |value| [Some(value); Counter::COUNT];
    let mut kernel_counters = KernelCounters::find();
    let netns = Netns::new(7, 1);
    kernel_counters.are_new([netns]);
    assert_eq!(kernel_counters.start_of(netns, at(4)), ((at(0), at(0)), true));
    kernel_counters.forget_quiet(&[netns]);
    if kernel_counters.namespaces().may_enter(7) {
        // Its listeners show that it was created during the run, but its start values were evicted.
        kernel_counters.are_new([netns]);
        assert_eq!(kernel_counters.start_of(netns, at(9)), ((at(9), at(9)), false));
    }
}

#[test]
fn what_was_read_after_the_stop_is_bounded_by_the_reading_before_it() {
    let at = |value| [Some(value); Counter::COUNT];
    let answer = |value, read_ns| Answer {
        counters: Some(at(value)),
        settings: Settings::default(),
        listed: None,
        read_ns,
    };
    let netns = |inode| Netns::new(inode, 1);
    let mut kernel_counters = KernelCounters::find();
    for inode in [1, 2, 3] {
        kernel_counters.start.insert(netns(inode), (at(10), at(11)));
    }
    let mut events = Vec::new();
    let mut interval = Answers::default();
    interval.by_netns.insert(netns(2), answer(20, 1));
    kernel_counters.events(&interval, &interval, 1, |_, _| None, &mut events);
    let (mut before, mut after) = (Answers::default(), Answers::default());
    for (inode, read_ns) in [(1, 5), (2, 6), (3, 7)] {
        before.by_netns.insert(netns(inode), answer(30, read_ns));
        after.by_netns.insert(netns(inode), answer(40, 9));
    }
    let mut before = before.given_by(5);
    assert_eq!(kernel_counters.fall_back(&mut before, &after), 2);
    events.clear();
    kernel_counters.events(&before, &after, 9, |_, _| None, &mut events);
    let low = |event: &Event| match &event.what {
        What::Counters { moved, .. } => moved[0].map(|range| (range.low, range.high)),
        _ => None,
    };
    let moved: Vec<(u64, u64)> = events.iter().filter_map(low).collect();
    // Read in time; in the last interval; at the start.
    assert_eq!(moved, [(19, 30), (9, 30), (0, 30)]);
}
