//! Identifies a network namespace. Its inode number and its address in the kernel are reused as
//! soon as it ends.

use backlog_ebpf::ABSENT;

use super::maps::NEWEST;
use crate::kernel::{
    globals::{
        DEVICE_NODE, KERNFS_HIGH, KERNFS_LOW, NET_COOKIE, NET_HASH_MIX, NET_INUM, NET_LOOPBACK,
        NODE_ID, NODE_ROOT,
    },
    pointers::KernelPtr,
    read,
    types::{Net, Node},
};

/// A number that no other namespace has had since the host started: its cookie (5.12). On older
/// kernels, a random number that the kernel assigns, with the inode number.
#[inline(always)]
pub(crate) fn identity(net: impl KernelPtr<Net>) -> u64 {
    if NET_COOKIE.load() != ABSENT {
        return read::field(net, &NET_COOKIE);
    }
    let mix: u32 = read::field(net, &NET_HASH_MIX);
    let inode: u32 = read::field(net, &NET_INUM);
    u64::from(mix) << 32 | u64::from(inode)
}

/// The half of that number that differs most between namespaces.
#[inline(always)]
pub(crate) fn short_identity(net: impl KernelPtr<Net>) -> u32 {
    if NET_COOKIE.load() != ABSENT {
        return read::field::<_, u64>(net, &NET_COOKIE) as u32;
    }
    read::field(net, &NET_HASH_MIX)
}

/// Whether this namespace was created during the run.
#[inline(always)]
pub(crate) fn is_new(net: *const Net) -> bool {
    newer(net as u64) != 0
}

/// Compares nodes in sysfs. The kernel creates a loopback device with each namespace, and a node
/// for each device, and the numbers of nodes only grow.
#[inline(never)]
fn newer(net: u64) -> u32 {
    let newest = NEWEST.get(0).copied().unwrap_or(0);
    if newest == 0 || NET_LOOPBACK.load() == ABSENT {
        return 0;
    }
    let id: u64 = read::field(node(net as *const Net), &NODE_ID);
    u32::from(id > newest)
}

#[inline(always)]
fn node(net: *const Net) -> *const Node {
    let device: *const u8 = read::pointer(net, &NET_LOOPBACK);
    read::pointer(device, &DEVICE_NODE)
}

/// Records the newest node in sysfs: namespaces whose device has an older one were created before.
#[inline(always)]
pub(crate) fn mark_newest(net: *const Net) {
    let unknown = [NET_LOOPBACK.load(), DEVICE_NODE.load(), NODE_ROOT.load(), KERNFS_HIGH.load()];
    if unknown.contains(&ABSENT) || KERNFS_LOW.load() == ABSENT {
        return;
    }
    let root: *const u8 = read::pointer(node(net), &NODE_ROOT);
    let high: u32 = read::field(root, &KERNFS_HIGH);
    let low: u32 = read::field(root, &KERNFS_LOW);
    if let Some(newest) = NEWEST.get_ptr_mut(0) {
        // SAFETY: an element of an array, written once.
        unsafe { *newest = u64::from(high) << 32 | u64::from(low) };
    }
}
