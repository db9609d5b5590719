//! `cargo xtask demo`: traces an overloaded server, in a network namespace on this machine if its
//! kernel permits it, otherwise in a guest. The output is the tool's own.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::build;
use crate::kernels::{Kernel, Kernels, MATRIX};
use crate::native::{self, Native};
use crate::setup::Need;
use crate::vm::{self, Added, ConsoleLog, Emulation, Guest, Sinks};
use crate::{apart, process, setup};

/// The arguments of `demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// In a guest, even if this machine's kernel permits tracing
    #[arg(long)]
    guest: bool,
}

/// A server with a short queue that accepts more slowly than its clients arrive.
const DEMO: [&str; 7] = [
    "backlog-trace",
    "--port",
    "8000",
    "--duration",
    "15s",
    "--cmd",
    "backlog-load --port 8000 --backlog 16 --rate 200 --duration 12s --accept-delay 8ms --clients 64",
];

/// The kernel to boot, if this machine's kernel does not permit tracing.
const PREFERRED: &str = "6.12";

/// Runs the demo. Returns the tool's exit status.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let report = setup::ensure()?;
    let programs = build::checked_programs()?.0;
    if !args.guest {
        let tool = build::tool(&programs)?;
        match native::look(tool, None) {
            Ok(Native { kernel, backend }) => {
                process::say(&format!("running here, in kernel {kernel}, by {backend}"));
                return here(tool);
            }
            Err(error) => process::say(&format!("not possible here: {error:#}")),
        }
    }
    report.require(Need::Guests)?;
    guest(&programs)
}

fn here(tool: &Path) -> Result<u8> {
    let mut command = Command::new(tool);
    command.args(DEMO.iter().skip(1));
    let _alone = native::alone()?;
    // The load program is next to the tool.
    if let Some(folder) = tool.parent() {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", folder.display()));
    }
    process::announce(&command);
    apart::own_network(&mut command);
    let status =
        command.status().with_context(|| format!("cannot start: {}", process::line(&command)))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2))
}

fn guest(programs: &[PathBuf]) -> Result<u8> {
    let kernel = kernel()?;
    process::say(&format!(
        "running in a guest, in kernel {}; the tool's first line names the backend",
        kernel.name
    ));
    let added: Vec<Added> = programs.iter().map(|file| Added::program(file)).collect();
    let guest = Guest {
        kernel: &kernel,
        cpus: vm::CPUS,
        memory: vm::MEMORY,
        emulation: Emulation::InTurn,
        limit: Duration::from_mins(2),
        quiet_limit: None,
        added: &added,
        disk: None,
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

/// The preferred kernel if it is on disk, or else the newest on disk. If there is none, the
/// preferred one is downloaded.
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
