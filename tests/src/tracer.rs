//! The tool under test, run as a user would run it, and judged by its JSON lines, its messages on
//! stderr and its exit status. Every wait has a limit, and a tool that still runs when a test is
//! over is killed.

mod lines;
mod listener;
mod run;

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

pub use lines::{
    Bucket, Client, Distribution, DropLine, Drops, Interval, Kind, Line, Meta, Peak, Reconciled,
    Summary,
};
pub use listener::{Container, Group, Limit, Listener, Main, Owner, Process};
pub use run::Run;

use crate::clock::wait_until;

/// The environment variable with the tool's path.
pub const PATH_VARIABLE: &str = "BACKLOG_TRACE";
/// The environment variable with options for every run, such as `--backend kprobe`, to run the same
/// tests with another backend.
pub const OPTIONS_VARIABLE: &str = "BACKLOG_TRACE_OPTIONS";

/// A running tool.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    readers: Option<Readers>,
}

#[derive(Debug)]
struct Readers {
    out: JoinHandle<()>,
    err: JoinHandle<String>,
}

/// The tool's path.
#[must_use]
pub fn path() -> OsString {
    env::var_os(PATH_VARIABLE).unwrap_or_else(|| OsString::from("backlog-trace"))
}

/// A command that runs the tool with JSON lines; callers may add arguments.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(path());
    let more = env::var(OPTIONS_VARIABLE).unwrap_or_default();
    command.args(["-o", "json"]).args(more.split_whitespace()).stdin(Stdio::null());
    command
}

/// Runs the tool until it ends by itself.
///
/// # Errors
/// When it does not start, does not end in time, or violates the contract.
pub fn run(arguments: &[&str], limit: Duration) -> Result<Run> {
    Tracer::spawn(command().args(arguments))?.wait(limit)
}

impl Tracer {
    /// Starts the tool and waits until its `meta` line shows that it traces.
    ///
    /// # Errors
    /// When it does not start; with its output on stderr.
    pub fn start(arguments: &[&str], limit: Duration) -> Result<Self> {
        let mut tracer = Self::spawn(command().args(arguments))?;
        let has_meta = |lines: &[Line]| lines.iter().any(|line| matches!(line.kind, Kind::Meta(_)));
        match tracer.wait_for("the meta line", limit, has_meta) {
            Ok(()) => Ok(tracer),
            Err(error) => {
                // It may have ended by itself, and its output says why.
                let _ = tracer.signal(libc::SIGKILL);
                let run = tracer.wait(limit)?;
                Err(error.context(format!("{} with: {}", run.status, run.stderr)))
            }
        }
    }

    /// Starts a command and collects its output.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?} (set {PATH_VARIABLE}?)"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let out = Arc::new(Mutex::new(Vec::new()));
        let readers =
            Readers { out: read_lines(stdout, Arc::clone(&out)), err: read_words(stderr) };
        Ok(Self { child, out, readers: Some(readers) })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines so far.
    ///
    /// # Errors
    /// When one violates the contract.
    pub fn lines(&self) -> Result<Vec<Line>> {
        lock(&self.out).iter().map(|text| Line::parse(text)).collect()
    }

    /// Waits until the lines so far satisfy a condition.
    ///
    /// # Errors
    /// When the limit passes or the tool ends before.
    pub fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&[Line]) -> bool,
    ) -> Result<()> {
        wait_until(what, limit, || {
            // Checked before the lines are read, so that the last ones are not missed.
            let ended = self.child.try_wait().context("wait")?.is_some()
                && self.readers.as_ref().is_none_or(|r| r.out.is_finished());
            if wanted(&self.lines()?) {
                return Ok(true);
            }
            ensure!(!ended, "the tool ended before {what}");
            Ok(false)
        })
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: libc::c_int) -> Result<()> {
        let id = i32::try_from(self.child.id()).context("process id")?;
        // SAFETY: kill takes two numbers; the child was not waited for, so
        // the id is still its own.
        if unsafe { libc::kill(id, signal) } != 0 {
            return Err(std::io::Error::last_os_error()).context("cannot send a signal");
        }
        Ok(())
    }

    /// Sends SIGINT like Ctrl-C, and returns the run with its summary.
    ///
    /// # Errors
    /// When it does not end in time or violates the contract.
    pub fn stop(self, limit: Duration) -> Result<Run> {
        self.signal(libc::SIGINT)?;
        self.wait(limit)
    }

    /// Kills it.
    ///
    /// # Errors
    /// When even that does not help.
    pub fn kill(self, limit: Duration) -> Result<Run> {
        self.signal(libc::SIGKILL)?;
        self.wait(limit)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not end in time (it is then killed) or a line violates the contract.
    pub fn wait(mut self, limit: Duration) -> Result<Run> {
        let child = &mut self.child;
        let ended = wait_until("the tool to end", limit, || {
            Ok(child.try_wait().context("wait")?.is_some())
        });
        if ended.is_err() {
            // This ends the readers too, so its output is complete.
            let _ = self.child.kill();
        }
        let status = self.child.wait().context("wait")?;
        let Readers { out, err } = self.readers.take().context("waited for twice")?;
        out.join().map_err(|_| anyhow!("the reader panicked"))?;
        let stderr = err.join().map_err(|_| anyhow!("the reader panicked"))?;
        if let Err(error) = ended {
            bail!("{error:#}; on stderr: {stderr}");
        }
        Ok(Run {
            status,
            lines: self.lines().with_context(|| format!("on stderr: {stderr}"))?,
            stderr,
        })
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // A failed test must not leave a tracer behind. It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(from: ChildStdout, to: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            lock(&to).push(line);
        }
    })
}

fn read_words(mut from: ChildStderr) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // The output before an error is still worth showing.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Tracer {
        use std::os::unix::process::CommandExt as _;

        let mut command = Command::new("sh");
        command.args(["-c", script]);
        // If the tests run in the background, SIGINT is ignored in every child process as well.
        // SAFETY: signal is safe to call between fork and exec, and touches no memory.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            });
        }
        Tracer::spawn(&mut command).unwrap()
    }

    #[test]
    fn output_and_status_are_collected() {
        let script = r#"echo '{"type":"meta","time":"t"}'; echo words >&2; exit 1"#;
        let run = shell(script).wait(LIMIT).unwrap();
        assert_eq!((run.code(), run.lines.len()), (Some(1), 1));
        assert_eq!(run.stderr, "words\n");
        assert!(run.summary(80).is_err());
    }

    #[test]
    fn a_line_is_waited_for_and_a_signal_ends_it() {
        let mut tool = shell(r#"echo '{"type":"meta","time":"t"}'; exec sleep 60"#);
        tool.wait_for("a line", LIMIT, |lines| lines.len() == 1).unwrap();
        assert_eq!(tool.stop(LIMIT).unwrap().signal(), Some(libc::SIGINT));
    }

    #[test]
    fn an_early_end_is_told_from_a_late_line() {
        let error = shell("exit 0").wait_for("a line", LIMIT, |_| false);
        assert!(error.unwrap_err().to_string().contains("ended before"));
    }

    #[test]
    fn a_tool_that_does_not_end_is_killed() {
        let error = shell("echo here >&2; exec sleep 60").wait(Duration::from_millis(300));
        assert!(error.unwrap_err().to_string().contains("here"));
    }
}
