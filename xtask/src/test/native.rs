//! Runs the tests in this machine's own kernel: in a network namespace and session of their own,
//! with files in a temporary folder. Nothing is left behind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::row::{self, Row};
use super::suite::{Built, Suite};
use super::tally::{self, Tally};
use crate::apart::{self, End};
use crate::backend::Backend;
use crate::native::{self, Native};
use crate::{monitoring, process, servers};

/// The name of this kernel in place of a series.
pub(crate) const NAME: &str = "native";

/// Is this machine's kernel among the wanted ones, and which others are? None: it is the only one.
/// If none is wanted explicitly, all are.
pub(crate) fn among(wanted: &[String]) -> (bool, Option<Vec<String>>) {
    let others: Vec<String> = wanted.iter().filter(|one| *one != NAME).cloned().collect();
    let here = wanted.is_empty() || others.len() < wanted.len();
    (here, (wanted.is_empty() || !others.is_empty()).then_some(others))
}

/// Runs the tests with a backend, or with the best. The error says why this is impossible.
pub(crate) fn test(built: &Built, backend: Option<Backend>, suite: &Suite) -> Result<Row> {
    let tool = built.tool()?;
    let Native { kernel, backend } = native::look(tool, backend)?;
    let _alone = native::alone()?;
    let label = row::label(NAME, Some(backend), None);
    process::say(&format!("testing natively: kernel {kernel} by {backend}"));
    let start = Instant::now();
    let (output, trouble) = match run(built, tool, backend, suite) {
        Ok(ran) => ran,
        Err(error) => (String::new(), Some(format!("{error:#}"))),
    };
    let tally = Tally::of(&output);
    let file = row::show(&label, tally, &output);
    Ok(Row {
        series: NAME.to_owned(),
        backend: Some(backend),
        share: None,
        version: kernel,
        seconds: start.elapsed().as_secs_f64(),
        tally,
        failed: tally::failed_tests(&output),
        again: None,
        trouble,
        errors: output.clone(),
        output,
        file,
    })
}

/// Returns the output of the tests, and why it is incomplete if it is.
fn run(
    built: &Built,
    tool: &Path,
    backend: Backend,
    suite: &Suite,
) -> Result<(String, Option<String>)> {
    let scratch = tempfile::tempdir().context("cannot create a temporary folder")?;
    let mut output = native::file()?;
    let mut command = Command::new(&built.tests);
    command
        .args(suite.whole().arguments())
        .envs(suite.environment(Some(backend)))
        .env("BACKLOG_GUEST", "1")
        .env("BACKLOG_NATIVE", "1")
        .env("BACKLOG_TRACE", tool)
        // The other programs are next to the tool.
        .env("BACKLOG_BIN", tool.parent().unwrap_or(tool))
        .env("TMPDIR", scratch.path())
        .envs(suite.servers.as_ref().map(|servers| (servers::VARIABLE, &servers.root)))
        .envs(monitoring::tested::variables())
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(native::copy(&output)?)
        .stderr(native::copy(&output)?);
    process::announce(&command);
    let end = apart::run(&mut command, suite.limit)?;
    let output = native::text(&mut output)?;
    let trouble = match end {
        End::Status(status) => match status.code() {
            Some(code) => row::trouble(code, Tally::of(&output)),
            None => Some(format!("{status}, in {}", tally::last_test(&output))),
        },
        End::TimedOut => Some(format!(
            "time limit: no end within {} s, in {}",
            suite.limit.as_secs(),
            tally::last_test(&output)
        )),
    };
    Ok((output, trouble))
}

#[cfg(test)]
mod tests {
    use super::among;

    #[test]
    fn this_kernel_is_one_of_all() {
        let of = |wanted: &[&str]| {
            among(&wanted.iter().map(|&one| one.to_owned()).collect::<Vec<String>>())
        };
        assert_eq!(of(&[]), (true, Some(vec![])));
        assert_eq!(of(&["native"]), (true, None));
        assert_eq!(of(&["6.1"]), (false, Some(vec!["6.1".to_owned()])));
        assert_eq!(of(&["6.1", "native"]), (true, Some(vec!["6.1".to_owned()])));
    }
}
