//! A completed run of the tool: how it ended, and all of its output.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Result, bail};

use super::lines::{DropLine, Kind, Line, Meta, Summary, read};
use super::listener::{Limit, Listener};

/// A tool that has ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended.
    pub status: ExitStatus,
    /// The lines on stdout.
    pub lines: Vec<Line>,
    /// The output on stderr.
    pub stderr: String,
}

impl Run {
    /// The exit status; None after a signal.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Its first line.
    ///
    /// # Errors
    /// When there is none; with the output instead.
    pub fn meta(&self) -> Result<&Meta> {
        match self.lines.first().map(|line| &line.kind) {
            Some(Kind::Meta(meta)) => Ok(meta),
            _ => bail!("no meta line; status {}, stderr: {}", self.status, self.stderr),
        }
    }

    /// Its summaries.
    pub fn summaries(&self) -> impl Iterator<Item = &Summary> {
        self.lines.iter().filter_map(|line| match &line.kind {
            Kind::Summary(summary) => Some(&**summary),
            _ => None,
        })
    }

    /// The lines of the listeners on a port, in order.
    pub fn listeners(&self, port: u16) -> impl Iterator<Item = &Listener> {
        self.lines.iter().filter_map(move |line| match &line.kind {
            Kind::Listener(listener) if listener.port == port => Some(&**listener),
            _ => None,
        })
    }

    /// The `limit` lines of a listener, which report calls of `listen()`.
    ///
    /// # Errors
    /// When one violates the contract.
    pub fn limits(&self, listener: &Listener) -> Result<Vec<Limit>> {
        let lines = self.lines.iter().filter(|line| line.is("limit"));
        let limits: Vec<Limit> = lines.map(|line| read(&line.raw)).collect::<Result<_>>()?;
        Ok(limits.into_iter().filter(|limit| limit.listener == listener.id).collect())
    }

    /// Its drop lines.
    pub fn drops(&self) -> impl Iterator<Item = &DropLine> {
        self.lines.iter().filter_map(|line| match &line.kind {
            Kind::Drop(drop) => Some(drop),
            _ => None,
        })
    }

    /// The summary of the only listener on a port.
    ///
    /// # Errors
    /// When there is none or more than one; with the whole output.
    pub fn summary(&self, port: u16) -> Result<&Summary> {
        let mut found = self.summaries().filter(|s| s.listener.port == port);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (one, _) => bail!(
                "{} summary for port {port}; status {}, stderr: {}",
                if one.is_some() { "more than one" } else { "no" },
                self.status,
                self.stderr
            ),
        }
    }
}
