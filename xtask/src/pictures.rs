//! `cargo xtask pictures`: what the tool shows, as pictures for docs/. Here if this machine's
//! kernel permits tracing. This file knows which there are; each is taken in its own.

mod report;

use anyhow::{Context as _, Result};

use crate::{build, native, setup};

/// Takes the pictures.
pub(crate) fn command() -> Result<u8> {
    let report = setup::ensure()?;
    report.require(setup::Need::Browser)?;
    let programs = build::static_programs()?;
    let tool = build::tool(&programs)?;
    native::look(tool, None).context("the pictures are taken in this machine's kernel")?;
    report::take(tool)?;
    Ok(0)
}
