//! Renders the tables as Markdown. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::kernel::{Kernel, short};
use super::look::{Attached, Looked};
use crate::backend::Backend;
use crate::test::row::Row;

/// The results so far.
#[derive(Default)]
pub(super) struct Page {
    /// In the order of the columns.
    kernels: Vec<Kernel>,
    /// None: not tested.
    tests: Option<Tests>,
}

struct Tests {
    filter: Option<String>,
    rows: Vec<Row>,
}

const HEAD: &str = "\
# Backends, measured

Written by `cargo xtask backends`. [BACKENDS.md](../BACKENDS.md) describes what each backend can
see, [ARCHITECTURE.md](../dev/ARCHITECTURE.md) what is hooked and why.
";

const HOOKS_HEAD: &str = "
A cell is the number of instructions that the verifier walked in each program of the hook: `yes`
where the kernel does not report it (before 5.16), `same` for a program that is also on another
function, which has the number, and empty where the kernel has no such hook or another one is
used.
";

impl Page {
    /// Adds a kernel.
    pub(super) fn add(&mut self, series: &str, version: &str, looked: Looked) {
        let (series, version) = (series.to_owned(), version.to_owned());
        self.kernels.push(Kernel { series, version, looked });
    }

    /// Is there no kernel?
    pub(super) fn is_empty(&self) -> bool {
        self.kernels.is_empty()
    }

    /// Does this kernel permit the backend?
    pub(super) fn permits(&self, series: &str, backend: Backend) -> bool {
        self.kernels.iter().any(|kernel| kernel.series == series && kernel.has(backend).is_ok())
    }

    /// Adds the results of the tests, either of all or of those that match the filter.
    pub(super) fn tested(&mut self, filter: Option<&str>, rows: Vec<Row>) {
        self.tests = Some(Tests { filter: filter.map(str::to_owned), rows });
    }

    /// Renders the whole file.
    pub(super) fn render(&self) -> String {
        let mut text = HEAD.to_owned();
        if let Some(tests) = &self.tests {
            self.test_table(&mut text, tests);
        }
        text.push_str("\n## How it attaches\n");
        text.push_str(HOOKS_HEAD);
        for backend in Backend::ALL {
            let _ = writeln!(text, "\n### {backend}");
            self.hook_table(&mut text, backend);
            self.refusals(&mut text, backend);
            let gaps = self.by_kernel(backend, |attached| &attached.gaps);
            list(&mut text, "Not seen:", &gaps);
            let reasons = self.by_kernel(backend, |attached| &attached.reasons);
            list(&mut text, "Not as planned:", &reasons);
        }
        text
    }

    fn test_table(&self, text: &mut String, tests: &Tests) {
        let Tests { filter, rows } = tests;
        text.push_str("\n## Guest tests\n\n`-`: the kernel does not permit the backend.\n");
        if let Some(filter) = filter {
            let _ = writeln!(text, "\n**Only those with `{filter}` in their names.**");
        }
        self.head(text, "| |");
        let mut failures = Vec::new();
        for backend in Backend::ALL {
            let cells = self.kernels.iter().map(|kernel| {
                let mut rows = rows.iter();
                let row =
                    rows.find(|row| row.series == kernel.series && row.backend == Some(backend));
                match row {
                    None => "-".to_owned(),
                    Some(row) if row.passed() => format!("{} pass", row.tally.passed),
                    Some(row) => {
                        failures.push(failure(row));
                        format!("**{} fail**", row.tally.failed.max(1))
                    }
                }
            });
            let cells: Vec<String> = cells.collect();
            let _ = writeln!(text, "| {backend} | {} |", cells.join(" | "));
        }
        list(text, "What failed:", &failures);
    }

    /// Adds a row for each probe point and each way in which some kernel attaches it.
    fn hook_table(&self, text: &mut String, backend: Backend) {
        let mut hooks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for attached in self.kernels.iter().filter_map(|kernel| kernel.has(backend).ok()) {
            for (moment, how) in &attached.hooks {
                let hows = hooks.entry(moment).or_default();
                if !hows.contains(&how.as_str()) {
                    hows.push(how);
                }
            }
        }
        if hooks.is_empty() {
            return;
        }
        self.head(text, "| moment | hook |");
        for (moment, hows) in hooks {
            for how in hows {
                let cells: Vec<String> =
                    self.kernels.iter().map(|kernel| kernel.cell(backend, moment, how)).collect();
                let _ = writeln!(text, "| {moment} | {} | {} |", short(how), cells.join(" | "));
            }
        }
    }

    /// Adds the header of a table with a column for each kernel.
    fn head(&self, text: &mut String, first: &str) {
        let names: Vec<String> = self.kernels.iter().map(Kernel::name).collect();
        let columns = first.matches('|').count() - 1 + names.len();
        let _ = writeln!(text, "\n{first} {} |", names.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(columns));
    }

    fn refusals(&self, text: &mut String, backend: Backend) {
        let refusals = self.kernels.iter().filter_map(|kernel| {
            let why = kernel.has(backend).err()?;
            Some(format!("{}: {why}", kernel.name()))
        });
        list(text, "Not possible:", &refusals.collect::<Vec<_>>());
    }

    /// Each text once, with the kernels that it applies to unless it applies to all.
    fn by_kernel(&self, backend: Backend, texts: impl Fn(&Attached) -> &[String]) -> Vec<String> {
        let mut said: Vec<(&str, Vec<String>)> = Vec::new();
        let mut all = 0;
        for kernel in &self.kernels {
            let Ok(attached) = kernel.has(backend) else {
                continue;
            };
            all += 1;
            for one in texts(attached) {
                match said.iter_mut().find(|(text, _)| text == one) {
                    Some((_, kernels)) => kernels.push(kernel.name()),
                    None => said.push((one, vec![kernel.name()])),
                }
            }
        }
        let lines = said.into_iter().map(|(text, kernels)| {
            if kernels.len() == all {
                text.to_owned()
            } else {
                format!("{text} ({})", kernels.join(", "))
            }
        });
        lines.collect()
    }
}

fn failure(row: &Row) -> String {
    let mut words = row.failed.join(", ");
    if let Some(trouble) = &row.trouble {
        if !words.is_empty() {
            words.push_str("; ");
        }
        words.push_str(trouble);
    }
    format!("{}: {words}", row.label())
}

/// Adds a heading and its items, if there are any.
fn list(text: &mut String, heading: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{heading}\n");
    for item in items {
        let _ = writeln!(text, "- {item}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::look::tests::looked;
    use super::Page;
    use crate::backend::Backend;
    use crate::test::row::Row;

    fn row(backend: Backend, failed: &[&str]) -> Row {
        let mut row = Row::failed("6.1", Some(backend), failed);
        row.tally.passed = 40;
        row
    }

    #[test]
    fn kernels_are_columns() {
        let mut page = Page::default();
        page.add("6.1", "6.1.9", looked());
        let mut other = looked();
        other.backends.insert(Backend::Tracepoint, Err("too old".into()));
        page.add("native", "6.18.1", other);
        assert!(page.permits("6.1", Backend::Fentry) && !page.permits("6.1", Backend::Kprobe));
        page.tested(None, vec![row(Backend::Fentry, &[]), row(Backend::Tracepoint, &["a::b"])]);
        let text = page.render();
        for line in [
            "| | 6.1.9 | native 6.18.1 |",
            "| fentry | 40 pass | - |",
            "| tracepoint | **1 fail** | - |",
            "- 6.1 tracepoint: a::b",
            "| moment | hook | 6.1.9 | native 6.18.1 |",
            "|---|---|---|---|",
            "| syn | fentry + fexit a_syn | 7 + 1234 | 7 + 1234 |",
            "| v6 | fentry b | same | same |",
            "| syn | tp_btf consume | yes |  |",
            "- 6.1.9: no kprobe",
            "- native 6.18.1: too old",
            "- timers",
        ] {
            assert!(text.lines().any(|its| its == line), "{line} in:\n{text}");
        }
    }
}
