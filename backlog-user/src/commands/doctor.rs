//! `backlog-trace doctor`: checks what this kernel permits, which hooks would be used, and why.
//!
//! `facts` reads the system and `trials` attaches each hook. Both fill one `Report`, which is
//! printed as JSON, or as text by `text`. Everything is detached again, and no event is processed.

mod facts;
mod needs;
pub(crate) mod report;
mod text;
mod trials;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::iter;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use backlog_core::run::Backend;
use clap::Parser as _;

use crate::cli::options::Options;
use crate::cli::{Args, Command, DoctorArgs, DoctorOutput};
use crate::commands::serve;
use crate::commands::trace::{rights, wanted};
use crate::exit::Outcome;
use crate::host::namespaces::named;
use crate::output::json::values;
use needs::Asked;
use report::{Check, Line, Readiness, Report, Tried};

/// `schema` of the JSON object.
const SCHEMA: u32 = 1;

/// Reads the facts, runs the trials, and prints the report.
pub(crate) fn run(args: &DoctorArgs) -> Result<Outcome> {
    let asked = asked(&args.run)?;
    let backend = wanted(args.backend).or(asked.as_ref().and_then(|asked| asked.backend));
    let report = examine(Path::new("/"), backend, asked.as_ref());
    let mut out = io::stdout().lock();
    match args.output {
        DoctorOutput::Table => out.write_all(text::render(&report, args.verbose).as_bytes())?,
        DoctorOutput::Json => values::write(&mut out, &Line::Doctor(&report))?,
    }
    out.flush()?;
    Ok(if report.verdict.works { Outcome::Done } else { Outcome::WouldFail })
}

/// The run behind `--`.
fn asked(words: &[OsString]) -> Result<Option<Asked>> {
    if words.is_empty() {
        return Ok(None);
    }
    let mut args = Args::parse_from(
        iter::once(OsStr::new("backlog-trace")).chain(words.iter().map(OsString::as_os_str)),
    );
    let mut options = match args.command.take() {
        None => Options::check(args)?,
        Some(Command::Serve(args)) => serve::options(*args)?,
        Some(_) => bail!(
            "doctor: this subcommand needs no capabilities to trace: name the options of a run, \
             or serve and its options"
        ),
    };
    if let Some(netns) = &options.selection.netns {
        options.filter.netns = Some(named::find(Path::new("/"), netns)?.netns.into());
    }
    let words = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let uses = rights::used_here(&options).context("doctor: trying what the run needs")?;
    Ok(Some(Asked { words, uses, backend: wanted(options.backend) }))
}

fn examine(root: &Path, wanted: Option<Backend>, asked: Option<&Asked>) -> Report {
    let kernel = facts::kernel(root);
    let mut trials = trials::make(root, wanted);
    let process =
        facts::process(root, &kernel, wanted.or(trials.backend), trials.locked_memory, asked);
    if let Some(gaps) = &mut trials.gaps {
        gaps.extend(process.unseen_namespaces.clone());
    }
    let verdict = judge(trials.blocked, &trials.backends, wanted);
    Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        verdict,
        kernel,
        process,
        ring_buffer: trials.ring_buffer,
        ways: trials.ways,
        backends: trials.backends,
        shown: trials.shown,
        hooks: trials.hooks,
        values: trials.values,
        gaps: trials.gaps,
    }
}

/// Decides whether tracing works, with which backend, and if not, what to do. `blocked` is the
/// reason why no trial was possible.
fn judge(blocked: Option<String>, backends: &[Tried], wanted: Option<Backend>) -> Readiness {
    if let Some(why) = blocked {
        return Readiness { works: false, backend: None, why: Some(why) };
    }
    let asked = |tried: &&Tried| wanted.is_none_or(|wanted| wanted.name() == tried.name);
    let works = |tried: &&Tried| matches!(tried.check, Check::Yes);
    if let Some(taken) = backends.iter().filter(asked).find(works) {
        return Readiness { works: true, backend: Some(taken.name), why: None };
    }
    let mut why: Vec<String> = Vec::new();
    for tried in backends.iter().filter(asked) {
        if let Check::No { why: reason } | Check::NotChecked { why: reason } = &tried.check {
            why.push(format!("no {}: {reason}", tried.name));
        }
    }
    if let Some(other) = backends.iter().find(works) {
        why.push(format!("it would work with {} (--backend auto selects the best)", other.name));
    }
    Readiness { works: false, backend: None, why: Some(why.join("; ")) }
}

#[cfg(test)]
mod tests;
