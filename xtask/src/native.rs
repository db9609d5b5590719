//! Finds out whether the tool can trace this machine's own kernel, by running it in a network
//! namespace of its own. Its error is passed on.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::apart::{self, End};
use crate::backend::Backend;
use crate::process;

/// Options with which it ends at once if it works.
const PROBE: [&str; 5] = ["--duration", "0.1", "-q", "--output", "json"];
const PROBE_LIMIT: Duration = Duration::from_secs(15);

/// The facts about a kernel that the tool can trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Native {
    /// The release, as `uname -r` prints it.
    pub(crate) kernel: String,
    pub(crate) backend: Backend,
}

/// Runs the tool to see whether it can trace this kernel with the given backend, or with the best.
/// The error says why it cannot.
pub(crate) fn look(tool: &Path, backend: Option<Backend>) -> Result<Native> {
    if !apart::is_root() {
        bail!("not root");
    }
    let mut command = Command::new(tool);
    command.args(PROBE);
    if let Some(backend) = backend {
        command.args(["--backend", backend.name()]);
    }
    let (mut out, mut err) = (file()?, file()?);
    command.stdin(Stdio::null()).stdout(copy(&out)?).stderr(copy(&err)?);
    match apart::run(&mut command, PROBE_LIMIT)? {
        End::Status(status) if status.success() => native(&text(&mut out)?),
        End::Status(_) => bail!("{}", one_line(&text(&mut err)?)),
        End::TimedOut => bail!("the tool did not end within {} s", PROBE_LIMIT.as_secs()),
    }
}

/// A file that exists on every machine where the tool works.
const EVERYONES: &str = "/sys/kernel/btf/vmlinux";

/// Waits until no other xtask uses this machine's kernel, and blocks others while the file is open:
/// the tool sees every network namespace, so the ports of one test would disturb another. Nothing
/// is written to the file.
pub(crate) fn alone() -> Result<File> {
    let file = File::open(EVERYONES).with_context(|| format!("cannot open {EVERYONES}"))?;
    if file.try_lock().is_err() {
        process::say("waiting for another xtask that traces this machine's kernel");
        file.lock().with_context(|| format!("cannot lock {EVERYONES}"))?;
    }
    Ok(file)
}

/// An unnamed file that collects the output of a program.
pub(crate) fn file() -> Result<File> {
    tempfile::tempfile().context("cannot create a temporary file")
}

/// The same file as a destination for a program.
pub(crate) fn copy(file: &File) -> Result<Stdio> {
    Ok(file.try_clone().context("cannot copy a file descriptor")?.into())
}

/// The content of the file.
pub(crate) fn text(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).context("cannot read an output")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Parses the line `meta`.
fn native(lines: &str) -> Result<Native> {
    let meta = meta(lines).context("the tool wrote no line of type meta")?;
    let word = |key: &str| {
        meta.get(key).and_then(Value::as_str).with_context(|| format!("meta has no {key}"))
    };
    let backend = word("backend")?;
    Ok(Native {
        kernel: word("kernel")?.to_owned(),
        backend: Backend::named(backend).with_context(|| format!("unknown backend {backend}"))?,
    })
}

/// The line `meta` among the tool's lines.
pub(crate) fn meta(lines: &str) -> Option<Value> {
    let mut values = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values.find(|value| value.get("type").is_some_and(|kind| kind == "meta"))
}

/// The tool's messages on one line, without its name before each.
pub(crate) fn one_line(words: &str) -> String {
    let lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> =
        lines.map(|line| line.strip_prefix("backlog-trace: ").unwrap_or(line)).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::{Native, native, one_line};
    use crate::backend::Backend;

    #[test]
    fn the_meta_line_says_what_traces() {
        let lines = "words\n{\"type\":\"listener\"}\n\
            {\"type\":\"meta\",\"kernel\":\"6.18.1\",\"backend\":\"tracepoint\"}\n";
        let expected = Native { kernel: "6.18.1".into(), backend: Backend::Tracepoint };
        assert_eq!(native(lines).unwrap(), expected);
        assert!(native("{\"type\":\"listener\"}").is_err());
        assert!(native(&lines.replace("tracepoint", "magic")).is_err());
    }

    #[test]
    fn words_become_one_line() {
        assert_eq!(one_line("backlog-trace: no fentry\n\nno kprobe\n"), "no fentry; no kprobe");
    }
}
