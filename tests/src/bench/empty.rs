//! Empty programs of two instructions, attached by raw bpf(2): the cost of an attach type by
//! itself. No library is used, so none is measured.

use std::ffi::CString;
use std::io::Error;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};

use super::perf;
use super::types::Types;
use crate::bpf::{bpf, owned};

// From include/uapi/linux/bpf.h.
const PROG_LOAD: libc::c_long = 5;
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const TYPE_KPROBE: u32 = 2;
const TYPE_TRACING: u32 = 26;
const TRACE_RAW_TP: u32 = 23;
const TRACE_FENTRY: u32 = 24;
const TRACE_FEXIT: u32 = 25;

/// `r0 = 0; exit`.
const EMPTY: [u64; 2] = [0xb7, 0x95];

/// An attach type and its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Fentry(&'static str),
    Fexit(&'static str),
    Kprobe(&'static str),
    Kretprobe(&'static str),
    TpBtf(&'static str),
}

/// An attached program, which is detached on drop.
#[derive(Debug)]
pub(super) struct Attached {
    /// The descriptor of the link or perf event, closed before the program.
    _link: OwnedFd,
    _program: OwnedFd,
}

impl Hook {
    /// The name in the table.
    pub(super) fn name(self) -> String {
        let (way, what) = match self {
            Self::Fentry(function) => ("fentry", function),
            Self::Fexit(function) => ("fexit", function),
            Self::Kprobe(function) => ("kprobe", function),
            Self::Kretprobe(function) => ("kretprobe", function),
            Self::TpBtf(tracepoint) => ("tp_btf", tracepoint),
        };
        format!("{way} {what}")
    }

    /// Loads an empty program and attaches it.
    pub(super) fn attach(self, types: &Types) -> Result<Attached> {
        self.try_attach(types).with_context(|| self.name())
    }

    fn try_attach(self, types: &Types) -> Result<Attached> {
        let (attach_type, id) = match self {
            Self::Fentry(function) => (TRACE_FENTRY, types.function(function)?),
            Self::Fexit(function) => (TRACE_FEXIT, types.function(function)?),
            Self::TpBtf(tracepoint) => (TRACE_RAW_TP, types.tracepoint(tracepoint)?),
            Self::Kprobe(function) => return probe(function, false),
            Self::Kretprobe(function) => return probe(function, true),
        };
        let program = load(TYPE_TRACING, attach_type, id)?;
        let mut attr = RawTracepoint { name: 0, program: fd_of(&program), _pad: 0 };
        let link = bpf(RAW_TRACEPOINT_OPEN, &mut attr).and_then(owned);
        Ok(Attached { _link: link.map_err(because).context("cannot attach")?, _program: program })
    }
}

/// The kernel's error number for "not supported", which the C library has no text for.
const ENOTSUPP: i32 = 524;

fn because(error: Error) -> anyhow::Error {
    if error.raw_os_error() == Some(ENOTSUPP) {
        anyhow::anyhow!("the kernel does not support it (error 524)")
    } else {
        error.into()
    }
}

fn probe(function: &str, returns: bool) -> Result<Attached> {
    let program = load(TYPE_KPROBE, 0, 0)?;
    let function = CString::new(function).context("a name with a zero byte")?;
    let event = perf::probe(&function, returns, &program).context("cannot attach")?;
    Ok(Attached { _link: event, _program: program })
}

/// `union bpf_attr` for `PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
    btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_program: u32,
    _pad: u32,
}

/// `union bpf_attr` for `RAW_TRACEPOINT_OPEN`.
#[repr(C)]
struct RawTracepoint {
    name: u64,
    program: u32,
    _pad: u32,
}

fn load(kind: u32, attach_type: u32, attach_btf_id: u32) -> Result<OwnedFd> {
    let license = c"GPL";
    let mut name = [0; 16];
    name[..5].copy_from_slice(b"empty");
    let mut attr = Load {
        kind,
        count: 2,
        instructions: EMPTY.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        name,
        attach_type,
        attach_btf_id,
        ..Load::default()
    };
    bpf(PROG_LOAD, &mut attr).and_then(owned).map_err(because).context("cannot load")
}

fn fd_of(file: &OwnedFd) -> u32 {
    file.as_raw_fd().cast_unsigned()
}
