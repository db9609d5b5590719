//! Puts a verdict into sentences.

mod add_workers;
mod stalled;
mod unbalanced;

use std::fmt::Write as _;

use backlog_ebpf::cause::{Beside, Cause};

use super::{Cookies, Seen, Sizing, Verdict, round_to_u64};
use crate::model::page::{Page, StillQueued};
use crate::text::acceptor::{stopped, throttled, unwilling};
use crate::text::format::{bytes, duration, plural};

pub(super) fn why(sizing: &Sizing, seen: &Seen<'_>) -> String {
    match sizing.verdict {
        Verdict::Fits => fits(sizing, seen),
        Verdict::Raise => raise(sizing, seen),
        Verdict::AddWorkers => add_workers::why(sizing, seen),
        Verdict::AcceptorStalled => stalled::why(sizing, seen),
        Verdict::Unbalanced => unbalanced::why(seen),
        Verdict::NotEnoughData => not_enough(seen),
    }
}

/// A queue that is non-empty for this part of the time is rarely empty.
const BUSY: f64 = 0.9;

fn fits(sizing: &Sizing, seen: &Seen<'_>) -> String {
    let page = seen.page;
    let (peak, limit) = (page.peak().0, page.listener.limit);
    let smallest = sizing.smallest_limit.unwrap_or(peak);
    let syn = match page.totals.syn_queue_peak {
        syn if syn > peak => format!(" and {} in the SYN queue", plural(syn.into(), "request")),
        _ => String::new(),
    };
    let mut text = format!(
        "no client was refused by the limit of {limit}: at most {peak} {} ever queued{syn}, so {} % \
         of it was never used and a limit of {smallest} would have been enough",
        if peak == 1 { "was" } else { "were" },
        sizing.headroom_percent.unwrap_or(0),
    );
    let elapsed_ns = seen.given.elapsed_ns as f64;
    if page.totals.accepted > 0 && elapsed_ns > 0.0 {
        // Before the first accept, nothing tells since when the queue has been empty. So the
        // acceptor must also have been busy for this long.
        let paced_ns = page.paced.pauses_ns.saturating_add(page.paced.stalls_ns) as f64;
        let busy = (1.0 - page.idle_ns as f64 / elapsed_ns).min(paced_ns / elapsed_ns);
        if busy > BUSY {
            let _ = write!(
                text,
                ". The queue was empty for only {:.0} % of the time: clients wait for workers, \
                 and no backlog changes that",
                ((1.0 - busy) * 100.0).max(0.0),
            );
        }
    }
    append(&mut text, by_other_limits(page));
    append(&mut text, lost_at_close(page));
    text
}

/// `28 connections were still queued when it closed`.
fn lost_at_close(page: &Page) -> Option<String> {
    let queued = page.closed.map_or(0, |(_, closed)| u64::from(closed.depth));
    let lost = happened(queued, "connection", "still queued");
    (queued > 0).then(|| format!("But {lost} when it closed"))
}

fn append(text: &mut String, sentences: impl IntoIterator<Item = String>) {
    for sentence in sentences {
        let _ = write!(text, ". {sentence}");
    }
}

/// The refusals that the present limit did not cause.
fn by_other_limits(page: &Page) -> impl Iterator<Item = String> {
    [by_outdated_limit(page), for_other_causes(page)].into_iter().flatten()
}

/// `123 packets were refused by a limit of 16, before it was raised to 200`.
fn by_outdated_limit(page: &Page) -> Option<String> {
    let (before, now) = (page.outdated_limit()?, page.listener.limit);
    let packets = refused(page.refused_by_limit(), "packet");
    Some(format!("{packets} by a limit of {before}, before it was raised to {now}"))
}

/// `41 packets were refused for another cause (last_quarter 41), which no backlog changes:
/// backlog-trace explain last_quarter says what does`.
fn for_other_causes(page: &Page) -> Option<String> {
    let others = Cause::ALL.iter().zip(page.totals.drops);
    let others = others.filter(|(cause, count)| *count > 0 && !cause.is_by_limit());
    let (mut causes, mut packets, mut first) = (Vec::new(), 0_u64, "");
    for (cause, count) in others {
        if causes.is_empty() {
            first = cause.name();
        }
        causes.push(format!("{} {count}", cause.name()));
        packets = packets.saturating_add(count);
    }
    let text = refused(packets, "packet");
    let all = match causes.len() {
        0 => return None,
        1 => first.to_owned(),
        _ => "NAME".to_owned(),
    };
    Some(format!(
        "{text} for another cause ({}), which no backlog changes: backlog-trace explain {all} says what \
         does",
        causes.join(", ")
    ))
}

fn raise(sizing: &Sizing, seen: &Seen<'_>) -> String {
    let (page, given) = (seen.page, seen.given);
    let limit = page.listener.limit;
    let backlog = sizing.backlog.unwrap_or(limit);
    let mut parts: Vec<_> = to_mend_first(page).into_iter().collect();
    if seen.refused > 0 {
        let episodes = plural(page.episodes.count(), "episode");
        let mut part = format!("{} in {episodes}, by a limit of {limit}", clients(seen));
        if let Some(needed) = sizing.needed_depth {
            let _ = write!(part, "; without one the accept queue would have held {needed}");
        }
        parts.push(part);
    }
    if sizing.needed_syn_queue.is_some() || sizing.cookies.is_some() {
        let mut part = syn_queue(page, sizing.cookies, seen.need.flood);
        if let Some(needed) = sizing.needed_syn_queue {
            let _ = write!(part, ": with room for all it would have held about {needed}");
        }
        parts.push(part);
    }
    parts.push(limits_to_set(backlog, sizing.somaxconn, given.somaxconn, page));
    let mut text = sentences(&parts);
    if given.somaxconn.is_none() && !text.contains("net.core.somaxconn") {
        text += "; net.core.somaxconn, which may clamp it, is not known";
    }
    if let Some(wait_ns) = sizing.wait_ns {
        let depth = sizing.needed_depth.unwrap_or(0);
        let _ = write!(
            text,
            ". The last of {depth} in the queue waits about {}",
            duration(wait_ns / 1000)
        );
    } else if sizing.needed_depth.is_some() {
        let _ = write!(
            text,
            ". How long the last in the queue waits is not known: only {}",
            happened(page.totals.accepted, "connection", "accepted")
        );
    }
    if let Some(memory) = sizing.memory_bytes {
        let _ = write!(text, "; a full queue takes {} of kernel memory", bytes(memory));
    }
    if page.closed.is_some() {
        text += ". This listener has closed: the number is for what listens at its address next";
    } else {
        let _ = write!(
            text,
            ". A running listener keeps its limit until listen() is called again: restart {}",
            sizing.restart.as_deref().unwrap_or("its server"),
        );
    }
    append(&mut text, add_workers::left(seen));
    append(&mut text, from_before(seen));
    append(&mut text, hindrances(page));
    text
}

/// A warning about the numbers of a run that started in the middle of an overload.
fn from_before(seen: &Seen<'_>) -> Option<String> {
    seen.unlimited.from_before.then(|| {
        "Clients were being refused when tracing began, and their retries count as new clients for \
         16s: numbers of clients may be too high, and a longer run has better ones"
            .to_owned()
    })
}

/// Failed calls of `accept()`, which neither workers nor a backlog fix. A verdict starts with them:
/// nothing else helps before they are fixed.
fn to_mend_first(page: &Page) -> Option<String> {
    let failed = page.accept_errors.lasting()?;
    Some(format!("{failed}: neither a backlog nor workers change that, so mend it first"))
}

/// Other reasons why the server did not accept: workers that do not call `accept()`, and a pause of
/// all of them.
fn hindrances(page: &Page) -> Vec<String> {
    let looks = || page.episodes.kept().iter().rev().filter_map(|one| one.acceptor.as_deref());
    let unwilling_looks = looks().filter_map(unwilling).count();
    let throttled = page.cpu_limit().map(|limit| {
        format!(
            "When drops began, the acceptors were {}: raise it first, since more workers share it",
            throttled(limit)
        )
    });
    // What at least half of the inspections show is not chance.
    let at_drops = looks()
        .find_map(unwilling)
        .filter(|_| unwilling_looks * 2 >= looks().count())
        .map(|all| format!("When drops began, {all}"));
    let stopped_looks = looks().filter_map(stopped).count();
    let stopped = looks()
        .find_map(stopped)
        .filter(|_| stopped_looks * 2 >= looks().count())
        .map(|some| format!("When drops began, {some}: find out why, before you add others"));
    let idle = || page.idle.as_deref().and_then(unwilling);
    let unwilling = at_drops
        .or_else(|| idle().map(|all| format!("When nobody had accepted for over a second, {all}")));
    let still = page.stalls.longest.map(|(since_ns, until_ns)| {
        format!(
            "Nobody accepted for {} while clients were refused: find out why",
            duration(until_ns.saturating_sub(since_ns) / 1000)
        )
    });
    [throttled, stopped, unwilling, still].into_iter().flatten().collect()
}

/// The backlog to pass, unless the server already requests at least as much, and the minimum for
/// `net.core.somaxconn` if that is lower. `set` is its value, if known.
fn limits_to_set(backlog: u32, least: Option<u32>, set: Option<u32>, page: &Page) -> String {
    let requested = page.listener.call.as_ref().and_then(|call| call.asked);
    let requested = requested.filter(|requested| requested.cast_unsigned() >= backlog);
    match (requested, least.zip(set)) {
        (None, None) => format!("pass {backlog} to listen()"),
        (None, Some((least, set))) => format!(
            "pass {backlog} to listen() and set net.core.somaxconn to {least} or more (it is \
             {set} and would clamp it)"
        ),
        (Some(requested), Some((least, set))) => format!(
            "set net.core.somaxconn to {least} or more: it is {set} and clamps the {requested} \
             that the server requests"
        ),
        (Some(requested), None) if set.is_some() => format!(
            "{backlog} would be enough, and the server requests {requested}: \
             net.core.somaxconn was raised since it called listen()"
        ),
        (Some(requested), None) => format!(
            "set net.core.somaxconn to {backlog} or more: it clamped the {requested} that the \
             server requests"
        ),
    }
}

/// That the SYN queue was full, and what happened to the SYNs.
fn syn_queue(page: &Page, cookies: Option<Cookies>, flood: bool) -> String {
    let limit = page.listener.limit;
    let drops = page.totals.drops[Cause::SynQueueFull as usize];
    let mut text = format!("the SYN queue, which has the same limit of {limit}, was full for ");
    if drops > 0 {
        let _ = write!(text, "{}", plural(drops, "refused SYN"));
    }
    if flood {
        text += " (few of their clients sent another one, as in a SYN flood)";
    }
    if cookies.is_some() {
        let beside = |one: Beside| page.totals.beside[one as usize];
        let and = if drops > 0 { " and " } else { "" };
        let _ = write!(
            text,
            "{and}{} answered with a cookie ({} with a valid cookie for {} that {} sent: {})",
            plural(page.cookies_at_full_syn_queue(), "SYN"),
            plural(beside(Beside::SynCookieValid), "ACK"),
            beside(Beside::SynCookieSent),
            if beside(Beside::SynCookieSent) == 1 { "was" } else { "were" },
            match cookies {
                Some(Cookies::Attack) => "few answered, as in a SYN flood",
                _ => "these are clients, not a SYN flood",
            },
        );
    }
    text
}

/// `17 are still queued, the oldest for 8.1s`.
fn still(queued: &StillQueued) -> String {
    let are = if queued.count == 1 { "is" } else { "are" };
    format!("{} {are} still queued{}", queued.count, oldest(queued))
}

/// `, the oldest for 8.1s`.
fn oldest(queued: &StillQueued) -> String {
    let at_least = if queued.at_least { "at least " } else { "" };
    let oldest = queued.oldest_ns.map(|oldest_ns| duration(oldest_ns / 1000));
    oldest.map_or(String::new(), |oldest| format!(", the oldest for {at_least}{oldest}"))
}

/// Joins sentences. Each starts with a capital letter, except the first, which follows a colon.
fn sentences(parts: &[String]) -> String {
    let mut text = String::new();
    for part in parts {
        if text.is_empty() {
            text.push_str(part);
            continue;
        }
        text.push_str(". ");
        if part.starts_with("accept()") {
            text.push_str(part);
            continue;
        }
        let mut letters = part.chars();
        text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        text.push_str(letters.as_str());
    }
    text
}

fn not_enough(seen: &Seen<'_>) -> String {
    let page = seen.page;
    let port = page.listener.local.port();
    if seen.given.partial {
        return format!(
            "IPv4 and IPv6 clients share this queue, and -4 or -6 leaves some of them out: run \
             backlog-trace -P {port} without it"
        );
    }
    if seen.refused > 0 && seen.unlimited.firsts >= 0.5 {
        let end = if page.closed.is_some() { "it closed" } else { "the end" };
        let why = if seen.unlimited.grows_until(seen.given.end_ns) {
            let depth = seen.unlimited.stretches().map(|one| one.peak).fold(0.0, f64::max);
            format!(
                "and more came than were accepted until {end}, when a queue without a limit would have \
                 held {}",
                round_to_u64(depth.ceil())
            )
        } else {
            format!("and nothing was accepted until {end}")
        };
        return format!("{}, {why}: run backlog-trace -P {port} for longer", clients(seen));
    }
    if seen.refused > 0 {
        return format!(
            "{}, but no record of them was kept: run backlog-trace -P {port} with a higher \
             --drop-records",
            refused(seen.refused, "packet"),
        );
    }
    if seen.need.flood || seen.need.cookies.is_some() {
        return format!(
            "{}. {}What its clients need cannot be told apart from that: run backlog-trace -P \
             {port} -d 10m when it is over",
            syn_queue(page, seen.need.cookies, seen.need.flood),
            if seen.given.syncookies == Some(0) {
                "With net.ipv4.tcp_syncookies=1 a flood refuses nobody. "
            } else {
                ""
            },
        );
    }
    let mut text = format!(
        "only {}: run backlog-trace -P {port} -d 10m while there is load",
        plural(page.totals.enqueued, "connection"),
    );
    append(&mut text, by_other_limits(page));
    text
}

/// The number of refused clients.
fn clients(seen: &Seen<'_>) -> String {
    let about = if seen.unlimited.estimated >= 0.5 { "about " } else { "" };
    about.to_owned() + &refused(round_to_u64(seen.unlimited.firsts), "client")
}

/// `1 packet was refused`, `2 packets were refused`.
fn refused(count: u64, noun: &str) -> String {
    happened(count, noun, "refused")
}

fn happened(count: u64, noun: &str, what: &str) -> String {
    format!("{} {} {what}", plural(count, noun), if count == 1 { "was" } else { "were" })
}
