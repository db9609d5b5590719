//! The startup scan: an iterator program visits the sockets of each network namespace, so that the
//! programs know the listeners and queued connections from before the start.
//!
//! A thread enters each namespace to scan it. The scan before the start runs on each CPU, so that
//! the programs know the CPU's counters in that namespace as well.

use std::fs::read_to_string;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};
use backlog_ebpf::pending::{ITER_DONE, ITER_MORE, SEED_AFTER, SEED_BEFORE, SEED_BEGUN, SEED_DONE};

use crate::bpf::load::Loaded;
use crate::bpf::pod::PendingPod;
use crate::host::namespaces::Namespaces;

/// The maximum number of repeated runs: enough for the longest possible queue.
const MOST_RUNS: usize = 1 << 9;

/// Scans before the programs start. Returns the namespaces that could not be scanned, as text.
pub(crate) fn before(loaded: &mut Loaded, namespaces: &Namespaces) -> Result<Vec<String>> {
    if loaded.on_tracepoints() {
        loaded.maps.crowded.set(0, 1, 0).context("choosing the table of connections")?;
    }
    if !loaded.looks_into_queues() {
        return Ok(Vec::new());
    }
    loaded.maps.seed.set(0, SEED_BEFORE, 0).context("preparing the startup scan of the queues")?;
    look(loaded, namespaces, &online(Path::new("/")))
}

/// Runs right after the start: namespaces that are created from now on are known to have counters
/// that begin at zero.
pub(crate) fn begun(loaded: &mut Loaded) -> Result<()> {
    if !loaded.looks_into_queues() {
        return Ok(());
    }
    loaded.maps.seed.set(0, SEED_BEGUN, 0).context("preparing the startup scan of the queues")?;
    let mut file = loaded.iterator()?.into_file().context("starting the iterator")?;
    goes_on(&mut file).context("reading the iterator")?;
    loaded.maps.seed.set(0, SEED_DONE, 0).context("preparing the startup scan of the queues")
}

/// Scans after the start. Accepts before it do not belong to the run: tracked connections that have
/// left their queue since the first scan are removed.
pub(crate) fn after(loaded: &mut Loaded, namespaces: &Namespaces) -> Result<Vec<String>> {
    if !loaded.looks_into_queues() {
        return Ok(Vec::new());
    }
    let setting = "preparing the startup scan of the queues";
    loaded.maps.seed.set(0, SEED_AFTER, 0).context(setting)?;
    let failures = look(loaded, namespaces, &[])?;
    let gone: Vec<u64> = loaded
        .maps
        .pending
        .iter()
        .filter_map(Result::ok)
        .filter(|(_, PendingPod(entry))| entry.enqueued_ns == 0 && entry.expected == SEED_BEFORE)
        .map(|(key, _)| key)
        .collect();
    for key in gone {
        // An accept may have removed it first.
        let _ = loaded.maps.pending.remove(&key);
    }
    loaded.maps.seed.set(0, SEED_DONE, 0).context(setting)?;
    Ok(failures)
}

/// Runs the iterator in each namespace until it has seen every queue to its end.
fn look(loaded: &mut Loaded, namespaces: &Namespaces, cpus: &[usize]) -> Result<Vec<String>> {
    let failures = run(loaded, namespaces, cpus)?;
    let mut left = failures.more;
    for _ in 0..MOST_RUNS {
        if left.is_empty() {
            break;
        }
        left = run(loaded, &namespaces.only(&left), &[])?.more;
    }
    Ok(failures.failures)
}

/// The result of one pass over the namespaces.
#[derive(Default)]
struct ScanPass {
    /// Namespaces with a queue that was not read to its end.
    more: Vec<u32>,
    /// The namespaces that could not be scanned, as text.
    failures: Vec<String>,
}

/// Runs the iterator in each namespace, on each of these CPUs; on any CPU if the list is empty.
fn run(loaded: &mut Loaded, namespaces: &Namespaces, cpus: &[usize]) -> Result<ScanPass> {
    let mut run = ScanPass::default();
    for netns in namespaces.inodes() {
        let mut runs = Vec::new();
        for cpu in cpus.iter().copied().map(Some).chain(cpus.is_empty().then_some(None)) {
            runs.push((cpu, loaded.iterator()?));
        }
        let looked = namespaces.inside(netns, move || {
            let mut more = false;
            for (cpu, link) in runs {
                if let Some(cpu) = cpu {
                    move_to(cpu)?;
                }
                let mut file = link.into_file().context("starting the iterator")?;
                more |= goes_on(&mut file).context("reading the iterator")?;
            }
            Ok(more)
        });
        match looked {
            Ok(true) => run.more.push(netns),
            Ok(false) => {}
            Err(error) => {
                run.failures.push(format!("the queues of network namespace {netns}: {error:#}"));
            }
        }
    }
    Ok(run)
}

/// Reads the iterator's output byte by byte, so that it stops after the listeners. Returns true if
/// a queue was not read to its end.
fn goes_on(file: &mut impl io::Read) -> io::Result<bool> {
    let mut more = false;
    let mut byte = [0];
    while file.read(&mut byte)? != 0 && byte != [ITER_DONE] {
        more |= byte == [ITER_MORE];
    }
    Ok(more)
}

/// Moves this thread to a CPU. A CPU that may not be used is skipped; the programs take their first
/// snapshot there later.
fn move_to(cpu: usize) -> Result<()> {
    // SAFETY: an all-zero set is a valid empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= 8 * size_of::<libc::cpu_set_t>() {
        return Ok(());
    }
    // SAFETY: `cpu` is within the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is a local of the size given; zero is this thread.
    if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } != 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINVAL) {
            return Err(error).context("moving to a CPU");
        }
    }
    Ok(())
}

/// The CPUs that are online.
fn online(root: &Path) -> Vec<usize> {
    let text = read_to_string(root.join("sys/devices/system/cpu/online")).unwrap_or_default();
    let mut cpus = parse_list(&text);
    if cpus.is_empty() {
        cpus = (0..std::thread::available_parallelism().map_or(1, usize::from)).collect();
    }
    cpus
}

/// Parses a list like `0-3,8`, as the kernel writes it.
fn parse_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::parse_list;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(parse_list("0-2,8\n"), [0, 1, 2, 8]);
        assert_eq!(parse_list("0\n"), [0]);
        assert!(parse_list("").is_empty());
    }
}
