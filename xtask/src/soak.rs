//! `cargo xtask soak`: runs the tool for many minutes next to loads that come and go, natively or
//! in a guest. `backlog-soak` does the work and judges it; this runs it, and stores its tables in
//! docs/.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::apart::{self, End};
use crate::build;
use crate::kernels::Kernels;
use crate::native::{self, Native};
use crate::setup::Need;
use crate::vm::{self, Added, Both, ConsoleLog, Emulation, Guest, Saved, Sinks};
use crate::{pages, process, setup};

/// The arguments of `soak`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the loads go on
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u32,
    /// In this machine's kernel (default)
    #[arg(long, conflicts_with = "kernel")]
    native: bool,
    /// In a guest with this kernel: 6.12, newest
    #[arg(long, value_name = "SERIES")]
    kernel: Option<String>,
    /// Put the tables into docs/measured/SOAK.md
    #[arg(long)]
    write: bool,
}

const PROGRAM: &str = "backlog-soak";
const FILE: &str = "docs/measured/SOAK.md";

/// The beginning of the page.
const HEADING: &str = "\
# Hours of trouble, in minutes

`cargo xtask soak --write` wrote this page; each section is one run (`--minutes N`, `--kernel SERIES`).
Loads come and go, three at a time, each a process with listeners of its own in a network namespace
of its own: served, overloaded, never accepted, paused, by several processes, by a group. Meanwhile
servers, the reader of the tool's output and the tool itself are stopped for 1.5 s, listeners open and
close by the dozen, other tools trace and list, and the disk of the recording (a tmpfs of 4 MiB) fills
up.

The loads count their connections themselves, and the kernel counts the drops of each load's
namespace (`ListenDrops`). The tool's counts are the sums of its `interval` lines; where a port's
summaries are all there, they must agree with these. The run fails if the counts of the loads differ
by more than the line `end` reports as missed or seen without a listener, if a program is left in the
kernel, or if the tool ends with another status than 2 (the recording is incomplete) or 0.

Memory (`RssAnon`), descriptors and threads are sampled each second; a row shows the largest of a
quarter of the run. They count as flat if the last quarter is at most 1 MiB or 2 % above the third, and
at most 3 descriptors or threads. To begin with, 1,100 listeners are opened, used once and closed: the
tool keeps 1,024 closed ones, so this memory is at its bound from then on. The table of refused clients
is bounded by 65,536 and doubles on its way there: its last step in such a run comes after about 28,700 of
them and takes 2.6 MiB, which is why a guest, where loads are slow, needs more than ten minutes.
";

/// How long the tool and the last loads may take in addition, to start and end in an emulated
/// guest.
const MARGIN: Duration = Duration::from_mins(10);
/// Enough for some hundred listeners, the tool and its loads.
const MEMORY: u32 = 1024;

/// Runs it. Returns 1 if something was wrong.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let report = setup::ensure()?;
    report.require(Need::Build)?;
    let programs = build::checked_programs()?.0;
    let words = ["--minutes".to_owned(), args.minutes.to_string()];
    let limit = Duration::from_mins(args.minutes.into()) + MARGIN;
    let (status, output) = match &args.kernel {
        None => here(&programs, &words, limit)?,
        Some(series) => {
            report.require(Need::Guests)?;
            in_guest(series, &programs, &words, limit)?
        }
    };
    print!("{output}");
    if args.write && status == 0 {
        let page = pages::current(FILE).unwrap_or_default();
        pages::publish(FILE, &with_section(&page, &output), false)?;
    }
    Ok(status)
}

fn here(programs: &[PathBuf], words: &[String], limit: Duration) -> Result<(u8, String)> {
    let tool = build::tool(programs)?;
    let Native { kernel, backend } = native::look(tool, None)?;
    let _alone = native::alone()?;
    process::say(&format!("running here, in kernel {kernel}, by {backend}"));
    let scratch = tempfile::tempdir().context("cannot create a temporary folder")?;
    let mut output = native::file()?;
    let mut command = Command::new(soak(programs)?);
    command.args(words).env("BACKLOG_TRACE", tool).env("TMPDIR", scratch.path());
    command.stdin(Stdio::null()).stdout(native::copy(&output)?);
    process::announce(&command);
    match apart::run(&mut command, limit)? {
        End::Status(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2);
            Ok((code, native::text(&mut output)?))
        }
        End::TimedOut => bail!("no end within {} s", limit.as_secs()),
    }
}

fn soak(programs: &[PathBuf]) -> Result<&Path> {
    let soak = programs.iter().find(|path| path.ends_with(PROGRAM));
    soak.map(PathBuf::as_path).with_context(|| format!("cargo built no program {PROGRAM}"))
}

fn in_guest(
    series: &str,
    programs: &[PathBuf],
    words: &[String],
    limit: Duration,
) -> Result<(u8, String)> {
    let kernel = Kernels::open()?.obtain(series)?;
    let added: Vec<Added> = programs.iter().map(|file| Added::program(file)).collect();
    let command: Vec<OsString> =
        [PROGRAM].into_iter().chain(words.iter().map(String::as_str)).map(OsString::from).collect();
    let guest = Guest {
        kernel: &kernel,
        cpus: vm::CPUS,
        memory: MEMORY,
        emulation: Emulation::InTurn,
        limit,
        quiet_limit: None,
        added: &added,
        disk: None,
        command: &command,
    };
    let (out, err) = (Saved::default(), Saved::default());
    let log = ConsoleLog::new(&kernel)?;
    let outcome = vm::boot(&guest, || {
        Ok(Sinks {
            stdout: Box::new(Both(out.clone(), err.clone())),
            stderr: Box::new(err.clone()),
            console: Box::new(log.writer()?),
        })
    })?;
    let status = vm::describe(&guest, &outcome)
        .with_context(|| format!("console: {}\n{}", log.path.display(), err.text()))?;
    if status > 1 {
        bail!("{PROGRAM} failed with status {status}:\n{}", err.text());
    }
    Ok((status, out.text()))
}

/// The beginning of a section.
const SECTION: &str = "## ";

/// The page with this section in place of the one with the same heading, or appended.
fn with_section(page: &str, section: &str) -> String {
    // The duration of a run is not part of its subject.
    let subject = |text: &str| -> Vec<String> {
        let heading = text.lines().next().unwrap_or_default();
        heading.split(", ").take(2).map(str::to_owned).collect()
    };
    let mut page_text = HEADING.to_owned();
    let begin = format!("\n{SECTION}");
    let sections = page.split(&begin).skip(1).map(|text| format!("{SECTION}{text}"));
    let others = sections.filter(|one| subject(one) != subject(section));
    for one in others.chain([section.to_owned()]) {
        // Writing to a string cannot fail.
        let _ = writeln!(page_text, "\n{}", one.trim_end());
    }
    page_text
}

#[cfg(test)]
mod tests {
    use super::{HEADING, with_section};

    #[test]
    fn a_section_replaces_that_of_its_kernel_and_backend() {
        let page = with_section("", "## Kernel 6.1, fentry, 5.0 minutes\n\nold\n");
        let page = with_section(&page, "## Kernel 6.12, fentry, 5.0 minutes\n\nother\n");
        let page = with_section(&page, "## Kernel 6.1, fentry, 10.0 minutes\n\nnew\n");
        let expected = format!(
            "{HEADING}\n## Kernel 6.12, fentry, 5.0 minutes\n\nother\n\n\
             ## Kernel 6.1, fentry, 10.0 minutes\n\nnew\n"
        );
        assert_eq!(page, expected);
    }
}
