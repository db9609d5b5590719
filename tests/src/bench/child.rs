//! A program that runs during the loop. Its output goes to files, so that nobody has to read it at
//! the same time. It is killed on drop.

use std::fs::{self, File};
use std::io::Error;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::wait_until;

/// The running program.
#[derive(Debug)]
pub(super) struct Beside {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Beside {
    /// Starts it.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let out = Self::file("out");
        let stdout = create(&out)?;
        Self::start_writing(command, stdout.into(), out)
    }

    /// Starts it with its stdout elsewhere.
    pub(super) fn start_to(command: &mut Command, stdout: Stdio) -> Result<Self> {
        Self::start_writing(command, stdout, Self::file("none"))
    }

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("backlog-bench.{name}"))
    }

    fn start_writing(command: &mut Command, stdout: Stdio, out: PathBuf) -> Result<Self> {
        let err = Self::file("err");
        command.stdin(Stdio::null()).stdout(stdout).stderr(create(&err)?);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, out, err })
    }

    /// Has it ended?
    pub(super) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("wait")?.is_some())
    }

    /// Has it written a line?
    pub(super) fn has_said(&self) -> bool {
        fs::read(&self.out).is_ok_and(|text| text.contains(&b'\n'))
    }

    /// Everything that it wrote, its stderr first.
    pub(super) fn said(&self) -> String {
        let read =
            |path: &PathBuf| fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
        [&self.err, &self.out].into_iter().filter_map(|path| read(path).ok()).collect()
    }

    /// Its threads.
    pub(super) fn threads(&self) -> Vec<i32> {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else {
            return Vec::new();
        };
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// The run time of its current threads in nanoseconds.
    pub(super) fn own_ns(&self) -> u64 {
        let of = |thread: i32| {
            let path = format!("/proc/{}/task/{thread}/schedstat", self.child.id());
            fs::read_to_string(path).ok()?.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.threads().into_iter().filter_map(of).sum()
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The run time of its process in nanoseconds, including threads that have ended.
    pub(super) fn cpu_ns(&self) -> Result<u64> {
        let id = i32::try_from(self.child.id()).context("process id")?;
        let mut clock = 0;
        // SAFETY: a number, and a place for another that outlives the call.
        match unsafe { libc::clock_getcpuclockid(id, &raw mut clock) } {
            0 => Ok(crate::clock::nanoseconds(clock)),
            error => Err(Error::from_raw_os_error(error)).context("no clock of the process"),
        }
    }

    /// Sends SIGINT like Ctrl-C, and waits for the end.
    pub(super) fn end(&mut self, limit: Duration) -> Result<()> {
        if self.has_ended()? {
            return Ok(());
        }
        let id = i32::try_from(self.child.id()).context("process id")?;
        // SAFETY: kill takes two numbers; the child was not waited for, so the id is its own.
        if unsafe { libc::kill(id, libc::SIGINT) } != 0 {
            return Err(Error::last_os_error()).context("cannot send SIGINT");
        }
        wait_until("the tracer to end by SIGINT", limit, || self.has_ended())
    }
}

fn create(path: &PathBuf) -> Result<File> {
    File::create(path).with_context(|| format!("cannot create {}", path.display()))
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
