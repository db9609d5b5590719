//! Puts the result of a comparison into sentences.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Change, ENOUGH, Pair, Place, Run, per_second};
use crate::text::format::{duration, rate};

/// The name of a change in JSON.
#[must_use]
pub fn name(change: Change) -> &'static str {
    match change {
        Change::NoneInEither => "none_in_either",
        Change::Gone => "gone",
        Change::TooShort(_) => "too_short",
        Change::Fewer => "fewer",
        Change::AsMany => "as_many",
        Change::More => "more",
        Change::New => "new",
        Change::OnlyBefore => "only_before",
        Change::OnlyAfter => "only_after",
    }
}

/// What the second run shows about an address, and what weakens it as evidence.
#[must_use]
pub fn conclusion(pair: &Pair<'_>, before: &Run, after: &Run) -> String {
    let change = pair.change();
    let mut text = match change {
        Change::NoneInEither => "No client was refused in either run.".to_owned(),
        Change::Gone => format!(
            "Clients are no longer refused. {}.",
            expected(pair.expected_episodes().unwrap_or_default())
        ),
        Change::TooShort(count) => format!(
            "No client was refused, which may be chance. {}: trace for {}.",
            expected(count),
            longer(after.elapsed_ns, count)
        ),
        Change::Fewer => format!("Fewer clients are refused: {}.", shares(pair)),
        Change::AsMany => format!("About as many clients are refused: {}.", shares(pair)),
        Change::More => format!("More clients are refused: {}.", shares(pair)),
        Change::New => format!("Clients are refused, and were not before: {}.", shares(pair)),
        Change::OnlyBefore => "Nothing happened at this address in the second run.".to_owned(),
        Change::OnlyAfter => "Nothing happened at this address in the first run.".to_owned(),
    };
    if let Some((was, is)) = pair.lower_load(before, after) {
        let _ = write!(
            text,
            " The load was lower: {} connections/s in place of {}, so a part of the difference may be \
             due to that.",
            rate(is),
            rate(was)
        );
    }
    let sides = [pair.before, pair.after].into_iter().flatten();
    if sides.into_iter().any(|place| !place.every_client) {
        text += " Not every refused client is known: their shares are lower bounds.";
    }
    text
}

/// `If they were as frequent as in the first run, about 12 episodes of refusals would have been
/// expected`.
fn expected(count: f64) -> String {
    format!(
        "If they were as frequent as in the first run, about {} of refusals would have been expected",
        if count < 1.5 { format!("{count:.1} episodes") } else { format!("{count:.0} episodes") }
    )
}

/// How long a run must be to expect enough episodes.
fn longer(elapsed_ns: u64, expected: f64) -> String {
    if expected <= 0.0 {
        return "longer".to_owned();
    }
    let needed = Duration::try_from_secs_f64(elapsed_ns as f64 / 1e9 * ENOUGH / expected);
    let needed_us = needed.ok().and_then(|needed| u64::try_from(needed.as_micros()).ok());
    needed_us.map_or("longer".to_owned(), |us| format!("at least {} under this load", duration(us)))
}

/// `0.3 % of the clients in place of 12 %`.
fn shares(pair: &Pair<'_>) -> String {
    let of = |place: Option<&Place>| {
        let share = place.and_then(Place::refused_share);
        share.map_or_else(|| "none".to_owned(), percent)
    };
    format!("{} of the clients in place of {}", of(pair.after), of(pair.before))
}

/// `0.04 %`, `1.2 %`, `37 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0 %".to_owned()
    } else if percent < 0.1 {
        format!("{percent:.2} %")
    } else if percent < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// `12034 (201/s)`.
#[must_use]
pub fn with_rate(count: u64, elapsed_ns: u64) -> String {
    match per_second(count, elapsed_ns) {
        Some(per_second) if count > 0 => format!("{count} ({}/s)", rate(per_second)),
        _ => count.to_string(),
    }
}
