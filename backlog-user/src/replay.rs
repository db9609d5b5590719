//! `backlog-trace replay`: a recording, shown as the run itself was. Needs no rights, and no
//! kernel that could trace; nothing in the file is carried out.

mod lines;
pub(crate) mod player;
pub(crate) mod source;

use anyhow::Result;

use crate::cli::ReplayArgs;
use crate::options::time;
use crate::record::line::Step;
use crate::run::Outcome;
use crate::session::notice;
use crate::show::{self, Wish};
use player::Player;
use source::Source;

/// Shows a recording.
pub(crate) fn run(args: &ReplayArgs) -> Result<Outcome> {
    let every = args.interval.as_deref().map(|text| time("INTERVAL", text)).transpose()?;
    let (header, mut source) = Source::open(&args.file)?;
    let ReplayArgs { output, utc, quiet, verbose, .. } = *args;
    let wish = Wish { output, utc, quiet, verbose, named_ports: header.named_ports };
    let mut view = show::view(wish);
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

#[cfg(test)]
mod tests;
