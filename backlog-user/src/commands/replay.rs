//! `backlog-trace replay`: shows a recording as the run itself was shown. It needs no privileges
//! and no kernel that can trace, and executes nothing from the file.

mod files;
mod lines;
mod pace;
pub(crate) mod page_file;
pub(crate) mod player;
mod screen;
mod seekable;
pub(crate) mod source;

use std::io::{self, BufWriter};

use anyhow::Result;
use backlog_core::recording::line::{Header, Step};
use backlog_core::text::outside::safe;
use jiff::tz::TimeZone;

use crate::cli::ReplayArgs;
use crate::cli::options::{client_timeout_ns, time};
use crate::commands::show::{self, OutputOptions};
use crate::exit::Outcome;
use crate::notice::notice;
use crate::output::outputs::Outputs;
use crate::output::report::{Destination, Report};
use player::Player;
use source::Source;

/// Shows a recording.
pub(crate) fn run(args: &ReplayArgs) -> Result<Outcome> {
    let every = args.interval.as_deref().map(|text| time("INTERVAL", text)).transpose()?;
    if args.tui {
        return screen::run(args, every);
    }
    let page = page_file::beside(args.report.as_deref(), &args.file)?;
    let (mut header, mut source) = Source::open(&args.file)?;
    judge_by(&mut header, args.client_timeout.as_deref())?;
    let ReplayArgs { output, utc, quiet, verbose, .. } = *args;
    let wish = OutputOptions { output, utc, quiet, verbose, replay: header.options };
    let lines = Outputs::lines(show::lines(wish, BufWriter::new(io::stdout())));
    let mut outputs = beside(lines, page, show::style(wish).zone, quiet);
    let mut player = Player::start(&header, every, &mut outputs)?;
    for step in &mut source {
        let step = step?;
        if let Step::Notice { text, .. } = &step {
            if !quiet {
                notice(&safe(text));
            }
            continue;
        }
        player.step(&mut outputs, step)?;
    }
    for remark in source.remarks() {
        notice(&remark);
    }
    Ok(Outcome::Done)
}

/// Sets the client timeout that a run is judged by, if another one was given.
pub(crate) fn judge_by(header: &mut Header, client_timeout: Option<&str>) -> Result<()> {
    if let Some(text) = client_timeout {
        header.options.client_timeout_ns = Some(client_timeout_ns(text)?);
    }
    Ok(())
}

/// Adds a page to the outputs, if one was requested.
fn beside(outputs: Outputs, page: Option<Destination>, zone: TimeZone, quiet: bool) -> Outputs {
    match page {
        None => outputs,
        Some(place) => outputs.with(Report::new(zone, place, !quiet)),
    }
}

#[cfg(test)]
mod tests;
