//! The latest drops and messages, bounded; what is left out is counted.

use std::collections::VecDeque;
use std::io;

use backlog_core::model::Refusal;
use backlog_core::model::page::Page;
use backlog_core::run::Meta;
use backlog_core::text::owner_text::safe;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::output::sink::{Now, Sink as _, Update};
use crate::output::table::{Table, TextStyle};
use crate::output::told::Told;

/// The maximum numbers of drops and messages to keep.
const DROPS: usize = 60;
const NOTICES: usize = 40;

/// The maximum number of messages per interval, since listeners may open and close by the thousand.
const NOTICES_OF_INTERVAL: u64 = 40;

/// A packet that was refused.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Drop {
    time_ms: i64,
    /// The ID of the listener.
    listener: u32,
    name: String,
    client: String,
    cause: &'static str,
    depth: u32,
    limit: u32,
    /// For a retry: milliseconds since the first attempt.
    retry_ms: Option<u64>,
}

/// A log message.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Notice {
    /// None: since the start of the run.
    time_ms: Option<i64>,
    text: String,
}

/// See the module documentation.
pub(super) struct Latest {
    pub(super) drops: VecDeque<Drop>,
    /// The drops of this interval.
    fresh: VecDeque<Refusal>,
    pub(super) notices: VecDeque<Notice>,
    /// The number of messages in this interval, and of those left out in all intervals.
    of_interval: u64,
    pub(super) notices_left_out: u64,
    teller: Table<Told>,
    told: Told,
}

impl Default for Latest {
    fn default() -> Self {
        let told = Told::default();
        let style = TextStyle { zone: TimeZone::UTC, idle_rows: false, quiet: false, cost: false };
        Self {
            drops: VecDeque::new(),
            fresh: VecDeque::new(),
            notices: VecDeque::new(),
            of_interval: 0,
            notices_left_out: 0,
            teller: Table::new(told.clone(), style),
            told,
        }
    }
}

impl Latest {
    /// Starts a run, with its gaps as messages.
    pub(super) fn begin(&mut self, meta: &Meta) {
        *self = Self::default();
        for text in meta.reasons.iter().chain(&meta.gaps) {
            self.keep(None, safe(text));
        }
    }

    /// Adds a drop. There may be thousands, so only the latest are formatted.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        push(&mut self.fresh, DROPS, *refusal);
    }

    /// Formats the drops of the interval that has ended.
    pub(super) fn interval_ended(&mut self, now: Now<'_>) {
        self.of_interval = 0;
        for refusal in self.fresh.drain(..) {
            push(&mut self.drops, DROPS, Drop::of(now, &refusal));
        }
    }

    /// Adds what the table would print as messages.
    pub(super) fn tell(
        &mut self,
        now: Now<'_>,
        time_ns: u64,
        update: &Update<'_>,
    ) -> io::Result<()> {
        if self.of_interval >= NOTICES_OF_INTERVAL && !matches!(update, Update::Reconciled { .. }) {
            self.notices_left_out += 1;
            return Ok(());
        }
        self.teller.update(now, update)?;
        // Flush, so that the table's lines are complete.
        self.teller.update(now, &Update::Flush)?;
        let wall_ms = now.clock.wall(time_ns).as_millisecond();
        for text in self.told.take() {
            self.of_interval += 1;
            self.keep(Some(wall_ms), safe(without_time(&text)));
        }
        Ok(())
    }

    fn keep(&mut self, time_ms: Option<i64>, text: String) {
        push(&mut self.notices, NOTICES, Notice { time_ms, text });
    }
}

impl Drop {
    fn of(now: Now<'_>, refusal: &Refusal) -> Self {
        let Refusal { time_ns, drop, retry_of_ns, first: _, episode: _ } = refusal;
        let page = now.model.get(drop.listener);
        Self {
            time_ms: now.clock.wall(*time_ns).as_millisecond(),
            listener: drop.listener.0,
            name: page.map_or_else(|| "?".to_owned(), Page::full_name),
            client: drop.client.to_string(),
            cause: drop.cause.name(),
            depth: drop.depth,
            limit: drop.limit,
            retry_ms: retry_of_ns.map(|first_ns| time_ns.saturating_sub(first_ns) / 1_000_000),
        }
    }
}

fn push<T>(queue: &mut VecDeque<T>, most: usize, one: T) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(one);
}

/// Removes the time, which the browser shows in its own zone.
fn without_time(text: &str) -> &str {
    match text.split_once(' ') {
        Some((time, rest))
            if time.starts_with(|char: char| char.is_ascii_digit())
                && time.matches(':').count() == 2
                && !time.contains(']') =>
        {
            rest.trim_start()
        }
        _ => text.trim_start(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_time;

    #[test]
    fn only_a_time_is_cut_off() {
        for (line, text) in [
            ("21:04:05 0.0.0.0:80 opened", "0.0.0.0:80 opened"),
            ("21:04:05.123456 [::]:80 closed", "[::]:80 closed"),
            ("         nginx[7] requested 2", "nginx[7] requested 2"),
            ("0.0.0.0:80 opened", "0.0.0.0:80 opened"),
        ] {
            assert_eq!(without_time(line), text);
        }
    }
}
