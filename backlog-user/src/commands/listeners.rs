//! `backlog-trace listeners`: lists every TCP listener in every network namespace, without tracing,
//! with findings.
//!
//! `gather` queries the kernel, `finding` evaluates the data, and `text`, `json` and `csv` print
//! them. It uses no eBPF, and most of it works without root.

pub(crate) mod csv;
mod defer_accept;
pub(crate) mod finding;
mod gather;
mod host;
pub(crate) mod json;
mod requests;
mod text;

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use backlog_core::filter::Filter;
use jiff::Timestamp;

use crate::cli::selection::Selection;
use crate::cli::{Check, ListenersArgs, ListenersOutput};
use crate::exit::Outcome;
use crate::host::owner::cgroup::Cgroups;
use crate::host::owner::find::Finder;
use crate::notice::notice;
use finding::Level;
use gather::Wanted;

/// Gathers the data, evaluates it, and prints it.
pub(crate) fn run(args: &ListenersArgs) -> Result<Outcome> {
    let root = Path::new("/");
    let mut finder = Finder::new(&root.join("proc"), &root.join("etc/passwd"));
    let mut cgroups = Cgroups::find(&root.join("proc"));
    let wanted = wanted(args, &finder)?;
    let owners = |sockets: &_| finder.scan(sockets);
    let host = gather::host(root, &wanted, owners, |id| cgroups.path_of(id))?;
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

fn wanted(args: &ListenersArgs, finder: &Finder) -> Result<Wanted> {
    let ListenersArgs { port, ipv4, ipv6, pid, netns, cgroup, output: _, check: _ } = args;
    let ports = port.as_ref().map(|text| text.parse()).transpose().context("--port")?;
    let mut filter = Filter { ports, family: Filter::family_of(*ipv4, *ipv6), ..Filter::default() };
    // Only this namespace is queried, so no filter by namespace is needed.
    let selection = Selection { pid: *pid, cgroup: cgroup.clone(), netns: None };
    selection.add_to(&mut filter, finder)?;
    Ok(Wanted { filter, netns: netns.clone() })
}

#[cfg(test)]
pub(crate) mod tests;
