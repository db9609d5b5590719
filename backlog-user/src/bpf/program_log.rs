//! Log lines of the programs on stderr, for developers (`--features ebpf-log`).

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use crate::notice::notice;

/// Reads them.
pub(crate) struct ProgramLog(EbpfLogger<Notices>);

/// Passes every line on.
struct Notices;

impl Log for Notices {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        notice(&format!("[{}] {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

impl ProgramLog {
    /// Begins to read.
    pub(crate) fn start(programs: &mut Ebpf) -> Result<Self> {
        let logger = EbpfLogger::init_with_logger(programs, Notices)
            .context("reading the programs' log lines")?;
        Ok(Self(logger))
    }

    /// Prints the lines since the last call.
    pub(crate) fn flush(&mut self) {
        self.0.flush();
    }
}
