//! The tool, and the process that reads its lines and may be stopped.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use super::churn::{FIRST, LAST};
use super::totals::Totals;
use crate::clock::wait_until;
use crate::{proc, tracer};

/// How long the tool may take to start, and to end.
const LIMIT: Duration = Duration::from_mins(2);

/// A running tool.
pub(super) struct Traced {
    tool: Child,
    reader: Child,
    totals: Arc<Mutex<Totals>>,
    lines: JoinHandle<Result<()>>,
    errors: PathBuf,
}

/// A tool that has ended.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) status: ExitStatus,
    pub(super) errors: String,
    pub(super) totals: Totals,
}

impl Traced {
    /// Starts it, passes its lines through `tee`, and waits until it traces.
    pub(super) fn start(recording: &Path, kept: &Path) -> Result<Self> {
        let errors = std::env::temp_dir().join(format!("soak-{}-stderr", std::process::id()));
        let stderr = File::create(&errors).with_context(|| errors.display().to_string())?;
        let mut tool = tracer::command()
            .args(["--port", &format!("{FIRST}-{LAST}"), "--record"])
            .arg(recording)
            .arg("1")
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .context("starting the tool")?;
        let lines = tool.stdout.take().context("no stdout")?;
        let mut reader = Command::new("tee")
            .arg(kept)
            .stdin(lines)
            .stdout(Stdio::piped())
            .spawn()
            .context("starting tee")?;
        let from = BufReader::new(reader.stdout.take().context("no stdout")?);
        let totals = Arc::new(Mutex::new(Totals::default()));
        let theirs = Arc::clone(&totals);
        let lines = thread::Builder::new().spawn(move || {
            from.lines().try_for_each(|line| {
                theirs.lock().unwrap_or_else(PoisonError::into_inner).take(&line?)
            })
        })?;
        let mut started = Self { tool, reader, totals, lines, errors };
        wait_until("the tool to trace", LIMIT, || {
            started.check()?;
            let totals = started.totals.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(totals.meta.is_some())
        })?;
        Ok(started)
    }

    pub(super) fn pid(&self) -> u32 {
        self.tool.id()
    }

    pub(super) fn reader(&self) -> u32 {
        self.reader.id()
    }

    /// Fails if it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.tool.try_wait()? {
            None if self.lines.is_finished() => bail!("the tool's lines cannot be read"),
            None => Ok(()),
            Some(status) => bail!("the tool has ended with {status}: {}", self.errors()?),
        }
    }

    /// Ends it, and reads the rest of its lines.
    pub(super) fn finish(mut self) -> Result<Run> {
        let pid = i32::try_from(self.pid())?;
        // SAFETY: it takes two numbers; the child was not waited for, so the number is its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let ended = wait_until("the tool to end", LIMIT, || Ok(self.tool.try_wait()?.is_some()));
        if let Err(error) = ended {
            let waiting = proc::waiting();
            self.tool.kill()?;
            return Err(error.context(waiting));
        }
        let status = self.tool.wait()?;
        self.reader.wait().context("waiting for tee")?;
        let errors = self.errors()?;
        std::fs::remove_file(&self.errors)?;
        self.lines.join().map_err(|_| anyhow!("the thread with the lines panicked"))??;
        let totals =
            std::mem::take(&mut *self.totals.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Run { status, errors, totals })
    }

    fn errors(&self) -> Result<String> {
        std::fs::read_to_string(&self.errors).context("reading the tool's messages")
    }
}

impl Run {
    /// How it ended, as text.
    pub(super) fn ended(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("status {code}"),
            (None, signal) => format!("signal {signal:?}"),
        }
    }
}
