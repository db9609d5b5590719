//! Measures how the tool's cost and memory grow with listeners, the depth of a queue, CPUs, and
//! floods, and the cost of a start. Each table has a file of its own; `measure` times a loop,
//! `clients` provides the same clients for every loop, and `tool` runs the tool.

mod clients;
mod cpus;
mod flood;
mod listeners;
mod measure;
mod queue;
mod start;
mod terminal;
mod tool;

use std::io::Error;
use std::time::Duration;

use anyhow::{Context, Result};

use super::options::{Options, Table};
use super::rounds::Effort;
use crate::cpus::allowed;

/// The descriptor limit of a process: twice the deepest queue, and more than all listeners.
const FILES: libc::rlim_t = 200_000;

/// What to measure.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    effort: Effort,
    backend: String,
    start_limit: Duration,
    /// Skip tracers whose name contains one of these.
    skip: Vec<String>,
}

impl Wanted {
    /// The name of the tool's rows.
    fn row(&self) -> String {
        format!("backlog-trace {}", self.backend)
    }
}

/// Measures the tables that the options name.
pub(super) fn run(options: &Options) -> Result<()> {
    let Options { connections, rounds, start_limit, backend, table, skip, .. } = options;
    raise_limit().context("cannot raise the limit of open files (root is needed)")?;
    let wanted = Wanted {
        effort: Effort { connections: *connections, rounds: *rounds },
        backend: backend.first().map_or("fentry", String::as_str).to_owned(),
        start_limit: Duration::from_secs(*start_limit),
        skip: skip.clone(),
    };
    let tables = if table.is_empty() { Table::ALL.as_slice() } else { table };
    for table in tables {
        match table {
            Table::Listeners => listeners::run(&wanted),
            Table::Queue => queue::run(&wanted),
            Table::Flood => flood::run(&wanted),
            Table::Cpus => cpus::run(&wanted, &allowed().context("which CPUs there are")?),
            Table::Start => start::run(&wanted),
        }
        .with_context(|| format!("table {table:?}"))?;
    }
    Ok(())
}

fn raise_limit() -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: FILES, rlim_max: FILES };
    // SAFETY: a valid rlimit that outlives the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}
