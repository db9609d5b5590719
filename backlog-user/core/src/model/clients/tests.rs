use backlog_ebpf::cause::Cause;

use super::{Admission, Clients, FIRST_PAUSE_NS, Fate, MOST, Settled, UnadmittedClients};
use crate::event::{Admitted, Dequeued, DropEvent, Leaving, ListenerId};

const SECOND: u64 = 1_000_000_000;

fn drop(isn: usize, cause: Cause) -> DropEvent {
    let isn = u32::try_from(isn).unwrap();
    DropEvent { cause, ..DropEvent::made_up("10.0.0.9:4000".parse().unwrap(), isn) }
}

/// The enqueue of a refused client's connection.
fn queued(of: &DropEvent, followed: bool) -> Admitted {
    let DropEvent { listener, client, isn, .. } = *of;
    Admitted { listener, client, isn, depth: 3, trough: 0, free_ns: 0, so_far: None, followed }
}

/// Its exit from the queue.
fn dequeued(of: &DropEvent, leaving: Leaving) -> Dequeued {
    let DropEvent { listener, client, isn, .. } = *of;
    Dequeued { listener, client, isn, leaving }
}

/// The outcome of a client whose last refusal had this cause and whose connection left the queue
/// this way.
fn fate(cause: Cause, fin_refused: bool, leaving: Leaving) -> Option<Fate> {
    let mut clients = Clients::default();
    clients.refused(&drop(1, Cause::AcceptQueueFullSyn), SECOND, false);
    let refused = DropEvent { fin: fin_refused, ..drop(1, cause) };
    assert_eq!(clients.refused(&refused, 2 * SECOND, false).settled, None);
    let (admission, settled) = clients.admitted(&queued(&refused, true), 3 * SECOND);
    assert_eq!((admission, settled), (Admission::Returned { delay_ns: 2 * SECOND }, None));
    let unadmitted = clients.unadmitted(refused.listener, 1, 4 * SECOND);
    assert_eq!((unadmitted.trying, unadmitted.gave_up), if fin_refused { (0, 1) } else { (1, 0) });
    clients.dequeued(&dequeued(&refused, leaving), 5 * SECOND).map(|settled| settled.fate)
}

/// The settled outcome of a client of the only listener.
fn settled(fate: Fate) -> Settled {
    Settled { listener: ListenerId(1), fate }
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_is_counted() {
    let mut clients = Clients::default();
    let mut refused =
        |isn| clients.refused(&drop(isn, Cause::AcceptQueueFullSyn), isn as u64, false).retry_of_ns;
    for isn in 0..3 * MOST {
        assert_eq!(refused(isn), None);
    }
    assert_eq!(refused(3 * MOST - 1), Some(3 * MOST as u64 - 1));
    assert_eq!(refused(2 * MOST - 1), Some(2 * MOST as u64 - 1));
    assert_eq!(refused(0), None);
    // The first generation was evicted when the third started, the second just now.
    assert_eq!(clients.forgotten(), 2 * MOST as u64);
    assert!(clients.young.len() + clients.old.len() <= 2 * MOST);
}

#[test]
fn what_becomes_of_a_client_follows_from_its_state_at_the_accept() {
    use Cause::{AcceptQueueFullAck as Ack, AcceptQueueFullCookie as Cookie};
    use Leaving::{Accepted, AcceptedWithData, Fin, FinAfterData, Killed, Reset, Unseen};
    let admitted = Some(Fate::Admitted { delay_ns: Some(4 * SECOND) });
    let gave_up = |believing| Some(Fate::GaveUp { believing });
    for (cause, leaving, expected) in [
        (Cookie, Accepted, admitted),
        (Cookie, AcceptedWithData, admitted),
        (Ack, Accepted, admitted),
        // Its FIN does not count as a return: the client had gone.
        (Cookie, Fin, gave_up(true)),
        (Ack, Fin, gave_up(true)),
        (Cause::AcceptQueueFullSyn, Fin, gave_up(false)),
        (Cookie, FinAfterData, Some(Fate::Unknown)),
        (Cookie, Reset, gave_up(false)),
        (Cookie, Killed, Some(Fate::Reset)),
        (Cookie, Unseen, Some(Fate::Unknown)),
    ] {
        assert_eq!(fate(cause, false, leaving), expected, "{cause:?}, {leaving:?}");
    }
    // Its FIN was refused before: an ACK repeated after it does not count as a return.
    for (leaving, expected) in [
        (Accepted, gave_up(true)),
        (Fin, gave_up(true)),
        (Killed, gave_up(true)),
        (AcceptedWithData, Some(Fate::Unknown)),
    ] {
        assert_eq!(fate(Cookie, true, leaving), expected, "{leaving:?} after its FIN");
    }
}

#[test]
fn a_second_connection_of_a_cookie_changes_nothing() {
    let mut clients = Clients::default();
    let refused = drop(1, Cause::AcceptQueueFullCookie);
    clients.refused(&refused, 10, false);
    clients.refused(&refused, 20, false);
    let admitted = queued(&refused, true);
    assert_eq!(clients.admitted(&admitted, 30), (Admission::Returned { delay_ns: 20 }, None));
    assert_eq!(clients.admitted(&admitted, 40), (Admission::Again, None));
    let accepted = dequeued(&refused, Leaving::Accepted);
    let fate = Fate::Admitted { delay_ns: Some(40) };
    assert_eq!(clients.dequeued(&accepted, 50), Some(settled(fate)));
    // The ACK of its FIN, one sequence number later.
    let ghost = DropEvent { isn: 2, ..refused };
    assert_eq!(clients.refused(&ghost, 60, false).retry_of_ns, Some(10));
    assert_eq!(clients.admitted(&queued(&ghost, true), 70), (Admission::Again, None));
    assert_eq!(clients.dequeued(&dequeued(&ghost, Leaving::Fin), 80), None);
    let unadmitted = clients.unadmitted(refused.listener, 0, 3 * FIRST_PAUSE_NS);
    assert_eq!(unadmitted, UnadmittedClients::default());
}

#[test]
fn an_ack_behind_the_request_is_of_the_same_client() {
    let mut clients = Clients::default();
    let mut refused =
        |isn, cause| clients.refused(&drop(isn, cause), isn as u64, false).retry_of_ns.is_some();
    assert!(!refused(880_864_318, Cause::AcceptQueueFullAck));
    assert!(refused(880_864_336, Cause::AcceptQueueFullAck));
    // A new connection from the same port.
    assert!(!refused(900_000_000, Cause::AcceptQueueFullSyn));
    assert!(refused(900_000_018, Cause::AcceptQueueFullReset));
    assert!(!refused(900_000_018, Cause::AcceptQueueFullSyn), "a SYN has its own number");
    assert!(!refused(950_000_000, Cause::AcceptQueueFullAck), "too far away");
}

#[test]
fn a_client_whose_refusal_had_no_record_is_another_client() {
    let mut clients = Clients::default();
    let lost = drop(9, Cause::AcceptQueueFullSyn);
    assert_eq!(clients.admitted(&queued(&lost, true), 10), (Admission::New, None));
    // It is unknown since when the client had been trying.
    let fate = Fate::Admitted { delay_ns: None };
    assert_eq!(clients.dequeued(&dequeued(&lost, Leaving::Accepted), 20), Some(settled(fate)));
    // After evictions it may be one of the evicted attempts.
    clients.forgot(3);
    let other = drop(90, Cause::AcceptQueueFullSyn);
    assert_eq!(clients.admitted(&queued(&other, true), 30).0, Admission::Unknown);
}

#[test]
fn a_recording_from_before_knows_only_that_it_was_queued() {
    let mut clients = Clients::default();
    let refused = drop(1, Cause::AcceptQueueFullSyn);
    clients.refused(&refused, 10, false);
    let fate = Some(settled(Fate::Admitted { delay_ns: Some(20) }));
    let returned = Admission::Returned { delay_ns: 20 };
    assert_eq!(clients.admitted(&queued(&refused, false), 30), (returned, fate));
}

#[test]
fn a_reset_client_has_ended() {
    let mut clients = Clients::default();
    let reset = drop(1, Cause::AcceptQueueFullReset);
    assert_eq!(clients.refused(&reset, 10, false).settled, Some(settled(Fate::Reset)));
    assert_eq!(clients.refused(&reset, 20, false).settled, None);
    assert_eq!(clients.unadmitted(reset.listener, 0, 20), UnadmittedClients::default());
}

#[test]
fn a_client_that_has_closed_its_end_tries_no_more() {
    let mut clients = Clients::default();
    let refused = drop(1, Cause::AcceptQueueFullCookie);
    clients.refused(&refused, 10, false);
    let unadmitted = |clients: &Clients| clients.unadmitted(refused.listener, 0, 30);
    assert_eq!(
        unadmitted(&clients),
        UnadmittedClients { trying: 1, ..UnadmittedClients::default() }
    );
    clients.refused(&DropEvent { fin: true, ..refused }, 20, false);
    assert_eq!(
        unadmitted(&clients),
        UnadmittedClients { gave_up: 1, believing: 1, ..UnadmittedClients::default() }
    );
}

#[test]
fn whoever_is_not_in_the_queue_any_more_is_unknown_without_its_record() {
    let mut clients = Clients::default();
    for isn in [100, 200, 300] {
        let refused = drop(isn, Cause::AcceptQueueFullSyn);
        clients.refused(&refused, 10, false);
        clients.admitted(&queued(&refused, true), 20);
    }
    let unadmitted = clients.unadmitted(ListenerId(1), 1, 30);
    assert_eq!(
        unadmitted,
        UnadmittedClients { trying: 1, unknown: 2, ..UnadmittedClients::default() }
    );
}

#[test]
fn a_cookie_behind_its_own_ack_is_the_same_client() {
    let mut clients = Clients::default();
    let mut refused =
        |isn, cause, time_ns| clients.refused(&drop(isn, cause), time_ns, false).retry_of_ns;
    assert_eq!(refused(7, Cause::AcceptQueueFullSyn, 10), None);
    assert_eq!(refused(8, Cause::AcceptQueueFullCookie, 20), Some(10));
    assert_eq!(refused(5_000_000, Cause::AcceptQueueFullCookie, 20), None);
    // The sequence number of a SYN belongs to no other attempt.
    assert_eq!(refused(9, Cause::AcceptQueueFullSyn, 30), None);
}

#[test]
fn nothing_is_lost_with_those_that_have_got_in() {
    let mut clients = Clients::default();
    for isn in 0..MOST {
        let refused = drop(isn, Cause::AcceptQueueFullSyn);
        clients.refused(&refused, 10, false);
        if isn % 2 == 0 {
            clients.admitted(&queued(&refused, false), 10);
        }
    }
    for isn in MOST..=2 * MOST {
        clients.refused(&drop(isn, Cause::AcceptQueueFullSyn), 20, false);
    }
    assert_eq!(clients.forgotten(), MOST as u64 / 2);
}

#[test]
fn who_has_been_silent_for_too_long_has_given_up() {
    let mut clients = Clients::default();
    for (isn, cause) in [(1, Cause::AcceptQueueFullSyn), (9_000_000, Cause::AcceptQueueFullCookie)]
    {
        for second in [1, 2, 4] {
            clients.refused(&drop(isn, cause), second * SECOND, false);
        }
    }
    // The next try is due at 8 s, and a little more is allowed for.
    let unadmitted = |second| clients.unadmitted(ListenerId(1), 0, second * SECOND);
    assert_eq!(unadmitted(8), UnadmittedClients { trying: 2, ..UnadmittedClients::default() });
    assert_eq!(
        unadmitted(14),
        UnadmittedClients { gave_up: 2, believing: 1, ..UnadmittedClients::default() }
    );
    assert_eq!(clients.unadmitted(ListenerId(2), 0, 14 * SECOND), UnadmittedClients::default());
}

/// A recording may contain any times.
#[test]
fn a_pause_as_long_as_the_clock_does_not_wrap_around() {
    let mut clients = Clients::default();
    for time_ns in [0, u64::MAX - 1] {
        clients.refused(&drop(1, Cause::AcceptQueueFullSyn), time_ns, false);
    }
    let unadmitted = clients.unadmitted(ListenerId(1), 0, u64::MAX);
    assert_eq!(unadmitted, UnadmittedClients { trying: 1, ..UnadmittedClients::default() });
}

#[test]
fn a_retry_whose_first_refusal_is_not_known_is_no_new_client_and_may_pause_for_longer() {
    let mut clients = Clients::default();
    let retry = DropEvent { retry: true, ..drop(1, Cause::AcceptQueueFullSyn) };
    let known = clients.refused(&retry, SECOND, false);
    assert_eq!((known.first, known.retry_of_ns), (false, None));
    // Nor is it known how long a client has been trying that was refused before the run.
    let early = drop(2, Cause::AcceptQueueFullSyn);
    assert!(clients.refused(&early, SECOND, true).first);
    let again = clients.refused(&early, 2 * SECOND, true);
    assert_eq!((again.first, again.retry_of_ns), (false, None));
    let UnadmittedClients { trying, unknown, gave_up, .. } =
        clients.unadmitted(retry.listener, 0, 60 * SECOND);
    assert_eq!((trying, unknown, gave_up), (0, 2, 0));
    clients.admitted(&queued(&early, true), 61 * SECOND);
    let settled_now = clients.dequeued(&dequeued(&early, Leaving::Accepted), 62 * SECOND);
    assert_eq!(settled_now, Some(settled(Fate::Admitted { delay_ns: None })));
}

#[test]
fn a_client_that_another_listener_takes_has_not_given_up() {
    let mut clients = Clients::default();
    let refused = drop(1, Cause::AcceptQueueFullSyn);
    clients.refused(&refused, SECOND, false);
    // Another member of the group refuses a retry: it is the same client.
    let other = ListenerId(2);
    let elsewhere = DropEvent { listener: other, ..refused };
    assert!(!clients.refused(&elsewhere, 2 * SECOND, false).first);
    let taken = Admitted { listener: other, ..queued(&refused, true) };
    assert_eq!(clients.admitted(&taken, 4 * SECOND), (Admission::Elsewhere, None));
    let left = Dequeued { listener: other, ..dequeued(&refused, Leaving::Accepted) };
    let fate = Fate::Admitted { delay_ns: Some(4 * SECOND) };
    assert_eq!(clients.dequeued(&left, 5 * SECOND), Some(settled(fate)));
    assert_eq!(clients.unadmitted(refused.listener, 0, 60 * SECOND), UnadmittedClients::default());
}
