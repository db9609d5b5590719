//! Renders the tables as Markdown. Pure.

use std::fmt::Write as _;

use super::rows::{AGAIN, Extra, FLOOR, Row, TCPSYNBL};
use super::verdicts::{self, Measured};

/// The columns: the name of a scenario, and its heading.
pub(super) const SCENARIOS: [(&str, &str); 5] = [
    ("ipv4", "IPv4 connection"),
    ("ipv6", "IPv6 connection"),
    ("filtered", "other port"),
    ("refused", "refused SYN"),
    ("other", "other system call"),
];

const HEAD: &str = "\
# What tracing costs

Written by `cargo xtask bench`: extra instructions, counted in a guest with one CPU whose clock
counts them, so the figures are the same on every machine and in every run. `a + b`: what the process
that connects, accepts or receives executes in addition, and what the tracer's own process executes
meanwhile. A figure is the lowest of the medians of several rounds, so it contains no timer interrupt
and no page fault; differences of a few instructions are noise.

- **IPv4, IPv6 connection**: connect, accept, and close of both ends on loopback.
- **other port**: the same at a port that backlog-trace and the script filter out. tcpsynbl has no
  filter.
- **refused SYN**: at a full accept queue, in a flood; the first 2000 are not counted.
- **other system call**: a system call other than accept (getppid).
- **/ floor, / tcpsynbl**: ratio to two empty programs on the two hooks, and to libbpf-tools'
  tcpsynbl, for an IPv4 connection.
- **idle**: what the tracer's process executes per idle second, in thousands.

tcpsynbl shows one histogram of depths, by backlog. The bpftrace script shows the depth by
listener, the wait, and both places where a full queue refuses: tests/bench.

While accepts are watched for failures (docs/dev/ARCHITECTURE.md: when nobody accepts, for up to 30 s
and then a tenth of the time), every system call on the host takes the kernel's slow exit path and runs
a program that checks its result; each io_uring completion runs another. The figures below include
neither, nor the cost of io_uring completions with the backend tracepoint.
";

/// Renders the whole file; `versions` are those of the other tracers.
pub(super) fn render(versions: &str, kernels: &[Measured]) -> String {
    let mut text = HEAD.to_owned();
    let _ = writeln!(text, "\nThe others are Debian's: {versions}.");
    verdicts::render(&mut text, kernels);
    for kernel in kernels {
        kernel.render(&mut text);
    }
    text
}

impl Measured {
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

/// The additional instructions in the connecting process, and those in the tracer's process, if
/// any.
pub(super) fn cell(Extra { path, process }: Extra) -> String {
    // Avoid "-0".
    let path = path.round() + 0.0;
    if process < 1.0 { format!("{path:.0}") } else { format!("{path:.0} + {process:.0}") }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Rows;
    use super::super::rows::tests::OUTPUT;
    use super::*;

    #[test]
    fn a_row_has_all_that_matters() {
        let rows = Rows::parse(OUTPUT).unwrap();
        let (series, version) = ("6.1".to_owned(), "6.1.9".to_owned());
        let kernel = Measured { series, version, rows, verdicts: Vec::new() };
        let text = render("bpftrace 1", &[kernel]);
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
