//! Prints the programs' log on stderr, for developers (`--features ebpf-log`).

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use crate::notice::notice;

/// Reads the log.
pub(crate) struct ProgramLog(EbpfLogger<Notices>);

/// Forwards each line to the notices.
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
    /// Starts reading.
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
