//! `cargo xtask demo`: the tracer at work on an overloaded server, here if
//! this kernel permits it, else in a guest. What is shown is the tool's own.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::kernels::{Kernel, Kernels, MATRIX};
use crate::setup::Need;
use crate::vm::{self, Added, ConsoleLog, Emulation, Guest, Sinks};
use crate::{build, process, setup};

/// A server whose accept is slower than its clients come, with a short queue.
const DEMO: [&str; 7] = [
    "backlog-trace",
    "--port",
    "8000",
    "--duration",
    "15s",
    "--cmd",
    "backlog-load --port 8000 --backlog 16 --rate 200 --duration 12s --accept-delay 8ms --clients 64",
];

/// Does the tool work here at all? It ends by itself at once if it does.
const PROBE: [&str; 3] = ["--duration", "0.1s", "-q"];
const PROBE_LIMIT: Duration = Duration::from_secs(15);

/// The kernel to boot, if need be and if it is downloaded.
const PREFERRED: &str = "6.12";

/// Runs the demo; the status is the tool's own.
pub(crate) fn command() -> Result<u8> {
    let report = setup::ensure()?;
    let programs = build::static_programs()?;
    let tool = build::tool(&programs)?;
    if works_here(tool) {
        process::say("this kernel permits tracing: running here");
        return here(tool);
    }
    process::say("tracing is not possible here (see above): booting a kernel that permits it");
    report.require(Need::Guests)?;
    guest(&programs)
}

fn here(tool: &Path) -> Result<u8> {
    let mut command = Command::new(tool);
    command.args(DEMO.iter().skip(1));
    // The load program lies beside the tool.
    if let Some(folder) = tool.parent() {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", folder.display()));
    }
    process::announce(&command);
    let status =
        command.status().with_context(|| format!("cannot start: {}", process::line(&command)))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2))
}

fn guest(programs: &[PathBuf]) -> Result<u8> {
    let kernel = kernel()?;
    let added: Vec<Added> = programs.iter().map(|file| Added::program(file)).collect();
    let guest = Guest {
        kernel: &kernel,
        cpus: vm::CPUS,
        memory: vm::MEMORY,
        emulation: Emulation::InTurn,
        limit: Duration::from_mins(2),
        quiet_limit: None,
        added: &added,
        command: &DEMO.map(OsString::from),
    };
    let log = ConsoleLog::new(&kernel)?;
    let sinks = || -> Result<Sinks> {
        Ok(Sinks {
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            console: Box::new(log.writer()?),
        })
    };
    let outcome = vm::boot(&guest, sinks)?;
    vm::describe(&guest, &outcome)
        .with_context(|| format!("kernel {} (console: {})", kernel.name, log.path.display()))
}

/// The preferred kernel, or the newest that is on disk; else the preferred is
/// downloaded.
fn kernel() -> Result<Kernel> {
    let kernels = Kernels::open()?;
    for series in [PREFERRED].iter().chain(MATRIX.iter().rev()) {
        if let Some(choice) = kernels.choose(series)?
            && kernels.is_here(&choice)
        {
            process::say(&format!("kernel {}: on disk already", choice.version));
            return kernels.obtain_choice(&choice);
        }
    }
    kernels.obtain(PREFERRED)
}

fn works_here(tool: &Path) -> bool {
    let mut command = Command::new(tool);
    command.args(PROBE).stdin(Stdio::null()).stdout(Stdio::null());
    process::announce(&command);
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    let start = Instant::now();
    while start.elapsed() < PROBE_LIMIT {
        if let Ok(Some(status)) = child.try_wait() {
            return status.success();
        }
        thread::sleep(Duration::from_millis(20));
    }
    // An error means that it has just ended.
    let _ = child.kill();
    let _ = child.wait();
    false
}
