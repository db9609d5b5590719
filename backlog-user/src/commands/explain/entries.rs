//! The names that can be explained, and their texts.

use backlog_core::counter::Counter;
use backlog_core::model::sizing::Verdict;
use backlog_ebpf::cause::{Beside, Cause};

use crate::commands::listeners::csv as listeners_csv;
use crate::commands::listeners::finding;
use crate::output::column::ColumnDoc;
use crate::output::csv;
use crate::output::table::columns;

/// A name and its explanation.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Parts of the explanation, each with a label.
    pub(super) parts: Vec<(&'static str, String)>,
}

/// The kind of thing that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Verdict,
    Cause,
    Beside,
    Counter,
    Finding,
    TableColumn,
    CsvColumn,
    ListenersCsvColumn,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Verdict,
        Self::Cause,
        Self::Beside,
        Self::Counter,
        Self::Finding,
        Self::TableColumn,
        Self::CsvColumn,
        Self::ListenersCsvColumn,
    ];

    /// The singular of the kind.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Verdict => "verdict on a listener",
            Self::Cause => "cause of drops",
            Self::Beside => "side event, not a drop",
            Self::Counter => "counter of the kernel (/proc/net/netstat)",
            Self::Finding => "finding of `backlog-trace listeners`",
            Self::TableColumn => "column of the table",
            Self::CsvColumn => "column of CSV",
            Self::ListenersCsvColumn => "column of `backlog-trace listeners -o csv`",
        }
    }

    /// The plural, as a heading.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Verdict => "Verdicts (sizing)",
            Self::Cause => "Causes of drops",
            Self::Beside => "Side events",
            Self::Counter => "Counters of the kernel",
            Self::Finding => "Findings of `backlog-trace listeners`",
            Self::TableColumn => "Columns of the table",
            Self::CsvColumn => "Columns of CSV",
            Self::ListenersCsvColumn => "Columns of `backlog-trace listeners -o csv`",
        }
    }
}

/// Every entry, by kind.
pub(super) fn all() -> Vec<Entry> {
    let verdicts = Verdict::AS_TESTED.map(verdict);
    let findings = finding::Kind::ALL.iter().map(|kind| Entry {
        name: kind.name(),
        kind: Kind::Finding,
        parts: vec![("what", kind.meaning().to_owned())],
    });
    let columns = [
        (Kind::TableColumn, columns::columns()),
        // The counts by cause are explained as causes.
        (Kind::CsvColumn, csv::own_columns()),
        (Kind::ListenersCsvColumn, listeners_csv::columns()),
    ];
    let columns = columns
        .into_iter()
        .flat_map(|(kind, all)| all.into_iter().map(move |one| column(kind, one)));
    verdicts
        .into_iter()
        .chain(Cause::ALL.map(cause))
        .chain(Beside::ALL.map(beside))
        .chain(Counter::ALL.map(counter))
        .chain(findings)
        .chain(columns)
        .collect()
}

fn verdict(verdict: Verdict) -> Entry {
    let parts = vec![("when", verdict.when().to_owned()), ("to do", verdict.remedy().to_owned())];
    Entry { name: verdict.name(), kind: Kind::Verdict, parts }
}

fn cause(cause: Cause) -> Entry {
    let helps = if cause.is_by_limit() { "helps" } else { "does not help" };
    let mut parts = vec![("what", cause.meaning().to_owned())];
    parts.push(("known by", cause.witness().to_owned()));
    parts.extend(counters(cause.moves()));
    parts.push(("limit", format!("a larger one {helps}")));
    parts.push(("to do", cause.remedy().to_owned()));
    Entry { name: cause.name(), kind: Kind::Cause, parts }
}

fn beside(event: Beside) -> Entry {
    let mut parts = vec![("what", event.meaning().to_owned())];
    parts.push(("known by", event.witness().to_owned()));
    parts.extend(counters(event.moves()));
    Entry { name: event.name(), kind: Kind::Beside, parts }
}

/// The kernel counters that it increments.
fn counters(moves: &[Counter]) -> Option<(&'static str, String)> {
    let names: Vec<&str> = moves.iter().map(|counter| counter.name()).collect();
    (!names.is_empty()).then(|| ("counted in", names.join(", ")))
}

fn counter(counter: Counter) -> Entry {
    let drops = Cause::ALL.into_iter().filter(|row| row.moves().contains(&counter));
    let events = Beside::ALL.into_iter().filter(|row| row.moves().contains(&counter));
    let names: Vec<&str> = drops.map(Cause::name).chain(events.map(Beside::name)).collect();
    let mut parts = vec![("what", counter.meaning().to_owned())];
    if !names.is_empty() {
        parts.push(("sum of", names.join(", ")));
    }
    Entry { name: counter.name(), kind: Kind::Counter, parts }
}

fn column(kind: Kind, (name, meaning): ColumnDoc) -> Entry {
    Entry { name, kind, parts: vec![("what", meaning)] }
}
