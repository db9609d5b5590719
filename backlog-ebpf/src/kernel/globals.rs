//! Globals that the loader writes before the programs are verified: field offsets in bytes, counter
//! indexes, and switches. They are in frozen `.rodata`, so the verifier knows their values and
//! prunes disabled code.
//!
//! The loader sets each of them by its name (`backlog-user/src/bpf/layout.rs`). A field that the
//! running kernel does not have is `ABSENT`.

use aya_ebpf::Global;
use backlog_ebpf::{ABSENT, field, for_each_field};

/// A value that the loader finds, identified by its number.
#[repr(transparent)]
pub(crate) struct Offset<const NUMBER: u16>(Global<u32>);

impl<const NUMBER: u16> Offset<NUMBER> {
    /// The value.
    #[inline(always)]
    pub(crate) fn load(&self) -> u32 {
        self.0.load()
    }
}

/// A field of a kernel struct.
pub(crate) trait Field {
    /// The offset that stands for it in a load.
    const STANDS: u16;

    /// Its offset in bytes.
    fn offset(&self) -> usize;
}

impl<const NUMBER: u16> Field for Offset<NUMBER> {
    const STANDS: u16 = field::stands_for(NUMBER);

    #[inline(always)]
    fn offset(&self) -> usize {
        self.load() as usize
    }
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* #[unsafe(no_mangle)]
        pub(crate) static $name: Offset<{ field::$name }> = Offset(Global::new(ABSENT));)+
    };
}

for_each_field!(offsets);

/// The number of the system call accept.
#[unsafe(no_mangle)]
pub(crate) static SYS_ACCEPT: Global<u32> = Global::new(ABSENT);

/// The number of the system call accept4.
#[unsafe(no_mangle)]
pub(crate) static SYS_ACCEPT4: Global<u32> = Global::new(ABSENT);

/// The number of the system call listen.
#[unsafe(no_mangle)]
pub(crate) static SYS_LISTEN: Global<u32> = Global::new(ABSENT);

/// Which argument of the tracepoint `io_uring_complete` is the result of a request, from zero.
#[unsafe(no_mangle)]
pub(crate) static URING_RESULT: Global<u32> = Global::new(0);

/// 1: that argument points to a `struct io_uring_cqe`, which has the result (6.10).
#[unsafe(no_mangle)]
pub(crate) static URING_HAS_CQE: Global<u32> = Global::new(0);

/// 1: the argument at 1 is the request (5.17).
#[unsafe(no_mangle)]
pub(crate) static URING_HAS_REQUEST: Global<u32> = Global::new(0);

/// 1: there is a helper `bpf_task_pt_regs` (5.15).
#[unsafe(no_mangle)]
pub(crate) static HAS_TASK_REGS: Global<u32> = Global::new(0);

/// 1: the tracepoint `kfree_skb` passes the socket that dropped the packet (6.11).
#[unsafe(no_mangle)]
pub(crate) static KFREE_HAS_SOCKET: Global<u32> = Global::new(0);

/// The number of places in the table `WAITING`, minus one; zero: no table.
#[unsafe(no_mangle)]
pub(crate) static WAITING_MASK: Global<u32> = Global::new(0);

/// The number of places in the table `MET`, minus one.
#[unsafe(no_mangle)]
pub(crate) static MET_MASK: Global<u32> = Global::new(0);

/// The only port to trace, if there is one; zero: none or several.
#[unsafe(no_mangle)]
pub(crate) static FILTER_PORT: Global<u32> = Global::new(0);

/// 1: only the ports whose bit is set in the map `PORTS`.
#[unsafe(no_mangle)]
pub(crate) static FILTER_PORTS: Global<u32> = Global::new(0);

/// `AF_INET` or `AF_INET6`: only connections of this family. 0: both.
#[unsafe(no_mangle)]
pub(crate) static FILTER_FAMILY: Global<u32> = Global::new(0);

/// The inode number of the only network namespace to trace; zero: all.
#[unsafe(no_mangle)]
pub(crate) static FILTER_NETNS: Global<u32> = Global::new(0);

/// 1: only the sockets in the map `WANTED`, and what [`FILTER_PID`] opens.
#[unsafe(no_mangle)]
pub(crate) static FILTER_SOCKETS: Global<u32> = Global::new(0);

/// The process whose new listeners are wanted as well.
#[unsafe(no_mangle)]
pub(crate) static FILTER_PID: Global<u32> = Global::new(0);

/// The number of the cgroup whose listeners, and those below it, are the only ones to
/// trace; zero: all.
#[unsafe(no_mangle)]
pub(crate) static FILTER_CGROUP: Global<u64> = Global::new(0);

/// The level of that cgroup.
#[unsafe(no_mangle)]
pub(crate) static FILTER_CGROUP_LEVEL: Global<u32> = Global::new(0);

/// Drop records that a listener may send in a second, on each CPU.
#[unsafe(no_mangle)]
pub(crate) static DROP_RECORDS: Global<u32> = Global::new(u32::MAX);

/// How many of these wake userspace at once.
#[unsafe(no_mangle)]
pub(crate) static URGENT_RECORDS: Global<u32> = Global::new(1);

/// Other records wake userspace only when this many bytes wait in the ring.
#[unsafe(no_mangle)]
pub(crate) static WAKE_BYTES: Global<u64> = Global::new(0);
