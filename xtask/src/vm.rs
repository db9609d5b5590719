//! `cargo xtask vm`: runs a command as root in a freshly booted kernel, and passes on its output
//! and exit status. Other tasks use `boot`. `image` creates the root, and `qemu` boots it.

mod console;
mod image;
mod list;
mod qemu;
mod saved;
mod signs;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

pub(crate) use console::ConsoleLog;
pub(crate) use image::Added;
use qemu::Machine;
pub(crate) use qemu::{Emulation, Outcome, Sinks, Verdict};
pub(crate) use saved::{Both, Saved};

use crate::build::{self, Profile};
use crate::kernels::{Kernel, Kernels};
use crate::setup::Need;
use crate::{process, servers, setup};

/// The default number of virtual CPUs.
pub(crate) const CPUS: u32 = 2;
/// The default memory in MiB.
pub(crate) const MEMORY: u32 = 1024;

/// Booting takes 2 to 9 s.
const BOOT_LIMIT: Duration = Duration::from_secs(45);
/// A large image takes longer: at most a second for this many bytes.
const UNPACKED_IN_A_SECOND: u64 = 4 << 20;
const ATTEMPTS: u32 = 3;

/// The arguments of `vm`.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are command line flags")]
pub(crate) struct Args {
    /// List the kernels, and whether they are downloaded
    #[arg(long)]
    list: bool,
    /// 5.10, 6.1, 6.12, 6.18, 7.x, newest, a version like 6.1.192, or a vmlinuz file
    #[arg(long, required_unless_present = "list")]
    kernel: Option<String>,
    /// Virtual CPUs (default: 2, with --icount 1)
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = MEMORY)]
    memory: u32,
    /// A clock that counts instructions: exact costs, the same in each run with one CPU
    #[arg(long)]
    icount: bool,
    /// Run each virtual CPU in a thread: more races, and occasional crashes by the emulator
    #[arg(long, conflicts_with = "icount")]
    parallel: bool,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECS", default_value_t = 120)]
    timeout: u64,
    /// A file to put into the guest, with its mode
    #[arg(long, value_name = "HOSTFILE=GUESTPATH", value_parser = parse_added)]
    add: Vec<Added>,
    /// Mount the root of the tests' servers (nginx and others) at /disk
    #[arg(long)]
    servers: bool,
    /// Copy the kernel's console to stderr
    #[arg(long)]
    console: bool,
    /// Use the programs of the last build
    #[arg(long)]
    no_build: bool,
    /// What to run, and its arguments
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "list")]
    command: Vec<OsString>,
}

/// What to run, and in which guest.
pub(crate) struct Guest<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) cpus: u32,
    pub(crate) memory: u32,
    pub(crate) emulation: Emulation,
    pub(crate) limit: Duration,
    /// The guest hangs if its output stops for this long.
    pub(crate) quiet_limit: Option<Duration>,
    pub(crate) added: &'a [Added],
    /// A file system image, which the guest mounts read-only at /disk. Unlike added files, it takes
    /// no memory, and time only when it is read.
    pub(crate) disk: Option<&'a Path>,
    pub(crate) command: &'a [OsString],
}

/// Runs `vm`. Returns the exit status of the guest's command, or 2.
pub(crate) fn command(args: Args) -> Result<u8> {
    let Args {
        list,
        kernel,
        cpus,
        memory,
        icount,
        parallel,
        timeout,
        add,
        servers,
        console,
        no_build,
        command,
    } = args;
    if list {
        return list::command();
    }
    let wanted = kernel.context("--kernel is missing")?;
    setup::look()?.require(Need::Guests)?;
    let kernel = Kernels::open()?.obtain(&wanted)?;
    let mut added: Vec<Added> =
        programs(no_build)?.iter().map(|file| Added::program(file)).collect();
    added.extend(add);
    let disk = if servers { Some(servers::obtain()?.disk) } else { None };
    let guest = Guest {
        kernel: &kernel,
        cpus: cpus.unwrap_or(if icount { 1 } else { CPUS }),
        memory,
        emulation: match (icount, parallel) {
            (true, _) => Emulation::Counting,
            (false, true) => Emulation::Parallel,
            (false, false) => Emulation::InTurn,
        },
        limit: Duration::from_secs(timeout),
        quiet_limit: None,
        added: &added,
        disk: disk.as_deref(),
        command: &command,
    };
    let log = ConsoleLog::new(&kernel)?;
    let sinks = || -> Result<Sinks> {
        let mut to: Vec<Box<dyn Write + Send>> = vec![Box::new(log.writer()?)];
        if console {
            to.push(Box::new(io::stderr()));
        }
        Ok(Sinks {
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            console: Box::new(Tee(to)),
        })
    };
    let outcome = boot(&guest, sinks)?;
    // Like any filter whose reader has closed the pipe.
    if let Verdict::SinkFailed(error) = &outcome.verdict
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        return Ok(0);
    }
    match describe(&guest, &outcome) {
        Ok(status) => Ok(status),
        Err(error) => {
            if !console {
                eprint!("{}", log.tail());
            }
            Err(error.context(format!("kernel {} (console: {})", kernel.name, log.path.display())))
        }
    }
}

/// Boots the guest and waits for its end. A kernel that did not come up is booted again: with a
/// thread for each virtual CPU, one boot in some 30 hangs or crashes early under QEMU 7.2. The
/// command has not started by then, so nothing is lost.
pub(crate) fn boot(guest: &Guest<'_>, sinks: impl Fn() -> Result<Sinks>) -> Result<Outcome> {
    let Guest { kernel, cpus, memory, emulation, limit, quiet_limit, added, disk, command } = guest;
    let initramfs = image::write(kernel, added, disk.is_some(), command)?;
    let size = initramfs.metadata().context("cannot inspect the initramfs")?.len();
    let unpacking = Duration::from_secs(size / UNPACKED_IN_A_SECOND);
    let machine = Machine {
        vmlinuz: kernel.vmlinuz.clone(),
        initramfs,
        disk: disk.map(Path::to_path_buf),
        cpus: *cpus,
        memory: *memory,
        emulation: *emulation,
        limit: *limit,
        boot_limit: BOOT_LIMIT + unpacking,
        quiet_limit: *quiet_limit,
    };
    let mut attempt = 1;
    loop {
        let outcome = qemu::run(&machine, sinks()?)?;
        let trouble = match &outcome.verdict {
            Verdict::NotUp => "hung",
            Verdict::Crashed(_) if outcome.boot.is_none() => "crashed",
            _ => return Ok(outcome),
        };
        if attempt == ATTEMPTS {
            return Ok(outcome);
        }
        attempt += 1;
        process::say(&format!(
            "kernel {} {trouble} while booting; attempt {attempt} of {ATTEMPTS}",
            kernel.name
        ));
    }
}

/// Did the guest crash because of the emulator?
pub(crate) fn is_emulators_fault(outcome: &Outcome) -> bool {
    matches!(&outcome.verdict, Verdict::Crashed(line) if signs::is_emulators_fault(line))
}

/// The exit status of the command; otherwise fails with the reason why there is none.
pub(crate) fn describe(guest: &Guest<'_>, outcome: &Outcome) -> Result<u8> {
    let Outcome { verdict, boot, total } = outcome;
    let reached = match boot {
        Some(boot) => format!("the command had started after {:.1} s", boot.as_secs_f64()),
        None => "the command had not started".to_owned(),
    };
    match verdict {
        Verdict::Ended(status) => {
            let boot = boot.unwrap_or_default().as_secs_f64();
            process::say(&format!(
                "kernel {}: status {status}; up after {boot:.1} s, done after {:.1} s",
                guest.kernel.name,
                total.as_secs_f64()
            ));
            Ok(*status)
        }
        Verdict::Crashed(line) => bail!("the guest's kernel crashed ({reached}): {line}"),
        Verdict::TimedOut => {
            bail!("time limit: no end within {} s ({reached})", guest.limit.as_secs())
        }
        Verdict::Silent => {
            let seconds = guest.quiet_limit.unwrap_or_default().as_secs();
            bail!("it hangs: no output for {seconds} s ({reached})")
        }
        Verdict::NotUp => {
            bail!("the kernel did not come up in time ({ATTEMPTS} times)")
        }
        Verdict::NoStatus { qemu } => {
            bail!("the guest ended without a status ({reached}) {}", qemu.trim())
        }
        Verdict::Truncated => bail!("a part of the guest's output did not arrive ({reached})"),
        Verdict::SinkFailed(error) => bail!("cannot write the guest's output: {error}"),
    }
}

/// Our programs for the guest, built now or earlier.
fn programs(no_build: bool) -> Result<Vec<PathBuf>> {
    if no_build { Ok(build::existing(Profile::Checked)) } else { Ok(build::checked_programs()?.0) }
}

struct Tee(Vec<Box<dyn Write + Send>>);

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for sink in &mut self.0 {
            sink.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.iter_mut().try_for_each(Write::flush)
    }
}

fn parse_added(text: &str) -> Result<Added, String> {
    match text.split_once('=') {
        Some((host, guest)) if !host.is_empty() && guest.starts_with('/') => {
            Ok(Added { host: PathBuf::from(host), guest: guest.to_owned() })
        }
        _ => Err("expected HOSTFILE=/GUEST/PATH".to_owned()),
    }
}
