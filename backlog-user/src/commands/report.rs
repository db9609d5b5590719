//! `backlog-trace report`: writes a recording as an HTML page. This module chooses its file; the
//! content is produced as in a live run.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::cli::{Output, ReportArgs};
use crate::commands::replay::judge_by;
use crate::commands::replay::page_file::{page_of, place};
use crate::commands::replay::player::Player;
use crate::commands::replay::source::Source;
use crate::commands::show::{self, OutputOptions};
use crate::exit::Outcome;
use crate::notice::notice;
use crate::output::report::{Destination, Report};

/// Writes the page.
pub(crate) fn run(args: &ReportArgs) -> Result<Outcome> {
    let ReportArgs { file, output, client_timeout, utc } = args;
    let (mut header, mut source) = Source::open(file)?;
    judge_by(&mut header, client_timeout.as_deref())?;
    let place = match output {
        Some(output) if output == Path::new("-") => Destination::Stdout,
        Some(output) => place(output, file).context("-o")?,
        None if file == Path::new("-") => bail!("stdin has no name for the page: give -o PAGE"),
        None => place(&page_of(file), file).context("the page beside FILE (-o: elsewhere)")?,
    };
    let style = show::style(OutputOptions {
        output: Output::Table,
        utc: *utc,
        quiet: false,
        verbose: false,
        replay: header.options,
    });
    let mut page = Report::new(style.zone, place, true);
    let mut player = Player::start(&header, None, &mut page)?;
    for step in &mut source {
        player.step(&mut page, step?)?;
    }
    for remark in source.remarks() {
        notice(&remark);
    }
    Ok(Outcome::Done)
}
