//! Lists the BPF programs in the kernel and how often each ran, by raw bpf(2): to see what a tool
//! has attached and that it leaves none behind, without trusting the tool or its library.

use std::io::{Error, Result};
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::c_long;

// Commands of bpf(2), from include/uapi/linux/bpf.h.
const PROG_GET_NEXT_ID: c_long = 11;
const PROG_GET_FD_BY_ID: c_long = 13;
const OBJ_GET_INFO_BY_FD: c_long = 15;
const ENABLE_STATS: c_long = 32;

/// A loaded program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// The kernel's ID of the program.
    pub id: u32,
    /// Its name, cut to 15 bytes by the kernel.
    pub name: String,
    /// How often it ran while runs were counted (see [`count_runs`]).
    pub runs: u64,
}

/// All currently loaded programs, by rising ID.
///
/// # Errors
/// When not permitted (`CAP_SYS_ADMIN` or `CAP_BPF` is needed).
pub fn programs() -> Result<Vec<Program>> {
    let mut found = Vec::new();
    let mut id = 0;
    while let Some(next) = next_id(id)? {
        id = next;
        // The program may have been unloaded between the two calls.
        match look_at(id) {
            Ok(program) => found.push(program),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Makes the kernel count how often each program runs, until the descriptor is closed.
///
/// # Errors
/// When not permitted, or before Linux 5.8.
pub fn count_runs() -> Result<OwnedFd> {
    // The only kind of statistics: run time and count.
    let mut kind = 0_u32;
    owned(bpf(ENABLE_STATS, &mut kind)?)
}

/// `union bpf_attr` for the commands that take or return an ID.
#[repr(C)]
#[derive(Default)]
struct IdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// `union bpf_attr` for `OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttr {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct bpf_prog_info` up to the run count: the kernel fills what fits. The counts and addresses
/// stay 0, so that it returns none of the lists.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_prog_len: u32,
    xlated_prog_len: u32,
    jited_prog_insns: u64,
    xlated_prog_insns: u64,
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    name: [u8; 16],
    ifindex: u32,
    gpl_compatible: u32,
    netns: [u64; 2],
    nr_jited: [u32; 2],
    jited: [u64; 2],
    btf_id: u32,
    func_info_rec_size: u32,
    func_info: u64,
    nr_info: [u32; 2],
    line_info: [u64; 2],
    nr_jited_line_info: u32,
    rec_sizes: [u32; 2],
    nr_prog_tags: u32,
    prog_tags: u64,
    run_time_ns: u64,
    run_cnt: u64,
}

fn next_id(after: u32) -> Result<Option<u32>> {
    let mut attr = IdAttr { id: after, ..IdAttr::default() };
    match bpf(PROG_GET_NEXT_ID, &mut attr) {
        Ok(_) => Ok(Some(attr.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn look_at(id: u32) -> Result<Program> {
    let mut by_id = IdAttr { id, ..IdAttr::default() };
    let program = owned(bpf(PROG_GET_FD_BY_ID, &mut by_id)?)?;
    let mut info = ProgInfo::default();
    let mut attr = InfoAttr {
        fd: program.as_raw_fd().cast_unsigned(),
        info_len: size_of_u32::<ProgInfo>(),
        info: std::ptr::from_mut(&mut info).expose_provenance() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    let length = info.name.iter().position(|&byte| byte == 0).unwrap_or(16);
    let name = String::from_utf8_lossy(&info.name[..length]).into_owned();
    Ok(Program { id, name, runs: info.run_cnt })
}

/// The descriptor that a command returned.
pub(crate) fn owned(returned: c_long) -> Result<OwnedFd> {
    let fd = i32::try_from(returned).map_err(|_| Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// bpf(2) with an attribute structure that fits the command.
pub(crate) fn bpf<T>(command: c_long, attr: &mut T) -> Result<c_long> {
    // SAFETY: `attr` is a live structure of the size given, laid out as the
    // command demands; the addresses in one are those of structures that its
    // caller keeps alive, with their sizes beside them.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of_u32::<T>())
    };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(done) }
}

pub(crate) fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}
