//! The part `events`: how many events per second one core processes, by criterion's estimates, as a
//! section of docs/measured/COST.md. `benches/events.rs` in backlog-user does the measuring.
//!
//! Time is not an exact measure: this budget has a wide margin and is not accurate to 5 %.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Part;
use super::budget::{Budgets, Found, Verdict};
use super::rows::Rows;
use crate::{pages, paths, process};

/// The series name of this machine in the budgets, since no kernel is involved.
const HERE: &str = "here";
/// The unit that an event's time is compared with; the budget is a fraction of it.
const MICROSECOND: &str = "a microsecond";

const TITLE: &str = "## Events a second";

const HEAD: &str = "\
Written by `cargo xtask bench --part events`: synthetic records and counts through the code of a
live run, on one core. A cell is events per second as a multiple of the budget, five million,
which applies to the flood in the table (tests/budgets.json). It is based on the thread's CPU
time, not on instructions, so it depends on the machine.

- **flood**: drops at one listener, each client with two retries.
- **open and close**: each listener is opened, refuses a client, and is closed.
- **counts**: the counts of 10,000 listeners in an interval, with their distributions and rows.
";

/// The estimate of one benchmark.
#[derive(Clone, Debug, PartialEq)]
struct Estimate {
    stage: String,
    stream: String,
    /// Nanoseconds per event.
    event_ns: f64,
}

/// Runs the benchmark, or reads its last results, and judges it. Returns 1 if its budget is broken.
pub(super) fn command(run: bool, print: bool, accept: Option<&str>) -> Result<u8> {
    let begin = SystemTime::now();
    if run {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(paths::root());
        cargo.args(["bench", "--package", "backlog-user", "--bench", "events"]);
        // No eBPF program is run. The variable comes from the cargo that runs us, and would name
        // another package.
        cargo.env("BACKLOG_EBPF", "skip").env_remove("CARGO_MANIFEST_DIR");
        process::run(&mut cargo)?;
    }
    let folder = paths::target().join("criterion");
    let estimates = read(&folder, run.then_some(begin))?;
    ensure!(!estimates.is_empty(), "no estimates in {}", folder.display());
    let rows = rows(&estimates)?;
    let mut budgets = Budgets::read()?;
    if let Some(why) = accept {
        budgets.accept(HERE, &rows, why);
        budgets.write()?;
    }
    let verdicts = budgets.judge(Part::Events, HERE, &rows);
    let text = render(&estimates, &verdicts);
    if print {
        print!("{text}");
    } else {
        let page = fs::read_to_string(paths::root().join(Part::Events.file()))
            .with_context(|| format!("cannot read {}", Part::Events.file()))?;
        pages::publish(Part::Events.file(), &replaced(&page, &text), false)?;
    }
    let broken: Vec<String> = verdicts.iter().filter_map(broken).collect();
    for line in &broken {
        process::say(&format!("budget broken: {line}"));
    }
    Ok(u8::from(!broken.is_empty()))
}

/// The section that this part has written, for rewriting the page.
pub(super) fn section() -> String {
    let page = fs::read_to_string(paths::root().join(Part::Events.file())).unwrap_or_default();
    split(&page).map_or_else(String::new, |(_, section, _)| format!("\n{section}"))
}

/// The estimates in a folder that were written since this time.
fn read(folder: &Path, since: Option<SystemTime>) -> Result<Vec<Estimate>> {
    let mut found = Vec::new();
    for file in below(folder)? {
        let is_new = since.is_none_or(|since| {
            let written = fs::metadata(&file).and_then(|data| data.modified());
            written.is_ok_and(|written| written >= since)
        });
        if file.ends_with("new/benchmark.json") && is_new {
            let text = |path: &Path| {
                fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
            };
            let estimates = text(&file.with_file_name("estimates.json"))?;
            let estimate = estimate(&text(&file)?, &estimates);
            found.push(estimate.with_context(|| format!("not of criterion: {}", file.display()))?);
        }
    }
    Ok(found)
}

/// All files below a folder.
fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        if path.is_dir() {
            found.append(&mut below(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn estimate(benchmark: &str, estimates: &str) -> Result<Estimate> {
    let (benchmark, estimates): (Value, Value) =
        (serde_json::from_str(benchmark)?, serde_json::from_str(estimates)?);
    let text = |key: &str| {
        let text = benchmark.get(key).and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("no {key}"))
    };
    let events = benchmark.pointer("/throughput/Elements").and_then(Value::as_f64);
    // The median, since the mean would include disturbances on this machine.
    let pass_ns = estimates.pointer("/median/point_estimate").and_then(Value::as_f64);
    let event_ns = pass_ns.context("no median")? / events.context("no throughput")?;
    Ok(Estimate { stage: text("group_id")?, stream: text("function_id")?, event_ns })
}

/// Converts the estimates to rows for the budgets: nanoseconds, compared with nothing.
fn rows(estimates: &[Estimate]) -> Result<Rows> {
    let mut lines = String::new();
    let mut line = |tracer: &str, scenario: &str, figure: f64| {
        let line =
            json!({"tracer": tracer, "scenario": scenario, "figure": figure, "process": 0.0});
        let _ = writeln!(lines, "{line}");
    };
    for Estimate { stage, stream, event_ns } in estimates {
        line("none", stream, 0.0);
        line(MICROSECOND, stream, 1000.0);
        line(stage, stream, *event_ns);
    }
    Rows::parse(&lines)
}

/// Renders the section: a row for each stage, a column for each stream.
fn render(estimates: &[Estimate], verdicts: &[Verdict]) -> String {
    let mut text = format!("{TITLE}\n\n{HEAD}");
    let budget_ns = verdicts.first().map_or(200.0, |verdict| verdict.budget.most * 1000.0);
    let names = |name: fn(&Estimate) -> &str| {
        let mut names: Vec<&str> = estimates.iter().map(name).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let (stages, streams) = (names(|one| &one.stage), names(|one| &one.stream));
    let _ = writeln!(text, "\n| | {} |", streams.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(streams.len()));
    for stage in stages {
        let cell = |stream: &&str| {
            let mut of_stage = estimates.iter().filter(|one| one.stage == stage);
            let found = of_stage.find(|one| one.stream == *stream);
            found.map_or("-".to_owned(), |one| format!("{:.2}", budget_ns / one.event_ns))
        };
        let cells: Vec<String> = streams.iter().map(cell).collect();
        let _ = writeln!(text, "| {stage} | {} |", cells.join(" | "));
    }
    for Verdict { budget, found, .. } in verdicts {
        let how = match found {
            Found::Kept(_) => "kept".to_owned(),
            Found::NotReached { .. } => {
                format!("not reached: {}", budget.why.as_deref().unwrap_or("?"))
            }
            Found::Broken { .. } => "**broken**".to_owned(),
            Found::Unmeasured(why) => format!("not measured: {why}"),
        };
        let _ = writeln!(text, "\n- {}: {how}", budget.name);
    }
    text
}

/// The message for a broken budget.
fn broken(verdict: &Verdict) -> Option<String> {
    let Found::Broken { figures: [event_ns, _], .. } = verdict.found else { return None };
    let budget_ns = verdict.budget.most * 1000.0;
    Some(format!(
        "{}: {:.2} million a second, and {:.2} are to be",
        verdict.budget.name,
        1000.0 / event_ns,
        1000.0 / budget_ns
    ))
}

/// Splits a page into the text before this part's section, the section, and the text after it.
fn split(page: &str) -> Option<(&str, &str, &str)> {
    let start = page.find(TITLE)?;
    let (before, rest) = page.split_at(start);
    let end = rest[TITLE.len()..].find("\n## ").map_or(rest.len(), |end| TITLE.len() + end + 1);
    let (section, behind) = rest.split_at(end);
    Some((before, section, behind))
}

/// Replaces the section of a page, or appends it.
fn replaced(page: &str, section: &str) -> String {
    match split(page) {
        Some((before, _, "")) => format!("{before}{section}"),
        Some((before, _, behind)) => format!("{before}{section}\n{behind}"),
        None => format!("{page}\n{section}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BENCHMARK: &str = r#"{"group_id":"decode","function_id":"flood","value_str":null,
        "throughput":{"Elements":1000},"full_id":"decode/flood"}"#;
    const ESTIMATES: &str = r#"{"median":{"point_estimate":50000.0}}"#;

    fn flood() -> Estimate {
        Estimate { stage: "decode".to_owned(), stream: "flood".to_owned(), event_ns: 50.0 }
    }

    #[test]
    fn an_estimate_is_of_one_event() {
        assert_eq!(estimate(BENCHMARK, ESTIMATES).unwrap(), flood());
        assert!(estimate("{}", ESTIMATES).is_err());
    }

    #[test]
    fn a_stage_is_judged_as_a_part_of_a_microsecond() {
        let rows = rows(&[flood()]).unwrap();
        assert_eq!(rows.ratio(("decode", "flood"), (MICROSECOND, "flood")), Some(0.05));
    }

    #[test]
    fn a_cell_is_a_multiple_of_the_budget() {
        let text = render(&[flood()], &[]);
        assert!(text.ends_with("\n| | flood |\n|---|---|\n| decode | 4.00 |\n"), "{text}");
    }

    #[test]
    fn the_rest_of_the_page_stays() {
        let page = format!("# A\n\n{TITLE}\n\nold\n\n## B\n");
        let new = format!("{TITLE}\n\nnew\n");
        assert_eq!(replaced(&page, &new), format!("# A\n\n{new}\n## B\n"));
        assert_eq!(replaced("# A\n", &new), format!("# A\n\n{new}"));
        assert_eq!(replaced(&format!("# A\n\n{new}"), &new), format!("# A\n\n{new}"));
    }
}
