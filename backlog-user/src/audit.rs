//! `backlog-trace listeners`: every TCP listener of every network namespace, at once and
//! without tracing, and what is to be said of them.
//!
//! `gather` asks the kernel, `finding` judges, `text`, `json` and `csv` show. No eBPF, and
//! most of it without root.

mod csv;
mod finding;
mod gather;
mod host;
mod json;
mod memory;
mod requests;
mod text;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use crate::cli::{Check, ListenersArgs, ListenersOutput};
use crate::filter::Filter;
use crate::run::Outcome;
use crate::session::notice;
use finding::Level;
use gather::Wanted;

/// Looks, judges, and prints.
pub(crate) fn run(args: &ListenersArgs) -> Result<Outcome> {
    let root = Path::new("/");
    let wanted = wanted(root, args)?;
    // Nobody looks for owners and cgroups yet: they are unknown.
    let host = gather::host(root, &wanted, |_| HashMap::new(), |_| None)?;
    let findings = finding::find(&host);
    host.not_seen.iter().for_each(|text| notice(text));
    let mut out = BufWriter::new(io::stdout().lock());
    match args.output {
        ListenersOutput::Table => out.write_all(text::render(&host, &findings).as_bytes())?,
        ListenersOutput::Json => json::write(&mut out, Timestamp::now(), &host, &findings)?,
        ListenersOutput::Csv => csv::write(&mut out, &host, &findings)?,
    }
    out.flush()?;
    let fails = args.check.is_some_and(|check| match check {
        Check::Any => finding::is_any(&findings, Level::Notice),
        Check::Problem => finding::is_any(&findings, Level::Problem),
    });
    Ok(if fails { Outcome::Findings } else { Outcome::Done })
}

fn wanted(root: &Path, args: &ListenersArgs) -> Result<Wanted> {
    let ListenersArgs { port, ipv4, ipv6, pid, netns, output: _, check: _ } = args;
    let ports = port.as_ref().map(|text| text.parse()).transpose().context("--port")?;
    let filter = Filter { ports, family: Filter::family_of(*ipv4, *ipv6) };
    let sockets = pid.map(|pid| sockets_of(root, pid)).transpose()?;
    Ok(Wanted { filter, sockets, netns: netns.clone() })
}

/// The sockets that a process holds open, by their inode numbers.
fn sockets_of(root: &Path, pid: u32) -> Result<HashSet<u64>> {
    let folder = root.join(format!("proc/{pid}/fd"));
    let entries = fs::read_dir(&folder).with_context(|| {
        format!(
            "--pid {pid}: reading {}: is it running, and yours (or run as root)?",
            folder.display()
        )
    })?;
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |link: PathBuf| -> Option<u64> {
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    Ok(links.filter_map(inode).collect())
}

#[cfg(test)]
mod tests;
