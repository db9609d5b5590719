//! Prepares the process before its first thread starts: its user, its bounding set, `no_new_privs`,
//! and the capabilities that attaching needs. Later threads inherit all of this.

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

/// Switches to `user` and keeps the capabilities in `kept`. Must be called while there is only one
/// thread, since users and capabilities belong to threads.
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

/// Prevents programs that this process might start from gaining capabilities.
fn empty_bounding_set() -> io::Result<()> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability)?,
            Ok(false) => {}
            // The kernel does not know this capability, nor any above it.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Keeps the capabilities permitted; [`reduce_to`] makes them effective again. As there is only one
/// thread, this switches the whole process.
fn become_user(user: User) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(set_keep_capabilities(false)?)
}
