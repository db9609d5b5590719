//! `cargo xtask build`: builds the tool as a static binary, which runs in any guest and on any
//! machine, and the test programs for other tasks. backlog-user's own build script builds the eBPF
//! half.

use std::ffi::OsStr;
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

/// An optimisation profile in Cargo.toml.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// Builds fast and checks for overflows: for tests.
    Checked,
    /// As shipped and measured.
    Dist,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Checked => "checked",
            Self::Dist => "dist",
        }
    }
}

/// Builds the tool and prints its path.
pub(crate) fn command() -> Result<u8> {
    // Only report what is missing: cargo may still succeed, for example with an eBPF object that
    // was passed in.
    if let Err(error) = setup::look()?.require(Need::Build) {
        process::say(&format!("{error:#}"));
    }
    let mut cargo = cargo("build", Profile::Dist);
    let built = executables(cargo.args(["-p", "backlog-user", "--bins"]))?;
    let tool = tool(&built.programs)?;
    let size =
        fs::metadata(tool).with_context(|| format!("cannot inspect {}", tool.display()))?.len();
    println!("{} ({:.1} MB)", tool.display(), size as f64 / 1e6);
    Ok(0)
}

/// The tool among the built programs.
pub(crate) fn tool(programs: &[PathBuf]) -> Result<&Path> {
    let tool = programs.iter().find(|path| path.ends_with(TOOL));
    tool.map(PathBuf::as_path).with_context(|| format!("cargo built no program {TOOL}"))
}

/// Builds the tool and every program of the tests crate, as shipped.
pub(crate) fn shipped_programs() -> Result<Vec<PathBuf>> {
    let mut cargo = cargo("build", Profile::Dist);
    cargo.args(["-p", "backlog-user", "-p", "backlog-tests", "--bins"]);
    Ok(executables(&mut cargo)?.programs)
}

/// Builds the same for tests, and the test binary that runs inside a guest.
pub(crate) fn checked_programs() -> Result<(Vec<PathBuf>, PathBuf)> {
    // Testing a package also builds its programs.
    let mut cargo = tests();
    let built = executables(cargo.args(["--no-run", "--test=*"]))?;
    let guest = built.tests.into_iter().find(|path| is_guest(path));
    let guest = guest.with_context(|| format!("no guest tests: {}", process::line(&cargo)))?;
    Ok((built.programs, guest))
}

/// The cargo command for the tests of all packages except this one, whose dependencies are built
/// already. Native and guest tests must come from the same selection of packages, or cargo would
/// build their dependencies twice.
pub(crate) fn tests() -> Command {
    let mut cargo = cargo("test", Profile::Checked);
    cargo.args(["--workspace", "--exclude=xtask"]);
    cargo
}

/// Is this the test binary for guests, `guest-` and a hash?
fn is_guest(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    name.and_then(|name| name.rsplit_once('-')).is_some_and(|(name, _)| name == "guest")
}

/// The programs of an earlier build, even if they are outdated.
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
    // With --target, build scripts and macros do not get these flags.
    command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static");
    // The variable comes from the cargo that runs us, and would name this package.
    command.env_remove("CARGO_MANIFEST_DIR");
    command
}

/// The executables that cargo has built, now or earlier.
#[derive(Debug, Default, Eq, PartialEq)]
struct Executables {
    programs: Vec<PathBuf>,
    tests: Vec<PathBuf>,
}

impl Executables {
    /// Adds the executable in one of cargo's messages, if there is one.
    fn add(&mut self, message: &str) {
        let Ok(message) = serde_json::from_str::<Value>(message) else { return };
        let Some(path) = message.get("executable").and_then(Value::as_str) else { return };
        let is_test = message.pointer("/profile/test") == Some(&Value::Bool(true));
        let list = if is_test { &mut self.tests } else { &mut self.programs };
        list.push(PathBuf::from(path));
    }
}

/// Runs cargo and returns the executables that it reports.
fn executables(command: &mut Command) -> Result<Executables> {
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
    let mut found = Executables::default();
    String::from_utf8_lossy(&output.stdout).lines().for_each(|line| found.add(line));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_programs_from_tests() {
        let message = r#"{"reason":"compiler-artifact","profile":{"test":true},
            "executable":"/t/checked/deps/guest-1"}"#;
        let mut found = Executables::default();
        found.add(message);
        found.add(&message.replace("true", "false").replace("deps/guest-1", "tool"));
        found.add(&message.replace("\"/t/checked/deps/guest-1\"", "null"));
        found.add("   Compiling x");
        assert_eq!(found.programs, [PathBuf::from("/t/checked/tool")]);
        assert_eq!(found.tests, [PathBuf::from("/t/checked/deps/guest-1")]);
        assert!(is_guest(&found.tests[0]) && !is_guest(&found.programs[0]));
    }
}
