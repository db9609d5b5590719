//! Compares two runs of a made-up server.

use super::words::conclusion;
use super::{Change, Pair, Place, Run, pairs};
use crate::model::clients::UnadmittedClients;
use crate::model::distribution::Distribution;
use crate::model::sizing::{Confidence, Verdict};

const SECOND: u64 = 1_000_000_000;

fn place(local: &str, enqueued: u64, refused: u64) -> Place {
    Place {
        local: local.parse().unwrap(),
        netns: None,
        listeners: 1,
        open: 1,
        limits: (16, 16),
        enqueued,
        accepted: enqueued,
        drops: refused * 2,
        clients: refused,
        every_client: true,
        unadmitted: UnadmittedClients::default(),
        episodes: refused.div_ceil(10),
        peak: (17, 16),
        wait: Distribution::of_waits(),
        verdict: (Verdict::Raise, Confidence::High, String::new()),
    }
}

fn run(places: Vec<Place>, seconds: u64) -> Run {
    Run { elapsed_ns: seconds * SECOND, places, evicted: 0 }
}

fn change(before: &Place, after: &Place) -> Change {
    Pair { before: Some(before), after: Some(after) }.change()
}

const HTTP: &str = "0.0.0.0:80";

#[test]
fn refusals_are_gone_only_if_there_would_have_been_some() {
    assert_eq!(change(&place(HTTP, 1000, 100), &place(HTTP, 1000, 0)), Change::Gone);
    // At ten episodes per 1,000 clients, 200 clients have two.
    let short = change(&place(HTTP, 1000, 100), &place(HTTP, 200, 0));
    let Change::TooShort(expected) = short else { panic!("{short:?}") };
    assert!((expected - 2.0).abs() < 0.01);
    assert_eq!(change(&place(HTTP, 1000, 0), &place(HTTP, 1000, 0)), Change::NoneInEither);
    assert_eq!(change(&place(HTTP, 1000, 0), &place(HTTP, 1000, 1)), Change::New);
}

#[test]
fn shares_and_not_counts_are_compared() {
    assert_eq!(change(&place(HTTP, 1000, 100), &place(HTTP, 10_000, 100)), Change::Fewer);
    assert_eq!(change(&place(HTTP, 1000, 100), &place(HTTP, 10_000, 1000)), Change::AsMany);
    assert_eq!(change(&place(HTTP, 1000, 100), &place(HTTP, 1000, 150)), Change::More);
}

#[test]
fn the_sentence_says_what_weakens_the_proof() {
    let said = |before: &Run, after: &Run| conclusion(&pairs(before, after)[0], before, after);
    let before = run(vec![place(HTTP, 6000, 300)], 60);
    let same = said(&before, &run(vec![place(HTTP, 6000, 0)], 60));
    assert!(same.starts_with("Clients are no longer refused. If they were"), "{same}");
    assert!(same.contains("about 30 episodes") && !same.contains("lower"), "{same}");
    let lower = said(&before, &run(vec![place(HTTP, 3000, 0)], 60));
    assert!(lower.contains("The load was lower: 50 connections/s in place of 100"), "{lower}");
    let short = said(&before, &run(vec![place(HTTP, 200, 0)], 2));
    assert!(short.contains("about 1.0 episodes"), "{short}");
    assert!(short.contains("trace for at least 6.0s under this load"), "{short}");
    let few = Place { every_client: false, ..place(HTTP, 6000, 30) };
    let few = said(&before, &run(vec![few], 60));
    assert!(
        few.contains("Fewer clients are refused: 0.5 % of the clients in place of 5.0 %"),
        "{few}"
    );
    assert!(few.ends_with("their shares are lower bounds."), "{few}");
}

#[test]
fn an_address_that_changed_is_found_by_its_port() {
    let before =
        run(vec![place("10.0.0.1:80", 5, 0), place("[::]:443", 9, 0), place(HTTP, 7, 1)], 1);
    let after =
        run(vec![place("[::1]:443", 3, 0), place(HTTP, 7, 0), place("127.0.0.1:22", 1, 0)], 1);
    let found: Vec<_> = pairs(&before, &after)
        .iter()
        .map(|pair| [pair.before, pair.after].map(|side| side.map(|place| place.local.to_string())))
        .collect();
    let text = |name: &str| Some(name.to_owned());
    assert_eq!(
        found,
        [
            [text(HTTP), text(HTTP)],
            [text("[::]:443"), text("[::1]:443")],
            [text("10.0.0.1:80"), None],
            [None, text("127.0.0.1:22")],
        ]
    );
}

#[test]
fn members_of_a_group_and_successors_are_one_place() {
    let mut sum = place(HTTP, 10, 0);
    let closed = Place { open: 0, limits: (8, 8), peak: (9, 8), ..place(HTTP, 5, 3) };
    sum.merge(closed);
    sum.merge(Place { limits: (32, 32), peak: (1, 32), ..place(HTTP, 1, 0) });
    assert_eq!((sum.listeners, sum.open, sum.limits), (3, 2, (16, 32)));
    assert_eq!((sum.enqueued, sum.clients, sum.peak), (16, 3, (9, 8)));
}

/// A recording may contain any number.
#[test]
fn sums_of_the_largest_counts_do_not_wrap_around() {
    let mut sum = place(HTTP, u64::MAX, 3);
    sum.merge(place(HTTP, u64::MAX, 3));
    sum.unadmitted.unknown = u64::MAX;
    sum.unadmitted = sum.unadmitted.plus(&sum.unadmitted);
    assert_eq!((sum.enqueued, sum.attempts()), (u64::MAX, u64::MAX));
    assert_eq!(pairs(&run(vec![sum], 1), &run(vec![place(HTTP, u64::MAX, 0)], 1)).len(), 1);
}
