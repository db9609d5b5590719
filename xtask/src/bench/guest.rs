//! Runs `backlog-bench` in a guest whose clock counts instructions, with the root of the other
//! tracers next to it.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::rivals::Rivals;
use super::rows::Rows;
use crate::backend::Backend;
use crate::kernels::{Kernel, Kernels};
use crate::vm::{self, Added, Both, ConsoleLog, Emulation, Guest, Saved, Sinks};
use crate::{paths, process};

/// Half of it may hold files. The other tracers have some 350 MB of them, which exist twice while
/// the guest boots.
pub(super) const MEMORY: u32 = 3072;
/// A guest with all tracers takes some minutes.
const LIMIT: Duration = Duration::from_mins(25);
/// How long a tracer may take to start, in seconds of the guest. Each is a thousand million
/// instructions, which take some ten seconds here.
pub(super) const START_LIMIT: &str = "20";
/// The number of rounds with `--quick`.
pub(super) const FEW: &str = "4";

/// What to measure.
pub(super) struct Bench<'a> {
    pub(super) programs: &'a [PathBuf],
    pub(super) rivals: Option<&'a Rivals>,
    pub(super) backends: &'a [Backend],
    pub(super) only: &'a [String],
    pub(super) tracers: &'a [String],
    pub(super) quick: bool,
}

impl Bench<'_> {
    /// Measures in one kernel.
    pub(super) fn run(&self, kernel: &Kernel) -> Result<Rows> {
        let headers_of = (!self.quick).then_some(kernel);
        let added = added(self.programs, self.rivals, headers_of);
        let words = self.words();
        measure(&Booted { kernel, cpus: 1, memory: MEMORY, limit: LIMIT, added: &added }, &words)
    }

    fn words(&self) -> Vec<&str> {
        let mut words = vec!["--start-limit", START_LIMIT];
        if self.quick {
            words.extend(["--rounds", FEW, "--skip", "(bcc)"]);
        }
        for backend in self.backends {
            words.extend(["--backend", backend.name()]);
        }
        for scenario in self.only {
            words.extend(["--only", scenario]);
        }
        for tracer in self.tracers {
            words.extend(["--tracer", tracer]);
        }
        words
    }
}

/// The parts of a guest.
pub(super) struct Booted<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) cpus: u32,
    pub(super) memory: u32,
    pub(super) limit: Duration,
    pub(super) added: &'a [Added],
}

/// Runs `backlog-bench` with these arguments in a guest whose clock counts instructions.
pub(super) fn measure(booted: &Booted<'_>, words: &[&str]) -> Result<Rows> {
    let Booted { kernel, cpus, memory, limit, added } = *booted;
    let command: Vec<OsString> =
        ["backlog-bench"].iter().chain(words).map(OsString::from).collect();
    let guest = Guest {
        kernel,
        cpus,
        memory,
        emulation: Emulation::Counting,
        limit,
        quiet_limit: None,
        added,
        disk: None,
        command: &command,
    };
    let (out, err) = (Saved::default(), Saved::default());
    let log = ConsoleLog::new(kernel)?;
    let outcome = vm::boot(&guest, || {
        let shown = Both(out.clone(), err.clone());
        Ok(Sinks {
            stdout: Box::new(shown),
            stderr: Box::new(err.clone()),
            console: Box::new(log.writer()?),
        })
    })?;
    let status = vm::describe(&guest, &outcome)
        .with_context(|| format!("console: {}\n{}", log.path.display(), err.text()))?;
    ensure!(status == 0, "backlog-bench failed with status {status}:\n{}", err.text());
    process::say(&format!("measured in kernel {}", kernel.name));
    Rows::parse(&out.text())
}

/// Our programs, and the root of the other tracers with their dependencies.
pub(super) fn added(
    programs: &[PathBuf],
    rivals: Option<&Rivals>,
    headers_of: Option<&Kernel>,
) -> Vec<Added> {
    let mut added: Vec<Added> = programs.iter().map(|file| Added::program(file)).collect();
    if let Some(Rivals { root, .. }) = rivals {
        added.push(Added { host: root.clone(), guest: "/rivals".to_owned() });
        let scripts = paths::root().join("tests/bench");
        added.push(Added { host: scripts, guest: "/rivals/bench".to_owned() });
        added.extend(headers_of.into_iter().flat_map(headers));
    }
    added
}

/// The headers that bcc needs; all of the packages would fill the memory.
const HEADERS: [&str; 2] = ["include", "arch/x86"];

/// The kernel's headers, for bcc. Without them, bcc reports that itself.
fn headers(kernel: &Kernel) -> Vec<Added> {
    find_headers(kernel).unwrap_or_else(|error| {
        process::say(&format!("no headers of kernel {} for bcc: {error:#}", kernel.name));
        Vec::new()
    })
}

fn find_headers(kernel: &Kernel) -> Result<Vec<Added>> {
    let folder = Kernels::open()?.headers(&kernel.name)?;
    let links = folder.join("modules");
    let mut added = vec![Added { host: links, guest: "/rivals/usr/lib/modules".to_owned() }];
    let src = folder.join("src");
    let packages = fs::read_dir(&src).with_context(|| format!("cannot read {}", src.display()))?;
    for package in packages {
        let package = package.with_context(|| format!("cannot read {}", src.display()))?;
        let name = package.file_name();
        let to = format!("/rivals/usr/src/{}", name.to_string_lossy());
        let parts = HEADERS.map(|part| (package.path().join(part), format!("{to}/{part}")));
        added.extend(
            parts
                .into_iter()
                .filter(|(host, _)| host.is_dir())
                .map(|(host, guest)| Added { host, guest }),
        );
    }
    Ok(added)
}
