//! `backlog-trace replay`: a recording, shown as the run itself was. Needs no rights, and no
//! kernel that could trace; nothing in the file is carried out.

mod film;
mod lines;
mod pace;
pub(crate) mod player;
pub(crate) mod report;
mod screen;
pub(crate) mod source;

use anyhow::Result;
use jiff::tz::TimeZone;

use crate::cli::ReplayArgs;
use crate::options::{client_timeout_ns, time};
use crate::record::line::{Header, Step};
use crate::run::Outcome;
use crate::session::notice;
use crate::show::{self, Wish};
use crate::view::View;
use crate::view::both::Both;
use crate::view::report::{Place, Report};
use player::Player;
use source::Source;

/// Shows a recording.
pub(crate) fn run(args: &ReplayArgs) -> Result<Outcome> {
    let every = args.interval.as_deref().map(|text| time("INTERVAL", text)).transpose()?;
    if args.tui {
        return screen::run(args, every);
    }
    let page = report::beside(args.report.as_deref(), &args.file)?;
    let (mut header, mut source) = Source::open(&args.file)?;
    judge_by(&mut header, args.client_timeout.as_deref())?;
    let ReplayArgs { output, utc, quiet, verbose, .. } = *args;
    let wish = Wish { output, utc, quiet, verbose, named_ports: header.named_ports };
    let mut view = beside(show::view(wish), page, show::look(wish).zone, quiet);
    let mut player = Player::start(&header, every, view.as_mut())?;
    for step in &mut source {
        if let Step::Notice { text, .. } = &step {
            if !quiet {
                notice(text);
            }
            continue;
        }
        player.step(view.as_mut(), step)?;
    }
    for remark in source.remarks() {
        notice(&remark);
    }
    Ok(Outcome::Done)
}

/// Judges a run by another client timeout than its own, if one was given.
fn judge_by(header: &mut Header, client_timeout: Option<&str>) -> Result<()> {
    if let Some(text) = client_timeout {
        header.client_timeout_ns = Some(client_timeout_ns(text)?);
    }
    Ok(())
}

/// A view, and a page beside it if one was asked for.
fn beside(view: Box<dyn View>, page: Option<Place>, zone: TimeZone, quiet: bool) -> Box<dyn View> {
    match page {
        None => view,
        Some(place) => Box::new(Both::new(view, Box::new(Report::new(zone, place, !quiet)))),
    }
}

#[cfg(test)]
mod tests;
