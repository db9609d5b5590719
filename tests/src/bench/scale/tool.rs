//! Runs the tool during a loop: starts it, waits until it traces and sleeps, and reads its memory,
//! that of its BPF maps, and its run time.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::super::child::Beside;
use super::super::line::Line;
use super::Wanted;
use crate::clock::wait_until;
use crate::proc;

/// This many checks in a row must find it asleep.
const LOOKS: u32 = 20;
/// The time limit for its work at the end.
const END_LIMIT: Duration = Duration::from_mins(1);

/// The running tool.
#[derive(Debug)]
pub(super) struct Tool {
    beside: Beside,
}

/// Its command line, for these ports.
pub(super) fn command(wanted: &Wanted, ports: &str) -> Command {
    let mut command = Command::new("backlog-trace");
    command.args(["--port", ports, "-q", "-o", "json", "--backend", &wanted.backend]);
    command
}

impl Tool {
    /// Starts it, and waits until it traces.
    pub(super) fn start(wanted: &Wanted, ports: &str) -> Result<Self> {
        let beside = Beside::start(&mut command(wanted, ports))?;
        let mut tool = Self { beside };
        let ready = wait_until("backlog-trace to trace", wanted.start_limit, || {
            ensure!(!tool.beside.has_ended()?, "it ended at once");
            Ok(tool.beside.has_said())
        });
        match ready.and_then(|()| tool.await_sleep(wanted.start_limit)) {
            Ok(()) => Ok(tool),
            Err(error) => bail!("{error:#}: {}", tool.beside.said().trim()),
        }
    }

    /// Waits until it is idle.
    pub(super) fn await_sleep(&mut self, limit: Duration) -> Result<()> {
        let mut asleep = 0;
        wait_until("backlog-trace to sleep", limit, || {
            let threads = self.beside.threads();
            let quiet = !threads.is_empty() && threads.into_iter().all(proc::asleep);
            asleep = if quiet { asleep + 1 } else { 0 };
            Ok(asleep >= LOOKS)
        })
    }

    /// Its run time so far.
    pub(super) fn cpu_ns(&self) -> Result<u64> {
        self.beside.cpu_ns()
    }

    /// Prints its memory in KiB: `VmRSS`, `VmHWM`, and that of its maps and programs in the kernel.
    pub(super) fn tell_memory(&self, tracer: &str, scenario: &str) -> Result<()> {
        let id = self.beside.id();
        let own = |field| proc::status_kib(id, field).map(|kib| kib as f64);
        let bpf = bpf_memory(id)?;
        for (name, value) in [
            ("rss_kib", own("VmRSS").context("no VmRSS")?),
            ("hwm_kib", own("VmHWM").context("no VmHWM")?),
            ("maps_kib", bpf.maps as f64 / 1024.0),
            ("programs_kib", bpf.programs as f64 / 1024.0),
        ] {
            Line::Value { tracer, scenario, name, value }.tell()?;
        }
        Ok(())
    }

    /// Sends SIGINT like Ctrl-C; returns its whole output.
    pub(super) fn end(mut self) -> Result<String> {
        self.beside.end(END_LIMIT)?;
        Ok(self.beside.said())
    }
}

/// Kernel memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct BpfMemory {
    maps: u64,
    programs: u64,
}

/// The memory of a process's maps and programs, each once, however many descriptors it has.
fn bpf_memory(process: u32) -> Result<BpfMemory> {
    let folder = format!("/proc/{process}/fdinfo");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    // A descriptor may have been closed in the meantime.
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    Ok(sum(texts))
}

fn sum(descriptors: impl Iterator<Item = String>) -> BpfMemory {
    let (mut maps, mut programs) = (BTreeMap::new(), BTreeMap::new());
    for text in descriptors {
        let number = |key: &str| {
            let of = |line: &str| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok();
            text.lines().find_map(of)
        };
        let Some(bytes) = number("memlock") else { continue };
        if let Some(id) = number("map_id") {
            maps.insert(id, bytes);
        } else if let Some(id) = number("prog_id") {
            programs.insert(id, bytes);
        }
    }
    BpfMemory { maps: maps.values().sum(), programs: programs.values().sum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_counts_once() {
        let map = "pos:\t0\nmap_type:\t2\nmemlock:\t4096\nmap_id:\t7\nfrozen:\t0\n";
        let program = "prog_type:\t26\nmemlock:\t8192\nprog_id:\t7\n";
        let link = "link_type:\ttracing\nlink_id:\t3\nprog_id:\t7\n";
        let texts = [map, map, program, link, "pos:\t0\n"].map(str::to_owned);
        assert_eq!(sum(texts.into_iter()), BpfMemory { maps: 4096, programs: 8192 });
    }
}
