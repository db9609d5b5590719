//! Kernel probes by `perf_event_open(2)`, as loaders attach them.

use std::ffi::CStr;
use std::fs;
use std::io::Error;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};

use crate::bpf::{owned, size_of_u32};

const TYPE: &str = "/sys/bus/event_source/devices/kprobe/type";
const RETPROBE: &str = "/sys/bus/event_source/devices/kprobe/format/retprobe";

// From include/uapi/linux/perf_event.h.
const IOC_ENABLE: libc::Ioctl = 0x2400;
const IOC_SET_BPF: libc::Ioctl = 0x4004_2408;
const FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// `struct perf_event_attr` in its second version, which is long enough.
#[repr(C)]
#[derive(Default)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    bp_type: u32,
    /// The name of the function.
    config1: u64,
    /// The offset from its start.
    config2: u64,
}

/// Attaches `program` to a function's start or return; detached when closed.
pub(super) fn probe(function: &CStr, returns: bool, program: &OwnedFd) -> Result<OwnedFd> {
    let kind = read(TYPE)?.trim().parse().with_context(|| format!("{TYPE} is no number"))?;
    let config = if returns { 1 << retprobe_bit()? } else { 0 };
    let attr = Attr {
        kind,
        size: size_of_u32::<Attr>(),
        config,
        config1: function.as_ptr().expose_provenance() as u64,
        ..Attr::default()
    };
    // SAFETY: `attr` is live and says its size; the name in it is a C string that
    // outlives the call. The rest are numbers: any process, CPU 0, no group.
    let event = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, 0, -1, FLAG_FD_CLOEXEC)
    };
    if event < 0 {
        return Err(Error::last_os_error()).context("perf_event_open");
    }
    let event = owned(event)?;
    for (request, value) in [(IOC_SET_BPF, program.as_raw_fd()), (IOC_ENABLE, 0)] {
        // SAFETY: both requests take a number, and both descriptors are open.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, value) } != 0 {
            return Err(Error::last_os_error()).context("cannot give the probe its program");
        }
    }
    Ok(event)
}

/// Parses a file that contains `config:0`.
fn retprobe_bit() -> Result<u32> {
    let text = read(RETPROBE)?;
    let bit = text.trim().strip_prefix("config:").and_then(|bit| bit.parse().ok());
    bit.with_context(|| format!("{RETPROBE} says {text:?}"))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path} (no kprobes here?)"))
}
