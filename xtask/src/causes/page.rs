//! Renders the tables as Markdown. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::rows::{Counts, Row};

/// The results so far.
#[derive(Debug)]
pub(super) struct Page {
    seconds: u64,
    /// The kernels in order: series and version.
    kernels: Vec<(String, String)>,
    /// Causes by CPUs and name, then by series.
    causes: BTreeMap<(u32, String), BTreeMap<String, Cell>>,
    /// The same under load.
    loads: BTreeMap<(u32, String), BTreeMap<String, Cell>>,
    /// Why a kernel cannot show something.
    reasons: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Cell {
    Counts(Counts),
    Absent,
}

impl Page {
    /// Creates an empty page; the loads ran for this many seconds.
    pub(super) fn new(seconds: u64) -> Self {
        Self {
            seconds,
            kernels: Vec::new(),
            causes: BTreeMap::new(),
            loads: BTreeMap::new(),
            reasons: BTreeSet::new(),
        }
    }

    /// Adds the output of one kernel.
    pub(super) fn add(&mut self, series: &str, version: &str, cpus: u32, rows: Vec<Row>) {
        let kernel = (series.to_owned(), version.to_owned());
        if !self.kernels.contains(&kernel) {
            self.kernels.push(kernel);
        }
        for row in rows {
            match row {
                Row::Cause { name, counts } => add(&mut self.causes, cpus, series, name, counts),
                Row::Load { name, counts } => add(&mut self.loads, cpus, series, name, counts),
                Row::Absent { name, why } => {
                    let reason = format!("`{name}`, {series}, {}: {why}", plural(cpus));
                    self.reasons.insert(reason);
                    let row = self.causes.entry((cpus, name)).or_default();
                    row.entry(series.to_owned()).or_insert(Cell::Absent);
                }
            }
        }
    }

    /// Renders the whole file.
    pub(super) fn render(&self, failed: &[String]) -> String {
        let mut text = String::from(
            "# Causes, measured\n\n\
             Written by `cargo xtask causes`; [CAUSES.md](../CAUSES.md) explains the names. A \
             cell is provoked / counted by the kernel / seen by backlog-trace, in packets; `-` \
             marks events without a counter, or that the load cannot know. **Bold** marks a \
             disagreement.\n",
        );
        for one in failed {
            let _ = writeln!(text, "\n**A test failed in kernel {one}.**");
        }
        for cpus in [1, 2] {
            let title = match cpus {
                1 => "Each cause by itself, one CPU",
                _ => "Each cause by itself, two concurrent CPUs",
            };
            self.table(&mut text, title, cpus, &self.causes);
        }
        if !self.reasons.is_empty() {
            text.push_str("\nAbsent:\n\n");
            for reason in &self.reasons {
                let _ = writeln!(text, "- {reason}");
            }
        }
        for cpus in [1, 2] {
            let title = format!(
                "An overloaded server, four client threads, {} s, {}",
                self.seconds,
                plural(cpus)
            );
            self.table(&mut text, &title, cpus, &self.loads);
        }
        text
    }

    fn table(
        &self,
        text: &mut String,
        title: &str,
        cpus: u32,
        cells: &BTreeMap<(u32, String), BTreeMap<String, Cell>>,
    ) {
        let _ = writeln!(text, "\n## {title}\n");
        let heads: Vec<&str> = self.kernels.iter().map(|(_, version)| version.as_str()).collect();
        let _ = writeln!(text, "| | {} |", heads.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(heads.len()));
        for ((of, name), row) in cells {
            if *of != cpus {
                continue;
            }
            let shown: Vec<String> = self
                .kernels
                .iter()
                .map(|(series, _)| match row.get(series) {
                    None => String::new(),
                    Some(Cell::Absent) => "absent".to_owned(),
                    Some(Cell::Counts(counts)) => cell(*counts),
                })
                .collect();
            let _ = writeln!(text, "| `{name}` | {} |", shown.join(" | "));
        }
    }
}

fn add(
    cells: &mut BTreeMap<(u32, String), BTreeMap<String, Cell>>,
    cpus: u32,
    series: &str,
    name: String,
    counts: Counts,
) {
    let row = cells.entry((cpus, name)).or_default();
    match row.get_mut(series) {
        Some(Cell::Counts(sum)) => sum.add(counts),
        _ => {
            row.insert(series.to_owned(), Cell::Counts(counts));
        }
    }
}

fn cell(counts: Counts) -> String {
    let show = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    let text = format!("{} / {} / {}", show(counts.provoked), show(counts.kernel), counts.seen);
    if counts.agree() { text } else { format!("**{text}**") }
}

fn plural(cpus: u32) -> &'static str {
    if cpus == 1 { "one CPU" } else { "two CPUs" }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{Counts, Row};
    use super::Page;

    #[test]
    fn kernels_are_columns_and_disagreements_are_bold() {
        let mut page = Page::new(30);
        let cause = |seen| Row::Cause {
            name: "other".into(),
            counts: Counts { provoked: Some(5), kernel: Some(5), seen },
        };
        page.add("6.1", "6.1.9", 1, vec![cause(5)]);
        page.add("7.x", "7.3.4", 1, vec![cause(4)]);
        let why = "before 5.14".to_owned();
        page.add("6.1", "6.1.9", 2, vec![Row::Absent { name: "migrated".into(), why }]);
        let text = page.render(&[]);
        assert!(text.contains("| | 6.1.9 | 7.3.4 |"), "{text}");
        assert!(text.contains("| `other` | 5 / 5 / 5 | **5 / 5 / 4** |"), "{text}");
        assert!(text.contains("- `migrated`, 6.1, two CPUs: before 5.14"), "{text}");
    }
}
