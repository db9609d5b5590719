//! A running server: it counts as started when all its processes and sockets exist, and is ended
//! with all of them, also when a test fails.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io::Error;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::plan::{Plan, Truth};
use super::root::Root;
use crate::cgroup::Cgroup;
use crate::clock::wait_until;
use crate::proc;

/// The time limit of any step; Python in an emulated guest is slow.
const LIMIT: Duration = Duration::from_mins(1);

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// The name in error messages.
    pub name: &'static str,
    /// The expected facts about it.
    pub truth: Truth,
    child: Child,
    /// Its /tmp.
    scratch: PathBuf,
}

impl Server {
    /// Starts it in the network namespace of the calling thread, and waits until it matches its
    /// plan.
    ///
    /// # Errors
    /// When it does not get there; with its output.
    pub fn start(root: &Root, plan: &Plan) -> Result<Self> {
        Self::start_in(root, plan, None)
    }

    /// The same in a cgroup of its own.
    ///
    /// # Errors
    /// As for [`Server::start`].
    pub fn start_in(root: &Root, plan: &Plan, cgroup: Option<&Cgroup>) -> Result<Self> {
        let Plan { name, program, arguments, variables, files, truth } = plan;
        let scratch = scratch()?;
        for (file, text) in files {
            let path = scratch.join(file);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let said = File::create(said_in(&scratch)).context("cannot create a file")?;
        let mut command = root.command(program, &scratch)?;
        if let Some(cgroup) = cgroup {
            cgroup.joined_by(&mut command)?;
        }
        command.args(arguments).envs(variables.iter().copied());
        command.stdout(said.try_clone().context("cannot copy a file descriptor")?).stderr(said);
        // All its processes share a process group.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let truth = truth.clone();
        let mut server = Self { name, truth: truth.clone(), child, scratch };
        server.becomes(truth)?;
        Ok(server)
    }

    /// Waits until it matches this truth.
    ///
    /// # Errors
    /// When it does not get there; with its output.
    pub fn becomes(&mut self, truth: Truth) -> Result<()> {
        let main = self.main();
        let there = wait_until(&format!("{} to be there", self.name), LIMIT, || {
            ensure!(proc::lives(main), "{} ended", self.name);
            let Truth { port, comm, processes, sockets, .. } = &truth;
            Ok(proc::listening(main, *port) == *sockets
                && proc::comm(main).is_some_and(|is| is == *comm)
                && proc::family(main).len() == *processes)
        });
        self.truth = truth;
        there.with_context(|| {
            let said = fs::read_to_string(said_in(&self.scratch)).unwrap_or_default();
            format!("processes {:?}; it said: {said}", self.pids())
        })
    }

    /// The main process.
    #[must_use]
    pub fn main(&self) -> u32 {
        self.child.id()
    }

    /// All its processes.
    #[must_use]
    pub fn pids(&self) -> BTreeSet<u32> {
        proc::family(self.main())
    }

    /// All processes except for the main one, which has forked them.
    #[must_use]
    pub fn workers(&self) -> BTreeSet<u32> {
        let mut workers = self.pids();
        workers.remove(&self.main());
        workers
    }

    /// The content of a file in its /tmp.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn wrote(&self, file: &str) -> Result<String> {
        let path = self.scratch.join(file);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Ends it by SIGTERM, as its users do; all its processes must then be gone.
    ///
    /// # Errors
    /// When one is not in time.
    pub fn stop(self) -> Result<()> {
        let all = self.pids();
        // SAFETY: kill takes two numbers; the child was not waited for, so the id is its own.
        if unsafe { libc::kill(self.number()?, libc::SIGTERM) } != 0 {
            return Err(Error::last_os_error()).context("cannot send SIGTERM");
        }
        wait_until(&format!("{} to end", self.name), LIMIT, || {
            Ok(!all.iter().any(|one| proc::lives(*one)))
        })
    }

    /// The main process's ID, which is that of the group, for system calls.
    fn number(&self) -> Result<i32> {
        i32::try_from(self.child.id()).context("process id")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let all = self.pids();
        if let Ok(group) = self.number() {
            // SAFETY: killpg takes two numbers; the first process of the group was not
            // waited for, so the number is its own, even if it has ended.
            unsafe { libc::killpg(group, libc::SIGKILL) };
        }
        // Its sockets are closed with the last process. There may be nothing left to end or remove.
        let _ = wait_until("all to end", LIMIT, || Ok(!all.iter().any(|one| proc::lives(*one))));
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// A folder that no other server uses.
fn scratch() -> Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("backlog-server-{}-{number}", id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// The file for its output, so that nobody has to read it at the same time.
fn said_in(scratch: &Path) -> PathBuf {
    scratch.join("said")
}
