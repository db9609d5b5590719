//! The process before its first thread: its user, its bounding set, `no_new_privs`, and the
//! capabilities that attaching needs. Threads that start later inherit all of it.

use std::io;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_keep_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::capability::{Capabilities, Capability};
use super::threads::{held, reduce_to};
use super::user::User;

/// Lets the process run as `user`, with the capabilities in `kept`. It must have one thread: users
/// and capabilities are changed for the calling thread.
pub(crate) fn prepare(kept: Capabilities, user: Option<User>) -> Result<()> {
    if held()?.has(Capability::Setpcap) {
        empty_bounding_set().context("emptying the capability bounding set")?;
    }
    clear_ambient_capability_set().context("clearing the ambient capabilities")?;
    if let Some(user) = user {
        become_user(user).with_context(|| {
            format!(
                "--user: cannot run as user {} (group {}): run it as root, or with CAP_SETUID and \
                 CAP_SETGID",
                user.uid, user.gid
            )
        })?;
    }
    reduce_to(kept).context("giving up capabilities")?;
    set_no_new_privs(true).context("setting no_new_privs")?;
    Ok(())
}

/// No program that this process might start can have a capability.
fn empty_bounding_set() -> io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability)?,
            Ok(false) => {}
            // The kernel has no capability of this number, and none above.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The capabilities stay permitted; [`reduce_to`] puts them into effect again. There is no other
/// thread, so that the process is this user's.
fn become_user(user: User) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(set_keep_capabilities(false)?)
}
