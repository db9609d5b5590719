//! Beginnings, ranges and turns.

use super::{AT_ONCE, Answer, Judge, moved};
use crate::counter::Counter;
use crate::event::Range;
use crate::kernel::settings::Settings;

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
    let answer = Answer { counters: Some(at(50)), settings: Settings::default(), listed: None };
    let mut judge = Judge::find();
    judge.start.insert(7, (at(10), at(10)));
    assert_eq!(judge.start_of(7, &answer, at(50)), ((at(10), at(10)), true));
    // Another namespace has the number now.
    assert_eq!(judge.start_of(7, &answer, at(3)), ((at(3), at(3)), false));
    assert_eq!(judge.start_of(7, &answer, at(4)), ((at(3), at(3)), true));
    // A new one, without a listener that was there before.
    assert_eq!(judge.start_of(8, &answer, at(4)), ((at(0), at(0)), true));
}

#[test]
fn many_namespaces_take_turns() {
    let mut judge = Judge::find();
    let wanted: Vec<u32> = (0..70).collect();
    let mut seen: Vec<u32> = (0..3).flat_map(|_| judge.turn(&wanted)).collect();
    assert_eq!(seen.len(), 3 * AT_ONCE);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, wanted);
}
