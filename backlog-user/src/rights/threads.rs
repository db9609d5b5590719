//! Capabilities belong to threads. Threads that only write or wait drop all of them before they
//! start their work; the others are reduced later, and a check reads what each thread has kept.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread::{self, Builder, JoinHandle};

use anyhow::{Context as _, Result, bail};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::capability::Capabilities;

/// The permitted capabilities of this thread.
pub(crate) fn held() -> io::Result<Capabilities> {
    Ok(capabilities(None)?.permitted.into())
}

/// Reduces this thread's capabilities to those in `kept` and makes these effective. No program that
/// it might start inherits any.
pub(crate) fn reduce_to(kept: Capabilities) -> io::Result<()> {
    let kept = kept.common(held()?).into();
    let inheritable = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?)
}

/// Starts a thread without capabilities. It starts its work once it has dropped them.
pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (reduced, result) = sync_channel(1);
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        let given_up = reduce_to(Capabilities::NONE);
        let works = given_up.is_ok();
        // The caller waits for the result.
        let _ = reduced.send(given_up);
        if works {
            work();
        }
    })?;
    result.recv().unwrap_or_else(|_| Err(io::Error::other("the thread has panicked")))?;
    Ok(thread)
}

/// Runs a function in a thread without capabilities, to try what works without them.
pub(crate) fn without<T: Send>(trial: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = Builder::new().spawn_scoped(scope, || {
            reduce_to(Capabilities::NONE)?;
            Ok(trial())
        })?;
        thread.join().map_err(|_| io::Error::other("the thread has panicked"))?
    })
}

/// Checks that every thread of this process has at most the capabilities in `kept`, and
/// `no_new_privs`.
pub(crate) fn check(kept: Capabilities) -> Result<()> {
    check_below(Path::new("/proc/self/task"), kept)
}

fn check_below(tasks: &Path, kept: Capabilities) -> Result<()> {
    let entries = fs::read_dir(tasks).with_context(|| format!("reading {}", tasks.display()))?;
    for entry in entries {
        let folder = entry.with_context(|| format!("reading {}", tasks.display()))?.path();
        // A thread that has ended keeps nothing.
        let Ok(status) = fs::read_to_string(folder.join("status")) else { continue };
        let thread = field(&status, "Name").unwrap_or("?");
        for name in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            let Some(set) = field(&status, name).and_then(Capabilities::parse) else {
                bail!("the capabilities of thread {thread} are unknown: no {name} in /proc");
            };
            let more = set.except(kept);
            if !more.is_none() {
                bail!("thread {thread} has kept rights that it must not have: {name} {more}");
            }
        }
        if field(&status, "NoNewPrivs") != Some("1") {
            bail!("thread {thread} may gain new rights: no_new_privs is not set");
        }
    }
    Ok(())
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, check_below, held, reduce_to, spawn, without};
    use crate::rights::capability::Capability;
    use std::fs;
    use std::path::Path;
    use std::sync::mpsc::channel;

    #[test]
    fn a_thread_without_rights_has_none_and_others_keep_theirs() {
        let before = held().unwrap();
        let (sender, receiver) = channel();
        let thread = spawn("none", move || sender.send(held().unwrap()).unwrap()).unwrap();
        assert_eq!(receiver.recv().unwrap(), Capabilities::NONE);
        thread.join().unwrap();
        assert_eq!(without(|| held().unwrap()).unwrap(), Capabilities::NONE);
        assert_eq!(held().unwrap(), before);
    }

    #[test]
    fn nothing_is_gained_by_a_reduction() {
        let reduced = without(|| {
            reduce_to(Capabilities::of(&Capability::ALL)).unwrap();
            held().unwrap()
        });
        assert_eq!(reduced.unwrap(), Capabilities::NONE);
    }

    fn task(folder: &Path, id: u32, sets: [&str; 4], no_new_privs: u32) {
        let [prm, eff, inh, amb] = sets;
        let folder = folder.join(id.to_string());
        fs::create_dir(&folder).unwrap();
        let text = format!(
            "Name:\tt{id}\nCapInh:\t{inh}\nCapPrm:\t{prm}\nCapEff:\t{eff}\nCapAmb:\t{amb}\n\
             NoNewPrivs:\t{no_new_privs}\n"
        );
        fs::write(folder.join("status"), text).unwrap();
    }

    #[test]
    fn a_thread_that_kept_more_is_named() {
        let kept = Capabilities::of(&[Capability::SysPtrace]);
        let (none, ptrace, admin) = ("0", "80000", "200000");
        for (sets, no_new_privs, error) in [
            ([ptrace, ptrace, none, none], 1, None),
            ([none, none, none, none], 1, None),
            (
                [admin, none, none, none],
                1,
                Some("t2 has kept rights that it must not have: CapPrm CAP_SYS_ADMIN"),
            ),
            ([none, none, admin, none], 1, Some("CapInh")),
            ([none, none, none, none], 0, Some("no_new_privs is not set")),
            (["x", none, none, none], 1, Some("unknown")),
        ] {
            let folder = tempfile::tempdir().unwrap();
            task(folder.path(), 1, [none; 4], 1);
            task(folder.path(), 2, sets, no_new_privs);
            let result = check_below(folder.path(), kept).map_err(|error| error.to_string());
            match error {
                None => assert_eq!(result, Ok(())),
                Some(words) => {
                    assert!(result.as_ref().is_err_and(|text| text.contains(words)), "{result:?}");
                }
            }
        }
    }
}
