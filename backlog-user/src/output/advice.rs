//! The part of the summary with the affected clients, the reason, and the remedy.

use std::fmt::Write as _;

use backlog_core::clock::Clock;
use backlog_core::model::Model;
use backlog_core::model::clients::UnadmittedClients;
use backlog_core::model::episode::{Episode, NewClients};
use backlog_core::model::interval::Waits;
use backlog_core::model::page::{Page, StillQueued};
use backlog_core::run::End;
use backlog_core::text::acceptor;
use backlog_core::text::format::{clock_time, duration, plural};
use backlog_core::text::owner_text::safe;
use jiff::tz::TimeZone;

use super::text_block::TextBlock;
use super::workers;

/// Width of the labels.
const INDENT: usize = 15;
/// The number of episodes to list; outputs with more room list all.
const EPISODES: usize = 3;

/// Renders it.
pub(super) fn render(
    zone: &TimeZone,
    clock: &Clock,
    model: &Model,
    page: &Page,
    end: &End,
) -> String {
    let mut text = TextBlock::default();
    if let Some(line) = clients(model, page, end.time_ns) {
        text.labelled("  clients      ", INDENT, &line);
    }
    if let Some(line) = workers::sentence(page) {
        text.labelled("  accepted by  ", INDENT, &line);
    }
    for episode in page.episodes.kept().iter().take(EPISODES) {
        text.labelled("  episode      ", INDENT, &one(zone, clock, episode));
    }
    let more = page.episodes.count().saturating_sub(EPISODES as u64);
    if more > 0 {
        text.labelled("  episode      ", INDENT, &format!("{more} more"));
    }
    if let Some(idle) = page.idle.as_deref() {
        text.labelled("  stall        ", INDENT, &acceptor::sentence(idle));
    }
    if let Some(line) = page.accept_errors.sentence() {
        let watched = duration(page.accept_errors.watched_ns / 1000);
        let line = format!("{} (watched for {watched})", safe(&line));
        text.labelled("  accept()     ", INDENT, &line);
    }
    let sizing = model.sizing(page, end.time_ns);
    let (verdict, confidence) = (sizing.verdict.name(), sizing.confidence.name());
    let line = format!("{verdict} ({confidence} confidence): {}", safe(&sizing.why));
    text.labelled("  sizing       ", INDENT, &line);
    text.into_text()
}

/// What happened to the clients that were refused, if there were any.
pub(crate) fn clients(model: &Model, page: &Page, time_ns: u64) -> Option<String> {
    if page.clients() == 0 {
        return None;
    }
    let UnadmittedClients { gave_up, believing, reset, trying, unknown } =
        model.unadmitted(page, time_ns);
    let least = if page.has_every_client() { "" } else { "at least " };
    let clients = plural(page.clients(), "client");
    let mut line =
        format!("{least}{clients} refused at least once: {} got in later", page.admitted);
    if let Some(waits) = Waits::of(&page.delay) {
        let _ = write!(
            line,
            " (after p50 {}, p90 {}, max {})",
            duration(waits.p50),
            duration(waits.p90),
            duration(waits.max)
        );
    }
    let were_reset = if reset == 1 { "was reset" } else { "were reset" };
    for (count, what) in
        [(gave_up, "gave up"), (reset, were_reset), (trying, "may still be trying")]
    {
        if count > 0 {
            let _ = write!(line, ", {count} {what}");
        }
    }
    if unknown > 0 {
        let _ = write!(line, ", the outcome of {unknown} is unknown");
    }
    if unknown > 0 && page.closed.is_some() {
        line += ". Clients that were trying when the listener closed are reset at their next try, or \
                 another listener answers";
    }
    if unknown > 0 && page.was_refusing() {
        line += ". Clients were being refused when tracing began: of those that were seen first within \
                 16s, nothing shows how long they had been trying";
    }
    if believing > 0 {
        let _ = write!(
            line,
            ". {believing} of those that gave up believed that they were connected: the last ACK \
             of their handshake was dropped"
        );
    }
    if reset > 0 {
        line += ". A reset client was refused for good: it has an error and does not retry";
    }
    if page.totals.retry_table_evictions > 0 {
        let _ = write!(
            line,
            ". the retries of {} were not tracked: others had taken their places in the table",
            plural(page.totals.retry_table_evictions, "client")
        );
    }
    Some(line)
}

/// For example `17 still queued at the end, the oldest for 8.1s`.
pub(crate) fn still_queued(page: &Page, time_ns: u64) -> Option<String> {
    let StillQueued { count, oldest_ns, at_least } = page.still_queued(time_ns)?;
    let mut text = format!("{count} still queued at the end");
    if let Some(oldest_ns) = oldest_ns {
        let at_least = if at_least { "at least " } else { "" };
        let _ = write!(text, ", the oldest for {at_least}{}", duration(oldest_ns / 1000));
    }
    Some(text)
}

fn one(zone: &TimeZone, clock: &Clock, episode: &Episode) -> String {
    let Episode { begin_ns, last_ns, packets, acceptor, .. } = episode;
    let new_clients = match episode.new_clients() {
        NewClients::Exactly(clients) => plural(clients, "new client"),
        NewClients::AtLeast(clients) => format!("at least {}", plural(clients, "new client")),
        NewClients::Unknown => "new clients unknown".to_owned(),
    };
    let lasted = match last_ns.saturating_sub(*begin_ns) / 1000 {
        0 => String::new(),
        us => format!(" for {}", duration(us)),
    };
    let mut line = format!(
        "{}{lasted}: {} refused, {new_clients}",
        clock_time(zone, clock.wall(*begin_ns), 6),
        plural(*packets, "packet"),
    );
    if let Some(acceptor) = acceptor {
        line += ". ";
        line += &acceptor::sentence(acceptor);
    }
    line
}
