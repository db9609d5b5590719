//! Runs the tests in guests: every wanted kernel with every wanted backend, two guests at a time.
//! `guest` runs a single one.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::row::Row;
use super::suite::{Built, Share, Suite};
use super::{guest, lock, row};
use crate::backend::Backend;
use crate::kernels::{Kernel, Kernels, MATRIX};
use crate::process;
use crate::setup::{Need, Report};

/// Two guests of two CPUs: with TCG, more would only slow each other down.
const AT_ONCE: usize = 2;
/// The time limit of the tests in one guest.
pub(crate) const LIMIT: Duration = Duration::from_mins(30);

/// A kernel to test.
pub(crate) struct Wanted {
    pub(crate) series: String,
    pub(crate) kernel: Kernel,
}

/// The work of one guest: a share of a suite, in a kernel, with a backend or the tool's own choice.
pub(crate) struct Job<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) backend: Option<Backend>,
    pub(crate) suite: &'a Suite,
    pub(crate) share: Share,
}

impl Job<'_> {
    /// The name of the job.
    pub(super) fn label(&self) -> String {
        row::label(&self.wanted.series, self.backend, self.share.name.as_deref())
    }
}

/// A job for each of the kernels with each of the backends.
pub(crate) fn jobs<'a>(
    kernels: &'a [Wanted],
    backends: &[Option<Backend>],
    suite: &'a Suite,
    built: &Built,
) -> Result<Vec<Job<'a>>> {
    let names = built.test_names()?;
    let mut jobs = Vec::new();
    for wanted in kernels {
        for &backend in backends {
            let shares = suite.shares(&wanted.series, backend, &names, AT_ONCE);
            jobs.extend(shares.into_iter().map(|share| Job { wanted, backend, suite, share }));
        }
    }
    Ok(jobs)
}

/// The available kernels of those wanted, or of the whole matrix, and a message for each
/// unavailable one.
pub(crate) fn obtain(wanted: &[String]) -> Result<(Vec<Wanted>, Vec<String>)> {
    let matrix: Vec<String> = MATRIX.iter().map(|&series| series.to_owned()).collect();
    let wanted = if wanted.is_empty() { &matrix } else { wanted };
    let store = Kernels::open()?;
    let mut kernels = Vec::new();
    let mut untested = Vec::new();
    for series in wanted {
        match store.find(series)? {
            Some(kernel) => kernels.push(Wanted { series: series.clone(), kernel }),
            None => untested.push(format!("{series}: not tested: no suite lists it")),
        }
    }
    Ok((kernels, untested))
}

/// Runs a suite in every wanted kernel, with the tool's own choice of backend, and returns the
/// output of the tests.
pub(crate) fn collect(report: &Report, wanted: &[String], suite: &Suite) -> Result<Vec<Row>> {
    report.require(Need::Guests)?;
    let (kernels, untested) = obtain(wanted)?;
    for line in &untested {
        process::say(line);
    }
    let built = Built::make()?;
    let rows = test_all(jobs(&kernels, &[None], suite, &built)?, &built);
    row::failures(&rows);
    Ok(rows)
}

/// Runs the jobs; returns a row for each, in order.
pub(crate) fn test_all(jobs: Vec<Job<'_>>, built: &Built) -> Vec<Row> {
    let mut added = built.programs_added();
    added.push(guest::tests_added(&built.tests));
    let mut queue: Vec<_> = jobs.into_iter().enumerate().collect();
    let total = queue.len();
    // Start with the long ones, or one of them would run alone at the end.
    queue.sort_by_key(|(_, job)| job.share.is_core);
    let queue = Mutex::new(VecDeque::from(queue));
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(total) {
            scope.spawn(|| {
                loop {
                    let Some((place, job)) = lock(&queue).pop_front() else {
                        break;
                    };
                    process::say(&format!(
                        "testing kernel {} ({}), {} of {total}",
                        job.label(),
                        job.wanted.kernel.name,
                        place + 1
                    ));
                    let row = guest::test(&job, &added);
                    lock(&rows).push((place, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}
