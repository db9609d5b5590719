//! `cargo xtask sizing`: runs loads of several shapes against small backlogs in a guest, and
//! records the tool's recommendations and the results with these and with 0.8 of them, as a table
//! in docs/. The guest tests do the work; this repeats them and counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::test::guests;
use crate::test::row::Row;
use crate::test::suite::Suite;
use crate::vm::Emulation;
use crate::{kernels, pages, process, setup};

/// The file with the table.
const FILE: &str = "docs/measured/SIZING.md";

/// The beginning of the page.
const HEADING: &str = "\
# Recommendations, tested

`cargo xtask sizing` wrote this page (some hours; `--shape NAME` renews some rows). Each shape of \
load meets a server with a small backlog; then the same load meets one with the backlog that the \
tool recommends, and one whose longer queue holds 0.8 of what it needed; or one with as many workers as \
the tool recommends. In each run the load is slightly larger, or its timing differs. The guest has \
one CPU, and its clock counts instructions. The command fails if fewer than 19 of 20 runs give the \
expected result (18 where service times are exponential). [SIZING.md](../SIZING.md) describes the \
model.
";

/// The arguments of `sizing`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The kernels (one by default: the model is about the queue, which is the same in all)
    #[arg(long, value_name = "SERIES", default_values_t = [kernels::ONE.to_owned()])]
    kernel: Vec<String>,
    /// How often each shape is tried
    #[arg(long, value_name = "N", default_value_t = 20)]
    runs: u32,
    /// Only the shapes whose name contains this; their rows replace those of the page
    #[arg(long, value_name = "NAME")]
    shape: Option<String>,
    /// Only print the table
    #[arg(long)]
    print: bool,
}

/// A line that a guest test prints on a shape.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    /// The recommendation.
    Judged {
        shape: String,
        before: u32,
        refused: u64,
        expected: String,
        verdict: String,
        needed: Option<u64>,
        #[serde(default)]
        run: u32,
        #[serde(default)]
        of_twenty: Option<u32>,
        #[serde(default)]
        why: String,
    },
    /// The result of a run with the recommendation and of the next one with 0.8 of it, or of a run
    /// with more workers.
    Tried {
        shape: String,
        backlog: u32,
        refused: u64,
        peak: u64,
        #[serde(default)]
        run: u32,
        #[serde(default)]
        workers: Option<u32>,
    },
}

/// A shape, with the results of all its runs.
#[derive(Default)]
struct Shape {
    expected: String,
    before: u32,
    refused: u64,
    verdicts: BTreeMap<String, u32>,
    needed: Vec<u64>,
    backlogs: Vec<u32>,
    peaks: Vec<u64>,
    enough: u32,
    less_refused: u32,
    tried: u32,
    /// Runs with more workers: how many, and how often nobody was refused.
    workers: Vec<u32>,
    workers_enough: u32,
    of_twenty: Option<u32>,
    /// The runs that failed, and how.
    wrong: Vec<String>,
}

/// Runs it. Returns 1 if the test failed.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let Args { kernel, runs, shape, print } = args;
    let report = setup::ensure()?;
    let mut suite = suite();
    suite.variables.push(("BACKLOG_RUNS", runs.to_string()));
    suite.variables.extend(shape.iter().map(|name| ("BACKLOG_SHAPE", name.clone())));
    // Seventeen loads of some ten seconds, each up to three times.
    suite.limit += Duration::from_secs(u64::from(*runs) * 600);
    let mut text = HEADING.to_owned();
    let mut failed = Vec::new();
    for row in guests::collect(&report, kernel, &suite)? {
        let shapes = shapes(&row.errors)?;
        ensure!(!shapes.is_empty(), "kernel {} printed no row", row.series);
        ensure!(row.passed(), "kernel {}: the guest test failed: see its log", row.series);
        render(&mut text, &row.version, &shapes);
        let Row { series, .. } = &row;
        for (name, shape) in &shapes {
            let short = shape.short();
            failed.extend(short.iter().map(|what| format!("kernel {series}, {name}: {what}")));
            for line in &shape.wrong {
                process::say(&format!("kernel {series}, {name}: {line}"));
            }
        }
    }
    if shape.is_some() {
        text = replaced(&pages::current(FILE)?, &text);
    }
    pages::publish(FILE, &text, *print)?;
    for line in &failed {
        process::say(&format!("failed: {line}"));
    }
    Ok(u8::from(!failed.is_empty()))
}

/// One CPU and a clock that counts instructions: the same load behaves the same each time, and
/// other work on this machine does not affect the results.
pub(crate) fn suite() -> Suite {
    Suite {
        filters: vec!["sizing::what_is_recommended".to_owned()],
        variables: vec![("BACKLOG_ROWS", "1".to_owned()), ("BACKLOG_EXACT", "1".to_owned())],
        cpus: 1,
        emulation: Emulation::Counting,
        servers: None,
        limit: guests::LIMIT,
        short: false,
    }
}

/// The shapes in a guest's output, in order.
fn shapes(output: &str) -> Result<Vec<(String, Shape)>> {
    let mut shapes: Vec<(String, Shape)> = Vec::new();
    for json in output.lines().filter_map(|line| line.split_once("ROW ").map(|(_, json)| json)) {
        let line: Line = serde_json::from_str(json).with_context(|| format!("a row: {json}"))?;
        let (Line::Judged { shape: name, .. } | Line::Tried { shape: name, .. }) = &line;
        let place = shapes.iter().position(|(known, _)| known == name);
        let place = place.unwrap_or_else(|| {
            shapes.push((name.clone(), Shape::default()));
            shapes.len() - 1
        });
        shapes[place].1.add(line);
    }
    Ok(shapes)
}

impl Shape {
    fn add(&mut self, line: Line) {
        match line {
            Line::Judged {
                before,
                refused,
                expected,
                verdict,
                needed,
                run,
                of_twenty,
                why,
                ..
            } => {
                if verdict != expected {
                    self.wrong.push(format!("run {run}: {verdict}: {why}"));
                }
                (self.before, self.expected, self.of_twenty) = (before, expected, of_twenty);
                self.refused += refused;
                *self.verdicts.entry(verdict).or_default() += 1;
                self.needed.extend(needed);
            }
            Line::Tried { refused, run, workers: Some(workers), .. } => {
                if refused > 0 {
                    self.wrong.push(format!("run {run}: {workers} workers refused {refused}"));
                }
                self.workers_enough += u32::from(refused == 0);
                self.workers.push(workers);
            }
            Line::Tried { backlog, refused, peak, run, .. } => {
                // The two alternate.
                let less = !self.tried.is_multiple_of(2);
                if less == (refused == 0) {
                    self.wrong.push(format!("run {run}: a backlog of {backlog} refused {refused}"));
                }
                if less {
                    self.less_refused += u32::from(refused > 0);
                } else {
                    self.enough += u32::from(refused == 0);
                    self.backlogs.push(backlog);
                    self.peaks.push(peak);
                }
                self.tried += 1;
            }
        }
    }

    fn runs(&self) -> u32 {
        self.verdicts.values().sum()
    }

    /// What is not as it should be. Of twenty runs, nineteen (or as many as the shape says) must
    /// have the right verdict, and for `raise` the recommended backlog must refuse nobody, while
    /// 0.8 of the needed depth refuses somebody.
    fn short(&self) -> Vec<&'static str> {
        let tried = u32::try_from(self.backlogs.len()).unwrap_or(u32::MAX);
        let right = self.verdicts.get(&self.expected).copied().unwrap_or_default();
        let mut parts = vec![("verdict", right, self.runs())];
        if self.expected == "raise" {
            parts.push(("the recommended backlog", self.enough, tried));
            parts.push(("0.8 of it", self.less_refused, tried));
        }
        if self.expected == "add_workers" {
            let tried = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
            parts.push(("as many workers as are needed", self.workers_enough, tried));
        }
        let least = u64::from(self.of_twenty.unwrap_or(19));
        parts.retain(|(_, good, of)| u64::from(*good) * 20 < u64::from(*of) * least || *of == 0);
        parts.into_iter().map(|(what, ..)| what).collect()
    }
}

fn render(text: &mut String, version: &str, shapes: &[(String, Shape)]) {
    let _ = write!(
        text,
        "\n## {version}\n\n| load | backlog | refused packets a run | verdict | needed depth \
         | recommended | deepest then | nobody refused at it | somebody at 0.8 of the need \
         | workers | nobody refused by them |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for (name, shape) in shapes {
        let verdicts: Vec<String> =
            shape.verdicts.iter().map(|(name, count)| format!("`{name}` {count}")).collect();
        let pairs = shape.backlogs.len();
        let of = |count: u32| match pairs {
            0 => "-".to_owned(),
            _ => format!("{count} of {pairs}"),
        };
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} of {} | {} | {} | {} | {} | {} | {} | {} |",
            shape.before,
            shape.refused / u64::from(shape.runs().max(1)),
            verdicts.join(", "),
            shape.runs(),
            range(&shape.needed),
            range(&shape.backlogs),
            range(&shape.peaks),
            of(shape.enough),
            of(shape.less_refused),
            range(&shape.workers),
            match shape.workers.len() {
                0 => "-".to_owned(),
                tried => format!("{} of {tried}", shape.workers_enough),
            },
        );
    }
}

/// The page with the rows of the same names replaced by the new ones, and the other new rows
/// appended; all rows are new for another kernel.
fn replaced(page: &str, new: &str) -> String {
    let name =
        |line: &str| line.strip_prefix("| ")?.split_once(" |").map(|(name, _)| name.to_owned());
    let kernel = |text: &str| text.lines().find(|line| line.starts_with("## ")).map(str::to_owned);
    if kernel(page) != kernel(new) {
        return new.to_owned();
    }
    let rows = |text: &str| -> Vec<(String, String)> {
        let named = |line: &str| name(line).map(|name| (name, line.to_owned()));
        text.lines().filter_map(named).filter(|(name, _)| name != "load").collect()
    };
    let mut all = rows(page);
    for (name, line) in rows(new) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, row)) => *row = line,
            None => all.push((name, line)),
        }
    }
    let head = new.lines().take_while(|line| !line.starts_with("|---"));
    let rule = new.lines().find(|line| line.starts_with("|---"));
    let lines = head.chain(rule).chain(all.iter().map(|(_, row)| row.as_str()));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The range from the lowest to the highest value.
fn range<T: Ord + Copy + std::fmt::Display>(values: &[T]) -> String {
    match (values.iter().min(), values.iter().max()) {
        (Some(least), Some(most)) if least == most => least.to_string(),
        (Some(least), Some(most)) => format!("{least} to {most}"),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, render, replaced, shapes};

    #[test]
    fn what_is_not_as_it_should_is_named() {
        let mut shape = Shape { expected: "raise".to_owned(), ..Shape::default() };
        shape.verdicts.insert("raise".to_owned(), 19);
        shape.verdicts.insert("fits".to_owned(), 1);
        (shape.backlogs, shape.enough, shape.less_refused) = (vec![9; 19], 19, 17);
        assert_eq!(shape.short(), ["0.8 of it"]);
        shape.expected = "add_workers".to_owned();
        assert_eq!(shape.short(), ["verdict", "as many workers as are needed"]);
    }

    #[test]
    fn runs_are_added_up() {
        let output = "\
guest ROW {\"sizing\":true,\"shape\":\"a\",\"before\":16,\"refused\":9,\"expected\":\"raise\",\"verdict\":\"raise\",\"needed\":100,\"backlog\":110}
ROW {\"tried\":true,\"shape\":\"a\",\"backlog\":110,\"refused\":0,\"peak\":99}
ROW {\"tried\":true,\"shape\":\"a\",\"backlog\":88,\"refused\":3,\"peak\":89}
ROW {\"sizing\":true,\"shape\":\"b\",\"before\":16,\"refused\":0,\"expected\":\"fits\",\"verdict\":\"fits\",\"needed\":null,\"backlog\":null}";
        let mut text = String::new();
        render(&mut text, "6.12", &shapes(output).unwrap());
        let rows: Vec<&str> = text.lines().skip(5).collect();
        assert_eq!(
            rows,
            [
                "| a | 16 | 9 | `raise` 1 of 1 | 100 | 110 | 99 | 1 of 1 | 1 of 1 | - | - |",
                "| b | 16 | 0 | `fits` 1 of 1 | - | - | - | - | - | - | - |",
            ]
        );
    }
    #[test]
    fn rows_of_one_shape_replace_those_of_the_page() {
        let page = |kernel: &str, rows: &str| {
            format!("# Page\n\n## {kernel}\n\n| load | backlog |\n|---|---|\n{rows}")
        };
        let old = page("6.12", "| a | 1 |\n| b | 2 |\n");
        let new = page("6.12", "| b | 3 |\n| c | 4 |\n");
        assert_eq!(replaced(&old, &new), page("6.12", "| a | 1 |\n| b | 3 |\n| c | 4 |\n"));
        assert_eq!(replaced(&page("6.1", "| a | 1 |\n"), &new), new);
    }
}
