//! Tests with network namespaces that appear and end.

use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::totals::Totals;

use super::{ID, Model, SECOND, closed, event, listener};
use crate::counter::Range;
use crate::counter::{Counter, Reading};
use crate::event::{Count, Identity, Listener, ListenerId, Netns, What};
use crate::model::{NamespacesEnded, Retention, reconcile};

/// The kernel's and the programs' counts of one namespace.
fn compared(netns: Netns, listener: u32, kernel: u64, seen: u64) -> [What; 2] {
    let mut totals = Totals::default();
    totals.drops[Cause::AcceptQueueFullSyn as usize] = seen;
    let count = Box::new(Count { totals, ..Count::default() });
    let mut moved = Reading::default();
    moved[Counter::ListenOverflows as usize] = Some(Range { low: kernel, high: kernel });
    let listener = ListenerId(listener);
    [What::Count { listener, count }, What::Counters { netns, moved: Box::new(moved) }]
}

fn in_namespace(netns: Netns, id: u32) -> What {
    What::Listener(Listener { id: ListenerId(id), netns, opened_now: true, ..listener() })
}

#[test]
fn two_that_shared_an_inode_number_are_two_accounts() {
    let (first, second) = (Netns::new(7, 1), Netns::new(7, 2));
    let mut model = Model::new(0);
    model.apply(&event(1, in_namespace(first, 1)));
    for what in compared(first, 1, 6, 6) {
        model.apply(&event(2, what));
    }
    // Connections lost at the close move no kernel counter.
    let mut totals = Totals::default();
    totals.drops[Cause::AcceptQueueFullSyn as usize] = 6;
    totals.beside[Beside::KilledAtClose as usize] = 4;
    let count = Box::new(Count { totals, ..Count::default() });
    model.apply(&event(3, What::Count { listener: ListenerId(1), count }));
    model.apply(&event(3, closed(1)));
    model.apply(&event(4, What::Ended { netns: first }));
    model.apply(&event(5, in_namespace(second, 2)));
    for what in compared(second, 2, 3, 3) {
        model.apply(&event(6, what));
    }
    // A new listener at the same address in another namespace has no predecessor.
    assert_eq!(model.get(ListenerId(2)).unwrap().follows, None);
    let accounts = reconcile::accounts(&model);
    let said: Vec<_> = accounts
        .iter()
        .map(|account| (account.netns, account.verdicts[0].kernel, account.verdicts[0].seen))
        .collect();
    assert_eq!(said, [(first, 6, 6), (second, 3, 3)]);
    assert_eq!(model.moving_namespaces(), [second]);
    assert_eq!(model.ended(), NamespacesEnded { equal: 1, ..NamespacesEnded::default() });
}

#[test]
fn one_that_was_over_too_soon_is_counted_and_not_compared() {
    let netns = Netns::new(7, 1);
    let mut model = Model::new(0);
    model.apply(&event(1, in_namespace(netns, 1)));
    // It has no process but a listener, so it still exists.
    model.apply(&event(2, What::Ended { netns }));
    assert_eq!(model.ended(), NamespacesEnded::default());
    model.apply(&event(3, closed(1)));
    model.apply(&event(4, What::Ended { netns }));
    assert!(reconcile::accounts(&model).is_empty());
    let ended = NamespacesEnded { uncompared: 1, ..NamespacesEnded::default() };
    assert_eq!(model.ended(), ended);
    // Its page is evicted, and with it everything else that is kept about it.
    for second in 1..4 {
        model.tick(second * SECOND);
    }
    assert!(model.get(ID).is_none() && model.settings_of(netns).is_none());
    assert_eq!(model.ended(), ended);
}

#[test]
fn one_that_was_not_read_after_its_last_drops_is_equal_until_then() {
    let netns = Netns::new(7, 1);
    let mut model = Model::new(0);
    model.apply(&event(1, in_namespace(netns, 1)));
    for what in compared(netns, 1, 2, 2) {
        model.apply(&event(2, what));
    }
    // A burst follows, and the namespace ends before the next reading.
    let [burst, _] = compared(netns, 1, 0, 9);
    assert!(!model.is_uncompared(netns));
    model.apply(&event(3, burst));
    model.apply(&event(4, closed(1)));
    model.apply(&event(5, What::Ended { netns }));
    let ended = NamespacesEnded { equal: 1, unread: 1, unread_drops: 7, ..Default::default() };
    assert_eq!(model.ended(), ended);
    // The comparison excludes the burst, and says so.
    let accounts = reconcile::accounts(&model);
    let reconcile::CounterCheck { kernel, seen, .. } = accounts[0].verdicts[0];
    assert_eq!((kernel, seen, accounts[0].unread_drops), (2, 2, 7));
    // The same after everything else about it was evicted.
    let other = Netns::new(8, 1);
    let kept = Retention::default().closed;
    for id in (2..).take(kept) {
        model.apply(&event(6, in_namespace(other, id)));
        let [seen, _] = compared(other, id, 0, 1);
        model.apply(&event(6, seen));
        model.apply(&event(7, closed(id)));
    }
    for second in 1..4 {
        model.tick(second * SECOND);
    }
    assert!(model.settings_of(netns).is_none());
    assert_eq!((model.ended(), model.dropped()), (ended, 9 + kept as u64));
}

#[test]
fn one_address_in_two_namespaces_is_told_apart_in_each_row() {
    let (blue, red) = (Netns::new(7, 1), Netns::new(8, 2));
    let mut model = Model::new(0);
    let alike = |model: &Model| model.pages().map(|page| page.alike).collect::<Vec<bool>>();
    model.apply(&event(1, in_namespace(blue, 1)));
    model.apply(&event(2, in_namespace(blue, 2)));
    assert_eq!(alike(&model), [false, false]);
    model.apply(&event(3, in_namespace(red, 3)));
    model.apply(&event(4, in_namespace(blue, 4)));
    assert_eq!(alike(&model), [true; 4]);
    let page = model.get(ListenerId(3)).unwrap();
    assert_eq!(page.full_name(), format!("{} in 8", page.name()));
    let identity = Identity { netns: Some("red".into()), ..Identity::default() };
    model.apply(&event(5, What::Identity { listener: ListenerId(3), identity }));
    let page = model.get(ListenerId(3)).unwrap();
    assert_eq!(page.full_name(), format!("{} in red", page.name()));
    // When all are evicted, the next one is alone.
    for id in 1..5 {
        model.apply(&event(6, closed(id)));
    }
    for second in 1..4 {
        model.tick(second * SECOND);
    }
    model.apply(&event(4 * SECOND, in_namespace(red, 5)));
    assert_eq!(alike(&model), [false]);
}

/// A namespace that is older than its first reading has moved nothing in that reading.
#[test]
fn a_beginning_alone_compares_nothing() {
    let netns = Netns::new(7, 1);
    let mut model = Model::new(0);
    model.apply(&event(1, in_namespace(netns, 1)));
    model.apply(&event(2, What::Baseline { netns }));
    let [seen, nothing] = compared(netns, 1, 0, 0);
    for what in [seen, nothing] {
        model.apply(&event(2, what));
    }
    model.apply(&event(3, closed(1)));
    model.apply(&event(3, What::Ended { netns }));
    assert_eq!(model.ended().uncompared, 1);
    for what in compared(netns, 1, 3, 3) {
        model.apply(&event(4, what));
    }
    assert_eq!((model.ended().uncompared, model.ended().equal), (0, 1));
}

#[test]
fn what_was_refused_in_those_that_are_gone_stays_counted() {
    let mut model = Model::new(0);
    let many = 1_100;
    for id in 1..=many {
        let netns = Netns::new(7, id);
        let time_ns = u64::from(id);
        model.apply(&event(time_ns, in_namespace(netns, id)));
        // One of them differs.
        let kernel = if id == 1 { 3 } else { 2 };
        for what in compared(netns, id, kernel, 2) {
            model.apply(&event(time_ns, what));
        }
        model.apply(&event(time_ns, closed(id)));
        model.apply(&event(time_ns, What::Ended { netns }));
    }
    for second in 1..4 {
        model.tick(second * SECOND);
    }
    assert_eq!(model.dropped(), 2 * u64::from(many));
    let all =
        NamespacesEnded { equal: u64::from(many) - 1, different: 1, ..NamespacesEnded::default() };
    assert_eq!(model.ended(), all);
    assert!(model.namespaces().len() <= 1_025, "{}", model.namespaces().len());
    // The difference is still reported.
    let accounts = reconcile::accounts(&model);
    assert!(accounts.iter().any(|account| account.netns == Netns::new(7, 1)));
}

/// The account of a lasting namespace stays exact while listeners open and close in it.
#[test]
fn sums_of_evicted_listeners_stay_in_the_account_of_their_namespace() {
    let netns = Netns::new(7, 1);
    let mut model = Model::new(0);
    model.retain(Retention { closed: 3, ..Retention::default() });
    for id in 1..=50 {
        let now = u64::from(id) * SECOND;
        model.apply(&event(now, in_namespace(netns, id)));
        let [seen, kernel] = compared(netns, id, 2 * u64::from(id), 2);
        model.apply(&event(now, seen));
        model.apply(&event(now, kernel));
        model.apply(&event(now, closed(id)));
        model.tick(now);
    }
    assert!(model.pages().count() <= 3 + 2, "{}", model.pages().count());
    assert_eq!((model.dropped(), model.gone().active), (100, 50 - model.pages().count() as u64));
    let [account] = reconcile::accounts(&model).try_into().unwrap();
    let reconcile::CounterCheck { kernel, seen, .. } = account.verdicts[0];
    assert_eq!((kernel, seen), (100, 100));
    // A recording that begins here has the same sums.
    let past = model.snapshot();
    let mut later = Model::new(0);
    for event in crate::recording::snapshot::events(&model, 51 * SECOND) {
        later.apply(&event);
    }
    later.resume(51 * SECOND, &past);
    assert_eq!((later.dropped(), reconcile::accounts(&later)), (100, vec![account]));
    assert_eq!(later.snapshot(), past);
}

#[test]
fn quiet_namespaces_are_bounded_and_named_when_they_are_forgotten() {
    let mut model = Model::new(0);
    model.retain(Retention { closed: 0, quiet: 2, ..Retention::default() });
    for id in 1..=6 {
        let (netns, now) = (Netns::new(7, id), u64::from(id));
        model.apply(&event(now, in_namespace(netns, id)));
        for what in compared(netns, id, 2, 2) {
            model.apply(&event(now, what));
        }
        // The last one stays open.
        if id < 6 {
            model.apply(&event(now, closed(id)));
        }
    }
    let of = |ids: &[u32]| ids.iter().map(|id| Netns::new(7, *id)).collect::<Vec<_>>();
    assert_eq!(model.quiet_namespaces(), []);
    for second in 1..4 {
        model.tick(second * SECOND);
        if second == 2 {
            // Those that have been quiet for longest.
            assert_eq!(model.forgotten_namespaces(), of(&[1, 2, 3]));
        }
    }
    assert_eq!(model.forgotten_namespaces(), []);
    assert_eq!((model.quiet_namespaces(), model.moving_namespaces()), (of(&[4, 5]), of(&[6])));
    let ended = NamespacesEnded { equal: 3, ..NamespacesEnded::default() };
    assert_eq!((model.ended(), model.dropped()), (ended, 12));
    // One of them still existed, and is compared from its next reading on.
    let netns = Netns::new(7, 1);
    model.apply(&event(4 * SECOND, in_namespace(netns, 9)));
    let [seen, kernel] = compared(netns, 9, 0, 5);
    model.apply(&event(4 * SECOND, seen));
    model.apply(&event(4 * SECOND, What::Baseline { netns }));
    model.apply(&event(4 * SECOND, kernel));
    for what in compared(netns, 9, 1, 6) {
        model.apply(&event(5 * SECOND, what));
    }
    let accounts = reconcile::accounts(&model);
    let account = accounts.iter().find(|account| account.netns == netns).unwrap();
    assert!(account.verdicts[0].agrees(), "{account:?}");
    assert_eq!(model.dropped(), 12 + 6);
}
