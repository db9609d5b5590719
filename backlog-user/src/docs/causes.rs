//! The tables of docs/CAUSES.md.

use std::fmt::Write as _;

use backlog_core::counter::Counter;
use backlog_ebpf::cause::{Beside, Cause};

/// The causes of drops.
pub(super) fn causes() -> String {
    let mut text =
        "| cause | what was refused, and why | a larger limit helps | how it is known |\n\
                    |---|---|---|---|\n"
            .to_owned();
    for cause in Cause::ALL {
        let helps = if cause.is_by_limit() { "yes" } else { "no" };
        let (name, meaning, witness) = (cause.name(), cause.meaning(), cause.witness());
        let _ = writeln!(text, "| `{name}` | {meaning} | {helps} | {witness} |");
    }
    text
}

/// The remedy for each cause.
pub(super) fn remedies() -> String {
    let mut text = "| cause | do this |\n|---|---|\n".to_owned();
    for cause in Cause::ALL {
        let _ = writeln!(text, "| `{}` | {} |", cause.name(), cause.remedy());
    }
    text
}

/// The side events.
pub(super) fn side_events() -> String {
    let mut text = "| name | what | how it is known |\n|---|---|---|\n".to_owned();
    for event in Beside::ALL {
        let (name, meaning, witness) = (event.name(), event.meaning(), event.witness());
        let _ = writeln!(text, "| `{name}` | {meaning} | {witness} |");
    }
    text
}

/// Which rows increment which kernel counter.
pub(super) fn counters() -> String {
    let mut text = "| the kernel's | counts | is the sum of |\n|---|---|---|\n".to_owned();
    for counter in Counter::ALL {
        let drops = Cause::ALL.into_iter().filter(|row| row.moves().contains(&counter));
        let events = Beside::ALL.into_iter().filter(|row| row.moves().contains(&counter));
        let names: Vec<String> = drops
            .map(Cause::name)
            .chain(events.map(Beside::name))
            .map(|name| format!("`{name}`"))
            .collect();
        if !names.is_empty() {
            let (name, meaning) = (counter.name(), counter.meaning());
            let _ = writeln!(text, "| {name} | {meaning} | {} |", names.join(", "));
        }
    }
    text
}
