//! The comparison of the tool's totals with the kernel's counters, as text.

use std::collections::HashMap;
use std::fmt::Write as _;

use backlog_core::event::Netns;
use backlog_core::model::reconcile::{Account, Blind, CounterCheck, reasons};
use backlog_core::run::End;
use backlog_core::text::format::plural;

/// For example `ListenDrops: kernel 37, seen 36 (+1)`, with the likely reasons.
pub(crate) fn line(verdict: &CounterCheck, blind: &Blind) -> String {
    format!("{}: {}", verdict.counter, compared(verdict, blind))
}

/// The same without the counter's name.
pub(crate) fn compared(verdict: &CounterCheck, blind: &Blind) -> String {
    let CounterCheck { counter: _, kernel, seen } = verdict;
    let difference = i128::from(*kernel) - i128::from(*seen);
    let mut text = format!("kernel {kernel}, seen {seen}");
    if difference != 0 {
        let reasons = reasons(verdict, blind).join(";\n   or ");
        let reasons = if reasons.is_empty() { String::new() } else { format!("\n   {reasons}") };
        let _ = write!(text, " ({difference:+}){reasons}");
    }
    text
}

/// The text on drops that were seen after the last comparison.
pub(crate) fn unread(drops: u64) -> String {
    format!(
        "{} more after that, until it ended: not compared, its counters were gone.",
        plural(drops, "refused packet")
    )
}

/// The names of namespaces, whose number may be in the thousands.
pub(crate) struct Names(HashMap<u32, usize>);

impl Names {
    /// Counts how many accounts share each inode number.
    pub(crate) fn of(accounts: &[Account]) -> Self {
        let mut alike = HashMap::new();
        for account in accounts {
            *alike.entry(account.netns.inode()).or_default() += 1;
        }
        Self(alike)
    }

    /// The namespace's inode number, with its identity if another one had the same number.
    pub(crate) fn name(&self, netns: Netns) -> String {
        let alike = self.0.get(&netns.inode()).copied().unwrap_or(0);
        match netns.identity() {
            Some(identity) if alike > 1 => format!("{netns} (id {identity})"),
            _ => netns.to_string(),
        }
    }
}

/// Renders the lines at the end: for each network namespace the counters that moved, and always the
/// two that matter most.
pub(crate) fn render(text: &mut String, end: &End) {
    let several = end.accounts.len() > 1;
    let names = Names::of(&end.accounts);
    for Account { netns, verdicts, unread_drops } in &end.accounts {
        let always = |verdict: &CounterCheck| {
            !several && matches!(verdict.counter, "ListenOverflows" | "ListenDrops")
        };
        let shown: Vec<_> =
            verdicts.iter().filter(|verdict| verdict.moved() || always(verdict)).collect();
        let name = names.name(*netns);
        if several && !shown.is_empty() {
            let _ = writeln!(text, "\nNetwork namespace {name}");
        }
        for verdict in shown {
            let _ = writeln!(text, "{}", line(verdict, &end.blind));
        }
        if !verdicts.is_empty() && *unread_drops > 0 {
            let _ = writeln!(text, "{}", unread(*unread_drops));
        }
        if verdicts.is_empty() {
            let _ = writeln!(
                text,
                "Network namespace {name}: its counters could not be read, so nothing is compared."
            );
        }
    }
}
