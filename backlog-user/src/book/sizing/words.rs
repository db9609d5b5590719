//! A verdict in sentences.

mod unbalanced;

use std::fmt::Write as _;

use super::{Given, Sizing, Verdict, by_limit, whole};
use crate::book::page::Page;
use crate::view::format::{bytes, duration, plural};

pub(super) fn why(sizing: &Sizing, page: &Page, given: &Given) -> String {
    match sizing.verdict {
        Verdict::Fits => fits(sizing, page),
        Verdict::Raise => raise(sizing, page, given),
        Verdict::AddWorkers => add_workers(sizing, page, given),
        Verdict::Unbalanced => unbalanced::why(page, given),
        Verdict::NotEnoughData => not_enough(page),
    }
}

fn fits(sizing: &Sizing, page: &Page) -> String {
    let (peak, limit) = (page.peak().0, page.listener.limit);
    let smallest = sizing.smallest_limit.unwrap_or(peak);
    let mut text = format!(
        "no client was refused by the limit of {limit}: at most {peak} were queued, so {} % of it \
         were never used and a limit of {smallest} would have been enough",
        sizing.headroom_percent.unwrap_or(0),
    );
    let others: u64 = page.totals.drops.iter().sum();
    if others > 0 {
        let _ = write!(
            text,
            ". {} for another cause, which no limit changes",
            refused(others, "packet"),
        );
    }
    text
}

fn raise(sizing: &Sizing, page: &Page, given: &Given) -> String {
    let limit = page.listener.limit;
    let needed = sizing.needed_depth.unwrap_or(0);
    let backlog = sizing.backlog.unwrap_or(limit);
    let mut text = format!(
        "{} in {}, by a limit of {limit}; without one the queue would have held {needed}. \
         Pass {backlog} to listen()",
        clients(page),
        plural(page.episodes.count(), "episode"),
    );
    match (sizing.somaxconn, given.somaxconn) {
        (Some(least), Some(set)) => {
            let _ = write!(
                text,
                " and set net.core.somaxconn to {least} or more (it is {set} and would cut it)"
            );
        }
        (None, None) => text += "; net.core.somaxconn, which may cut it, is not known",
        _ => {}
    }
    if let Some(wait_ns) = sizing.wait_ns {
        let _ = write!(text, ". The last in such a queue waits about {}", duration(wait_ns / 1000));
    }
    if let Some(memory) = sizing.memory_bytes {
        let _ = write!(text, "; full it takes {} of kernel memory", bytes(memory));
    }
    let _ = write!(
        text,
        ". A running listener keeps its limit until listen() is called again: restart {}",
        sizing.restart.as_deref().unwrap_or("its server"),
    );
    text
}

fn add_workers(sizing: &Sizing, page: &Page, given: &Given) -> String {
    let needed = sizing.needed_depth.unwrap_or(0);
    let lasted = duration(sizing.lasted_ns.unwrap_or(0) / 1000);
    let timeout = duration(given.client_timeout_ns / 1000);
    let rate = sizing.accept_rate.unwrap_or(0.0);
    let mut text = format!(
        "{}. For {lasted} clients came faster ({:.1}/s) than they were accepted \
         ({rate:.1}/s while any were queued): a larger backlog would only turn refusals into \
         waiting",
        clients(page),
        sizing.needed_rate.unwrap_or(0.0),
    );
    match sizing.wait_ns {
        Some(wait_ns) => {
            let _ = write!(
                text,
                ", about {} for the last in a queue of {needed}, where a client gives up after \
                 {timeout} (--client-timeout)",
                duration(wait_ns / 1000),
            );
        }
        None => text += ", for nothing was accepted at all",
    }
    text + ". Add workers, or make accept() come sooner"
}

fn not_enough(page: &Page) -> String {
    let port = page.listener.local.port();
    if page.unlimited.firsts >= 0.5 {
        return format!(
            "{}, and nothing was accepted until the end: run backlog-trace -P {port} for \
             longer",
            clients(page),
        );
    }
    if by_limit(page) > 0 {
        return format!(
            "{}, but their records were lost: run backlog-trace -P {port} with a \
             higher --drop-records",
            refused(by_limit(page), "packet"),
        );
    }
    format!(
        "only {}: run backlog-trace -P {port} -d 10m while there is load",
        plural(page.totals.enqueued, "connection"),
    )
}

/// How many clients were refused.
fn clients(page: &Page) -> String {
    let about = if page.unlimited.estimated >= 0.5 { "about " } else { "" };
    about.to_owned() + &refused(whole(page.unlimited.firsts), "client")
}

/// `1 packet was refused`, `2 packets were refused`.
fn refused(count: u64, noun: &str) -> String {
    format!("{} {} refused", plural(count, noun), if count == 1 { "was" } else { "were" })
}
