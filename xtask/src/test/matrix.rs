//! Runs the guest tests in all kernels, natively and in guests, with each backend, and prints the
//! table and the failures.

use std::collections::BTreeMap;

use anyhow::{Context as _, Error, Result, anyhow};

use super::guests::Job;
use super::row::{self, Row};
use super::suite::{Built, Suite};
use super::tally::Tally;
use super::{guests, native};
use crate::backend::Backend;
use crate::instructions::{self, Found, Instructions, Walked};
use crate::setup::{Need, Report};
use crate::{kernels, sizing};

/// Runs the tests and prints the results. Returns the failures.
pub(super) fn run(
    report: &Report,
    kernels: &[String],
    backends: &[Backend],
    mut suite: Suite,
    tally: &mut Tally,
) -> Vec<Error> {
    let (here, kernels) = native::among(kernels);
    let built = match Built::make().context("no kernel was tested") {
        Ok(built) => built,
        Err(error) => return vec![error],
    };
    let (mut rows, mut failures, mut untested) = (Vec::new(), Vec::new(), Vec::new());
    if here {
        // Run the native tests before the guests: those use all CPUs, so running at the same time
        // would add noise and gain little.
        let (tested, missing) = natively(backends, &suite, &built);
        if suite.short && tested.iter().any(|row| row.trouble.is_none()) {
            suite.variables.push(("BACKLOG_TESTED_NATIVELY", "1".to_owned()));
        }
        rows.extend(tested);
        untested.extend(missing);
    }
    if let Some(kernels) = kernels {
        // Native results are still printed.
        match in_guests(report, &kernels, backends, &suite, &built) {
            Ok((tested, missing)) => {
                if tested.is_empty() {
                    failures.push(anyhow!("no kernel was tested in a guest"));
                }
                rows.extend(tested);
                untested.extend(missing);
            }
            Err(error) => failures.push(error.context("no kernel was tested in a guest")),
        }
    } else if rows.is_empty() {
        failures.push(anyhow!("no kernel was tested"));
    }
    row::not_tested(&rows);
    row::failures(&rows);
    row::table(&rows);
    for row in &rows {
        tally.add(row.tally);
    }
    let bad: Vec<String> = rows.iter().filter(|row| !row.passed()).map(Row::label).collect();
    if !bad.is_empty() {
        failures.push(anyhow!("guest tests failed in kernel {}", bad.join(", ")));
    }
    match compare(&rows) {
        Ok((jumps, unknown)) => {
            failures.extend(jumps.into_iter().map(Error::msg));
            untested.extend(unknown);
        }
        Err(error) => failures.push(error),
    }
    for line in untested {
        println!("{line}");
    }
    failures
}

/// Tests this machine's kernel with the best backend that it permits, or with each one that was
/// selected. Returns rows, and a message for each that is impossible.
fn natively(backends: &[Backend], suite: &Suite, built: &Built) -> (Vec<Row>, Vec<String>) {
    let mut wanted: Vec<Option<Backend>> = backends.iter().copied().map(Some).collect();
    if wanted.is_empty() {
        wanted.push(None);
    }
    let (mut rows, mut untested) = (Vec::new(), Vec::new());
    for backend in wanted {
        match native::test(built, backend, suite) {
            Ok(row) => rows.push(row),
            Err(error) => untested.push(format!("not tested natively: {error:#}")),
        }
    }
    (rows, untested)
}

/// Tests each kernel with each backend in the same way, and the recommendations, which need a clock
/// that counts instructions.
fn in_guests(
    report: &Report,
    kernels: &[String],
    backends: &[Backend],
    suite: &Suite,
    built: &Built,
) -> Result<(Vec<Row>, Vec<String>)> {
    report.require(Need::Guests)?;
    let (kernels, missing) = guests::obtain(kernels)?;
    let backends = if backends.is_empty() { &Backend::ALL } else { backends };
    let backends: Vec<Option<Backend>> = backends.iter().copied().map(Some).collect();
    let mut untested = missing;
    for wanted in &kernels {
        untested.extend(backends.iter().filter_map(|one| suite.cut(&wanted.series, *one)));
    }
    let advice = sizing::suite();
    let one = kernels.iter().filter(|wanted| wanted.series == kernels::ONE);
    let one = one.filter(|_| suite.filters.is_empty());
    let one = one.map(|wanted| {
        let share = advice.whole().named("sizing");
        Job { wanted, backend: None, suite: &advice, share }
    });
    let mut jobs = guests::jobs(&kernels, &backends, suite, built)?;
    jobs.extend(one);
    Ok((guests::test_all(jobs, built), untested))
}

/// Compares the verifier's figures of the guests with the checked-in ones. Returns a message for
/// each jump, and one for each missing value.
fn compare(rows: &[Row]) -> Result<(Vec<String>, Vec<String>)> {
    let mut kernels: BTreeMap<(&str, &str), Walked> = BTreeMap::new();
    // The figures of this machine's own kernel are not checked in.
    for row in rows.iter().filter(|row| row.series != native::NAME) {
        let walked = kernels.entry((&row.series, &row.version)).or_default();
        walked.extend(instructions::parse(&row.errors));
    }
    let (mut jumps, mut unknown) = (Vec::new(), Vec::new());
    if kernels.values().all(Walked::is_empty) {
        return Ok((jumps, unknown));
    }
    let Some(known) = Instructions::read()? else {
        unknown.push(instructions::missing());
        return Ok((jumps, unknown));
    };
    for ((series, version), walked) in kernels {
        let Found { jumps: more, unknown: also } = known.compare(series, version, &walked);
        jumps.extend(more);
        unknown.extend(also);
    }
    Ok((jumps, unknown))
}
