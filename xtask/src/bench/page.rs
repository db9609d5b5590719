//! The tables as Markdown. Pure.

use std::fmt::Write as _;

use super::budget::{FILE, Found, Verdict};
use super::rows::{AGAIN, Extra, FLOOR, Row, Rows, TCPSYNBL};

/// The columns: a scenario's name and what it is called.
const SCENARIOS: [(&str, &str); 5] = [
    ("ipv4", "IPv4 connection"),
    ("ipv6", "IPv6 connection"),
    ("filtered", "other port"),
    ("refused", "refused SYN"),
    ("other", "other system call"),
];

const HEAD: &str = "\
# What tracing costs

Written by `cargo xtask bench`: extra instructions, counted in a guest whose clock counts
them (one CPU), so that they are the same on every machine and in every run. `a + b` is what
whoever connects, accepts or receives executes more, and what the tracer's own process
executes meanwhile. A figure is the middle one of its round, and the lowest of those: with
no timer and no new page of memory in it; one of a few instructions more or less is noise.

- **IPv4, IPv6 connection**: connect, accept, and close of both ends on loopback.
- **other port**: the same at a port that backlog-trace and the script are told to leave out.
  tcpsynbl cannot.
- **refused SYN**: at a full accept queue, in a flood: the first 2000 are not counted.
- **other system call**: one that is no accept (getppid).
- **/ floor, / tcpsynbl**: how many times as much as two empty programs on the two hooks, and
  as libbpf-tools' tcpsynbl, for an IPv4 connection.
- **idle**: what its process executes in a second in which nothing happens, in thousands.

tcpsynbl shows one histogram of depths, by backlog. The bpftrace script shows the depth by
listener, the wait, and both places where a full queue refuses: tests/bench.
";

/// What is known so far.
#[derive(Debug)]
pub(super) struct Page {
    /// The other tracers.
    versions: String,
    kernels: Vec<Kernel>,
}

#[derive(Debug)]
struct Kernel {
    series: String,
    version: String,
    rows: Rows,
    verdicts: Vec<Verdict>,
}

impl Page {
    /// An empty one; the other tracers are of these versions.
    pub(super) fn new(versions: &str) -> Self {
        Self { versions: versions.to_owned(), kernels: Vec::new() }
    }

    /// Adds a kernel.
    pub(super) fn add(&mut self, series: &str, version: &str, rows: Rows, verdicts: Vec<Verdict>) {
        let (series, version) = (series.to_owned(), version.to_owned());
        self.kernels.push(Kernel { series, version, rows, verdicts });
    }

    /// Was nothing measured?
    pub(super) fn is_empty(&self) -> bool {
        self.kernels.is_empty()
    }

    /// The whole file.
    pub(super) fn render(&self) -> String {
        let mut text = HEAD.to_owned();
        let _ = writeln!(text, "\nThe others are Debian's: {}.", self.versions);
        self.budgets(&mut text);
        for kernel in &self.kernels {
            kernel.render(&mut text);
        }
        text
    }

    fn budgets(&self, text: &mut String) {
        let Some(first) = self.kernels.first() else {
            return;
        };
        let _ = writeln!(text, "\n## Budgets\n\nThey are in {FILE}; a cell is the ratio.\n");
        let heads: Vec<&str> = self.kernels.iter().map(|kernel| kernel.series.as_str()).collect();
        let _ = writeln!(text, "| | at most | {} |", heads.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(heads.len()));
        let mut notes = Vec::new();
        for (place, Verdict { budget, .. }) in first.verdicts.iter().enumerate() {
            let found: Vec<&Found> = self
                .kernels
                .iter()
                .filter_map(|kernel| kernel.verdicts.get(place).map(|verdict| &verdict.found))
                .collect();
            let cells: Vec<String> = found.iter().map(ToString::to_string).collect();
            let _ =
                writeln!(text, "| {} | {:.2} | {} |", budget.name, budget.most, cells.join(" | "));
            if let Some(why) = &budget.why
                && found.iter().any(|found| matches!(found, Found::NotReached { .. }))
            {
                notes.push(format!("- {}, not reached: {why}", budget.name));
            }
        }
        if !notes.is_empty() {
            let _ = writeln!(text, "\n{}", notes.join("\n"));
        }
    }
}

impl Kernel {
    fn render(&self, text: &mut String) {
        let Self { series, version, rows, verdicts: _ } = self;
        let _ = writeln!(text, "\n## {series} ({version})\n");
        let heads: Vec<&str> = SCENARIOS.iter().map(|(_, head)| *head).collect();
        let _ = writeln!(text, "| | {} | / floor | / tcpsynbl | idle |", heads.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(heads.len() + 3));
        for row in rows.tracers().filter(|row| row.absent.is_none()) {
            let ratio = |to: &str| {
                let ratio = rows.ratio((&row.tracer, "ipv4"), (to, "ipv4"));
                ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
            };
            let idle = row.idle.map_or(String::new(), |idle| format!("{:.0}", idle / 1000.0));
            let cells = self.cells(&row.tracer);
            let (floor, other) = (ratio(FLOOR), ratio(TCPSYNBL));
            let _ = writeln!(text, "| {} | {cells} | {floor} | {other} | {idle} |", row.tracer);
        }
        let base: Vec<String> = SCENARIOS
            .iter()
            .map(|(scenario, head)| match rows.base(scenario) {
                Some(base) => format!("{head} {base:.0}"),
                None => format!("{head} -"),
            })
            .collect();
        let _ = writeln!(text, "\nWithout a tracer: {}.", base.join(", "));
        let _ = writeln!(text, "The same again at the end, as a difference: {}.", {
            self.cells(AGAIN).replace(" |", ",")
        });
        self.notes(text);
    }

    fn cells(&self, tracer: &str) -> String {
        let cells = SCENARIOS
            .iter()
            .map(|(scenario, _)| self.rows.extra(tracer, scenario).map_or("-".to_owned(), cell));
        cells.collect::<Vec<_>>().join(" | ")
    }

    fn notes(&self, text: &mut String) {
        let attached: Vec<String> = self
            .rows
            .tracers()
            .filter_map(|Row { tracer, attached, .. }| {
                Some(format!("- {tracer}: {}\n", attached.as_ref()?))
            })
            .collect();
        let absent: Vec<String> = self
            .rows
            .tracers()
            .filter_map(|Row { tracer, absent, .. }| {
                Some(format!("- **{tracer}**: {}\n", absent.as_ref()?))
            })
            .collect();
        if !absent.is_empty() {
            let _ = write!(text, "\nCannot run here:\n\n{}", absent.concat());
        }
        if !attached.is_empty() {
            let _ = write!(text, "\nHow they are attached:\n\n{}", attached.concat());
        }
    }
}

fn cell(Extra { path, process }: Extra) -> String {
    // "-0" is no figure.
    let path = path.round() + 0.0;
    if process < 1.0 { format!("{path:.0}") } else { format!("{path:.0} + {process:.0}") }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::OUTPUT;
    use super::*;

    #[test]
    fn a_row_has_all_that_matters() {
        let mut page = Page::new("bpftrace 1");
        page.add("6.1", "6.1.9", Rows::parse(OUTPUT).unwrap(), Vec::new());
        let text = page.render();
        let row = "| backlog-trace fentry | 1000 + 200 | - | - | - | - | 3.00 | - | 1 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| floor | 400 | - | - | - | - | 1.00 | - |  |"), "{text}");
        assert!(text.contains("- **tcpsynbl (bcc)**: no headers"), "{text}");
        assert!(text.contains("at the end, as a difference: 3, -, -, -, -."), "{text}");
        assert!(text.contains("- floor: fexit a"), "{text}");
    }

    #[test]
    fn a_difference_below_nothing_has_no_odd_sign() {
        assert_eq!(cell(Extra { path: -0.3, process: 0.4 }), "0");
        assert_eq!(cell(Extra { path: -4.0, process: 0.0 }), "-4");
    }
}
