//! The columns of the table's rows.

use backlog_core::model::interval::{Interval, Waits};
use backlog_core::text::format::{duration, percent, rate};

use crate::output::column::Column;

type RowColumn = Column<fn(&Interval) -> String>;

/// The columns after the time and the listener, each with its width.
pub(super) const COLUMNS: [(usize, RowColumn); 9] = [
    (
        5,
        Column::new("DEPTH", "connections in the accept queue at the end of the interval", |row| {
            row.depth.to_string()
        }),
    ),
    (
        9,
        Column::new(
            "PEAK/LIM",
            "deepest queue in the interval, and the granted limit. The kernel admits limit \
                      + 1, so 65/64 means full",
            |row| format!("{}/{}", row.peak, row.limit),
        ),
    ),
    (
        4,
        Column::new("USE%", "PEAK in percent of the limit", |row| {
            percent(row.peak, row.limit).to_string()
        }),
    ),
    (
        6,
        Column::new("CONN/s", "connections enqueued per second", |row| {
            rate(row.rate(row.enqueued))
        }),
    ),
    (
        5,
        Column::new("ACC/s", "connections accepted per second", |row| rate(row.rate(row.accepted))),
    ),
    (
        5,
        Column::new(
            "P50",
            "accept latency: half of the accepted connections had waited no longer in the \
                      queue",
            |row| wait(row, |waits| waits.p50),
        ),
    ),
    (
        5,
        Column::new("P99", "accept latency: 99 % had waited no longer", |row| {
            wait(row, |waits| waits.p99)
        }),
    ),
    (5, Column::new("MAX", "accept latency: the longest wait", |row| wait(row, |waits| waits.max))),
    (4, Column::new("DROP", "packets refused at this listener", |row| row.dropped().to_string())),
];

fn wait(row: &Interval, pick: fn(&Waits) -> u64) -> String {
    row.wait.as_ref().map_or_else(|| "-".to_owned(), |waits| duration(pick(waits)))
}

/// The columns, for docs and `explain`.
pub(crate) fn columns() -> Vec<crate::output::column::ColumnDoc> {
    COLUMNS.iter().map(|(_, column)| column.doc()).collect()
}
