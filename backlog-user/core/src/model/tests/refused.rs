//! Tests with refused clients.

use backlog_ebpf::totals::Totals;

use super::{ID, SECOND, client, count, drop, event, listener, model};
use crate::event::{Admitted, Closed, DropEvent, Listener, What};
use crate::model::Model;

#[test]
fn clients_without_a_record_are_counted_once() {
    let mut model = model();
    model.apply(&event(1, drop(1, 1)));
    let mut totals = Totals { records_suppressed: 6, ..Totals::default() };
    (totals.suppressed_clients, totals.suppressed_retries) = (4, 1);
    model.apply(&event(2, count(&totals, 17)));
    // One of the four is queued later.
    let DropEvent { listener, client, isn, .. } = DropEvent::made_up(client(7), 9);
    let admitted = Admitted {
        listener,
        client,
        isn,
        depth: 3,
        trough: 0,
        free_ns: 0,
        so_far: None,
        followed: true,
    };
    model.apply(&event(3, What::Admitted(admitted)));
    let page = model.get(ID).unwrap();
    assert_eq!((page.clients(), page.has_every_client()), (5, false));
    totals.suppressed_retries = 2;
    model.apply(&event(4, count(&totals, 17)));
    assert!(model.get(ID).unwrap().has_every_client());
}

#[test]
fn clients_that_may_have_been_refused_before_the_run_have_not_given_up() {
    let unadmitted = |sk_drops, first_ns| {
        let mut model = Model::new(0);
        let found = Listener { sk_drops: Some(sk_drops), opened_now: false, ..listener() };
        model.apply(&event(0, What::Listener(found)));
        model.apply(&event(first_ns, drop(1, 1)));
        let page = model.get(ID).unwrap();
        let all = model.unadmitted(page, 60 * SECOND);
        (page.was_refusing(), all.gave_up, all.unknown)
    };
    assert_eq!(unadmitted(7, SECOND / 2), (true, 0, 1));
    assert_eq!(unadmitted(0, SECOND / 2), (false, 1, 0));
    assert_eq!(unadmitted(7, 2 * SECOND), (false, 1, 0));
}

#[test]
fn clients_of_a_listener_that_has_closed_have_no_known_outcome() {
    let mut model = model();
    model.apply(&event(1, drop(1, 1)));
    let closed = Closed { listener: ID, depth: 0, syn_queue: 0 };
    model.apply(&event(SECOND, What::Closed(closed)));
    let all = model.unadmitted(model.get(ID).unwrap(), 60 * SECOND);
    assert_eq!((all.gave_up, all.trying, all.unknown), (0, 0, 1));
}
