//! `cargo xtask build`: the tool as a static binary, which runs in any guest and on any machine; and
//! the test programs for the other tasks. Knows cargo; the eBPF half is built by backlog-user's own
//! build script.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::setup::Need;
use crate::{paths, process, setup};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const TOOL: &str = "backlog-trace";

/// How a program is optimised: a profile of Cargo.toml.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// Built soon: for tests.
    Release,
    /// As it is shipped, and measured.
    Dist,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }
}

/// Builds the tool and says where it is.
pub(crate) fn command() -> Result<u8> {
    // Told, not enforced: cargo knows best, and an eBPF object may be given to it.
    if let Err(error) = setup::look()?.require(Need::Build) {
        process::say(&format!("{error:#}"));
    }
    let mut cargo = cargo("build", Profile::Dist);
    let programs = executables(cargo.args(["-p", "backlog-user", "--bins"]), "bin")?;
    let tool = tool(&programs)?;
    let size =
        fs::metadata(tool).with_context(|| format!("cannot inspect {}", tool.display()))?.len();
    println!("{} ({:.1} MB)", tool.display(), size as f64 / 1e6);
    Ok(0)
}

/// The tool among the programs built.
pub(crate) fn tool(programs: &[PathBuf]) -> Result<&Path> {
    let tool = programs.iter().find(|path| path.ends_with(TOOL));
    tool.map(PathBuf::as_path).with_context(|| format!("cargo built no program {TOOL}"))
}

/// The tool and every program of the tests crate.
pub(crate) fn static_programs(profile: Profile) -> Result<Vec<PathBuf>> {
    let mut cargo = cargo("build", profile);
    executables(cargo.args(["-p", "backlog-user", "-p", "backlog-tests", "--bins"]), "bin")
}

/// The test binary that runs inside a guest.
pub(crate) fn guest_tests() -> Result<PathBuf> {
    let mut cargo = cargo("test", Profile::Release);
    cargo.args(["--no-run", "-p", "backlog-tests", "--test", "guest"]);
    let mut built = executables(&mut cargo, "test")?;
    match built.pop() {
        Some(path) if built.is_empty() => Ok(path),
        _ => bail!("expected one test binary: {}", process::line(&cargo)),
    }
}

/// What an earlier build left, with no look at whether it is up to date.
pub(crate) fn existing(profile: Profile) -> Vec<PathBuf> {
    let folder = paths::target().join(TARGET).join(profile.name());
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_program = |path: &Path| {
        let mode = fs::metadata(path)
            .map_or(0, |data| if data.is_file() { data.permissions().mode() } else { 0 });
        mode & 0o111 != 0 && path.extension().is_none()
    };
    entries.flatten().map(|entry| entry.path()).filter(|path| is_program(path)).collect()
}

fn cargo(task: &str, profile: Profile) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(paths::root());
    command.args([task, "--profile", profile.name(), "--target", TARGET]);
    // With --target given, build scripts and macros do not get these flags.
    command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static");
    // From the cargo that runs us: it would name this package.
    command.env_remove("CARGO_MANIFEST_DIR");
    command
}

/// Runs cargo and returns the programs of one kind that it names, built now or
/// before. (The tests of a package bring its programs along.)
fn executables(command: &mut Command, kind: &str) -> Result<Vec<PathBuf>> {
    process::announce(command);
    command.arg("--message-format=json-render-diagnostics");
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start: {}", process::line(command)))?;
    if !output.status.success() {
        bail!("{}: {}", output.status, process::line(command));
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    Ok(stdout.lines().filter_map(|line| executable(line, kind)).collect())
}

/// The program that one of cargo's messages is about.
fn executable(message: &str, kind: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let kinds = message.pointer("/target/kind")?.as_array()?;
    kinds.iter().find(|one| *one == kind)?;
    message.get("executable")?.as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_programs_among_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"guest"},
            "executable":"/t/release/deps/guest-1"}"#;
        let program = PathBuf::from("/t/release/deps/guest-1");
        assert_eq!(executable(message, "test"), Some(program));
        assert_eq!(executable(message, "bin"), None);
        let library = message.replace("\"/t/release/deps/guest-1\"", "null");
        assert_eq!(executable(&library, "test"), None);
        assert_eq!(executable("   Compiling x", "bin"), None);
    }
}
