//! Clients at a distance of a round trip, and SYN cookies: what both queues needed.

use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::totals::Totals;

use super::super::Cookies;
use super::cases::{apply, count, model, sizing};
use super::{Confidence, ID, MS, SECOND, Sizing, Verdict, drop};
use crate::event::{Admitted, DropEvent, SoFar, What};
use crate::model::Model;

/// 60 clients at once with a round trip of 100 ms, eight times; the SYN queue has room for 32.
fn far_clients(model: &mut Model) -> u64 {
    let (limit, mut arrived, mut port) = (32, 0, 0);
    for round in 0..8 {
        let begin_ns = SECOND + round * 700 * MS;
        for client in 0..60 {
            let time_ns = begin_ns + client * 3 * MS / 2;
            if client < u64::from(limit) {
                continue;
            }
            port += 1;
            refused_far(model, time_ns, port..port + 1, arrived);
        }
        arrived += limit + 28;
    }
    let so_far = Some(SoFar { arrived, ..SoFar::default() });
    for client in 1..=port {
        let what = What::Admitted(Admitted { so_far, ..admitted_far(client) });
        apply(model, 9 * SECOND, what);
    }
    10 * SECOND
}

#[test]
fn both_queues_are_in_the_number() {
    let mut model = model(32);
    let end_ns = far_clients(&mut model);
    let mut totals = Totals { enqueued: 480, accepted: 480, peak: 2, ..Totals::default() };
    totals.drops[Cause::SynQueueFull as usize] = 224;
    totals.syn_queue_peak = 32;
    count(&mut model, end_ns, &totals);
    let sizing = sizing(&model, end_ns);
    assert_eq!(sizing.verdict, Verdict::Raise, "{}", sizing.why);
    assert_eq!(sizing.needed_syn_queue, Some(60), "{}", sizing.why);
    assert!((60..=66).contains(&sizing.backlog.unwrap()), "{}", sizing.why);
}

fn refused_far(model: &mut Model, time_ns: u64, ports: std::ops::Range<u16>, arrived: u32) {
    for port in ports {
        let client = ([10, 0, 0, 9], port).into();
        let so_far = Some(SoFar { arrived, ..SoFar::default() });
        let (cause, limit) = (Cause::SynQueueFull, 32);
        let drop = DropEvent { cause, client, depth: 0, syn_queue: limit, so_far, ..drop(limit) };
        apply(model, time_ns, What::Drop(drop));
    }
}

fn admitted_far(port: u16) -> Admitted {
    Admitted {
        listener: ID,
        client: ([10, 0, 0, 9], port).into(),
        isn: 0,
        depth: 1,
        trough: 0,
        free_ns: 1,
        so_far: None,
        followed: false,
    }
}

/// Two groups of 60 clients with a round trip of 100 ms. Retries of clients refused in the first
/// group are in the SYN queue when the second group arrives.
#[test]
fn retries_in_the_syn_queue_are_no_need() {
    let mut model = model(32);
    refused_far(&mut model, SECOND, 1..29, 0);
    refused_far(&mut model, 2020 * MS, 101..157, 32);
    for port in 1..29 {
        let admitted = Admitted { followed: true, ..admitted_far(port) };
        apply(&mut model, 2100 * MS, What::Admitted(admitted));
    }
    let mut totals = Totals { enqueued: 120, accepted: 120, peak: 2, ..Totals::default() };
    totals.drops[Cause::SynQueueFull as usize] = 84;
    totals.syn_queue_peak = 32;
    count(&mut model, 10 * SECOND, &totals);
    let sizing = sizing(&model, 10 * SECOND);
    assert_eq!(sizing.needed_syn_queue, Some(60), "{}", sizing.why);
}

fn cookies(sent: u64, valid: u64) -> Sizing {
    let mut model = model(32);
    let mut totals = Totals { enqueued: 480, accepted: 480, peak: 2, ..Totals::default() };
    totals.beside[Beside::SynQueueFullCookie as usize] = sent;
    totals.beside[Beside::SynCookieSent as usize] = sent;
    totals.beside[Beside::SynCookieValid as usize] = valid;
    (totals.syn_queue_peak, totals.syn_needed) = (32, 60);
    count(&mut model, 10 * SECOND, &totals);
    sizing(&model, 10 * SECOND)
}

/// The full accept queue refuses a SYN after the kernel has counted a full SYN queue.
#[test]
fn a_syn_that_got_no_cookie_is_not_said_to_have_got_one() {
    let mut model = model(32);
    let mut totals = Totals { enqueued: 480, accepted: 480, peak: 32, ..Totals::default() };
    totals.beside[Beside::SynQueueFullCookie as usize] = 90;
    count(&mut model, 5 * SECOND, &totals);
    assert_eq!(sizing(&model, 5 * SECOND).cookies, None);
    totals.beside[Beside::SynCookieSent as usize] = 60;
    totals.beside[Beside::SynCookieValid as usize] = 60;
    (totals.syn_queue_peak, totals.syn_needed) = (32, 60);
    count(&mut model, 10 * SECOND, &totals);
    let sizing = sizing(&model, 10 * SECOND);
    assert!(sizing.why.contains("60 SYNs answered with a cookie"), "{}", sizing.why);
}

#[test]
fn cookies_for_lack_of_room_are_need_unless_nobody_answers_them() {
    let sizing = cookies(224, 224);
    assert_eq!((sizing.verdict, sizing.cookies), (Verdict::Raise, Some(Cookies::Load)));
    assert_eq!(sizing.needed_syn_queue, Some(60), "{}", sizing.why);
    assert!((60..=66).contains(&sizing.backlog.unwrap()), "{}", sizing.why);
    let sizing = cookies(9_000, 12);
    assert_eq!((sizing.verdict, sizing.cookies), (Verdict::NotEnoughData, Some(Cookies::Attack)));
    assert!(sizing.why.contains("as in a SYN flood"), "{}", sizing.why);
}

#[test]
fn what_fits_fits_both_queues() {
    let mut model = model(128);
    let totals =
        Totals { enqueued: 480, accepted: 480, peak: 6, syn_queue_peak: 60, ..Totals::default() };
    count(&mut model, 10 * SECOND, &totals);
    let sizing = sizing(&model, 10 * SECOND);
    assert_eq!((sizing.verdict, sizing.smallest_limit), (Verdict::Fits, Some(60)));
    assert_eq!(sizing.confidence, Confidence::Medium);
}
