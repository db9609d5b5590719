//! `cargo xtask lint`: checks format, clippy, spelling and language, links between pages, commit
//! messages, the direction of imports, and dependencies. A check whose tool is not installed is
//! skipped with a message.

mod commits;
mod dependencies;
mod imports;
mod links;
mod prose;
mod spelling;
mod text;

use std::process::Command;

use anyhow::{Error, Result};

use crate::{paths, process};

/// Runs every check. Returns 1 if one failed.
pub(crate) fn command() -> u8 {
    let failures = run();
    for failure in &failures {
        println!("failed: {failure:#}");
    }
    u8::from(!failures.is_empty())
}

/// Runs every check, also after a failure, and returns the failures.
pub(crate) fn run() -> Vec<Error> {
    let mut failures = Vec::new();
    let mut check = |result: Result<()>| failures.extend(result.err());
    check(with_tool(
        &mut cargo(&["fmt", "--version"]),
        &mut cargo(&["fmt", "--check"]),
        "format (rustup component add rustfmt)",
    ));
    for what in
        [&["--workspace", "--all-targets"], &["--package=backlog-user", "--features=ebpf-log"]]
    {
        let mut clippy = cargo(&["clippy", "--quiet"]);
        clippy.args(what).args(["--", "-D", "warnings"]);
        check(with_tool(
            &mut cargo(&["clippy", "--version"]),
            &mut clippy,
            "lints (rustup component add clippy)",
        ));
    }
    check(spelling::check());
    check(prose::check());
    check(links::check());
    check(commits::check());
    check(imports::check());
    check(dependencies::check());
    failures
}

/// Runs a check if its tool is installed.
fn with_tool(probe: &mut Command, check: &mut Command, name: &str) -> Result<()> {
    if process::works(probe) {
        process::run(check)
    } else {
        process::say(&format!("not checked: {name}"));
        Ok(())
    }
}

/// A cargo command on this machine, which needs no eBPF object.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(paths::root()).args(args);
    command.env("BACKLOG_EBPF", "skip").env_remove("BACKLOG_GUEST");
    command
}
