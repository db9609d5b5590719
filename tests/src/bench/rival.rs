//! The measured tracers, and how each is started. Those of others are in a root folder with their
//! libraries and our scripts.

use std::path::Path;
use std::process::Command;

use super::stage::PORT;

/// The root folder of the other tracers in the guest.
const ROOT: &str = "/rivals";
/// The folder of our bpftrace scripts within that root.
const SCRIPTS: &str = "/bench";

/// A tracer, with the name of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rival {
    pub(super) name: &'static str,
    /// How to start it: the best way first, then others for kernels where that fails.
    pub(super) ways: &'static [Way],
}

/// How a tracer is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The tool, with this backend.
    Ours(&'static str),
    /// A program in the root of the other tracers, with its arguments.
    Theirs(&'static [&'static str]),
    /// A script for bpftrace.
    Script(&'static str),
}

const fn rival(name: &'static str, ways: &'static [Way]) -> Rival {
    Rival { name, ways }
}

/// All tracers, in the order of the table.
pub(super) const RIVALS: [Rival; 6] = [
    rival("backlog-trace fentry", &[Way::Ours("fentry")]),
    rival("backlog-trace kprobe", &[Way::Ours("kprobe")]),
    rival("backlog-trace tracepoint", &[Way::Ours("tracepoint")]),
    rival("tcpsynbl (libbpf-tools)", &[Way::Theirs(&["/usr/sbin/tcpsynbl-libbpf"])]),
    rival(
        "bpftrace script",
        &[
            Way::Script("accept_queue.bt"),
            Way::Script("accept_queue_behind.bt"),
            Way::Script("accept_queue_kprobe.bt"),
        ],
    ),
    rival("tcpsynbl (bcc)", &[Way::Theirs(&["/usr/bin/python3", "/usr/sbin/tcpsynbl-bpfcc"])]),
];

impl Way {
    /// The backend, if this is the tool.
    pub(super) fn backend(self) -> Option<&'static str> {
        match self {
            Self::Ours(backend) => Some(backend),
            _ => None,
        }
    }

    /// The name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours(backend) => backend,
            Self::Theirs(words) => words.last().copied().unwrap_or_default(),
            Self::Script(file) => file,
        }
    }

    /// Its command line.
    pub(super) fn command(self) -> Command {
        let port = PORT.to_string();
        match self {
            Self::Ours(backend) => {
                let mut command = Command::new("backlog-trace");
                command.args(["--port", &port, "-q", "-o", "json", "--backend", backend]);
                command
            }
            Self::Theirs(words) => {
                let mut command = inside();
                command.args(words);
                command
            }
            Self::Script(file) => {
                let mut command = inside();
                command.arg("/usr/bin/bpftrace").arg(format!("{SCRIPTS}/{file}")).arg(port);
                command
            }
        }
    }

    /// Does it print a line on stdout once it traces?
    pub(super) fn says_so(self) -> bool {
        matches!(self, Self::Ours(_))
    }

    /// Can it be measured here?
    pub(super) fn is_here(self) -> bool {
        matches!(self, Self::Ours(_)) || Path::new(ROOT).exists()
    }
}

/// busybox's chroot calls exec, so the program stays our child.
fn inside() -> Command {
    let mut command = Command::new("chroot");
    command.arg(ROOT).env("PATH", "/usr/sbin:/usr/bin").env("PYTHONUNBUFFERED", "1");
    command
}

/// Mounts the kernel's file systems in that root.
pub(super) fn mount() -> std::io::Result<()> {
    if !Path::new(ROOT).exists() {
        return Ok(());
    }
    for (from, to) in
        [(c"/proc", c"/rivals/proc"), (c"/sys", c"/rivals/sys"), (c"/dev", c"/rivals/dev")]
    {
        std::fs::create_dir_all(to.to_string_lossy().as_ref())?;
        // SAFETY: two C strings that outlive the call, and nothing else to point to.
        let done = unsafe {
            libc::mount(
                from.as_ptr(),
                to.as_ptr(),
                std::ptr::null(),
                libc::MS_BIND | libc::MS_REC,
                std::ptr::null(),
            )
        };
        if done != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
