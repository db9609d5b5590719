//! The processes that are forked before the first thread starts, since the tool drops its rights
//! there.

use anyhow::Result;

use super::child::Waiting;
use super::on_event::{self, Launcher, Started};
use crate::cli::options::Options;
use crate::output::outputs::Outputs;

/// See the module documentation.
pub(super) struct Children {
    /// Starts the commands of `--on-event`.
    launcher: Option<Launcher>,
    /// Becomes the command of `--cmd`.
    pub(super) command: Option<Waiting>,
}

impl Children {
    /// Forks what these options need.
    pub(super) fn fork(options: &Options) -> Result<Self> {
        Ok(Self {
            // Fork this one first: it lives as long as the run, and would keep descriptors open
            // that were opened before.
            launcher: options.on_event.as_deref().map(Launcher::fork).transpose()?,
            command: options.cmd.as_deref().map(Waiting::fork).transpose()?,
        })
    }

    /// Adds a sink for events to the outputs, if `--on-event` names a command.
    pub(super) fn connect(
        &mut self,
        outputs: Outputs,
        verbose: bool,
    ) -> (Outputs, Option<Started>) {
        let Some(launcher) = self.launcher.take() else { return (outputs, None) };
        let (sink, started) = on_event::connect(launcher, verbose);
        (outputs.with(sink), Some(started))
    }
}
