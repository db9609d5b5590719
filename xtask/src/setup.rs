//! `cargo xtask setup`: installs what building and testing need, or lists what to install. It knows
//! which task needs which tool; a task decides by the `Report` whether it can run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{paths, process};

/// The purpose of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Building the eBPF half and the static programs.
    Build,
    /// Booting kernels.
    Guests,
    /// Running real servers in guests; without them, their tests are skipped.
    Servers,
    /// A real terminal for the full screen; without it, the native tests skip it.
    Terminal,
    /// A browser for the report; without it, the test of the page is skipped.
    Browser,
    /// Fuzzing.
    Fuzz,
    /// Shells for their completions; without them, the completions are not tested.
    Shells,
}

/// A missing package or tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
    pub(crate) need: Need,
}

/// Everything that is missing.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Missing>);

impl Report {
    /// Fails with a list if something is missing for one purpose.
    pub(crate) fn require(&self, need: Need) -> Result<()> {
        let missing: Vec<&Missing> = self.0.iter().filter(|missing| missing.need == need).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = missing.iter().map(|missing| format!("\n  {missing}")).collect();
        bail!("missing (as root on Debian: cargo xtask setup):{}", lines.concat())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why, need: _ } = self;
        write!(f, "{what}: {why}")
    }
}

/// A Debian package, and a program that shows on other systems that its equivalent is installed.
struct Package {
    name: &'static str,
    program: Option<&'static str>,
    why: &'static str,
    need: Need,
}

const fn package(
    name: &'static str,
    program: Option<&'static str>,
    why: &'static str,
    need: Need,
) -> Package {
    Package { name, program, why, need }
}

const BASIC: [Package; 14] = [
    package("gcc", Some("cc"), "links the programs", Need::Build),
    package("libc6-dev", None, "the C library, static too", Need::Build),
    package("qemu-system-x86", Some("qemu-system-x86_64"), "boots the kernels", Need::Guests),
    package("busybox-static", Some("busybox"), "the guests' shell and tools", Need::Guests),
    package("xz-utils", Some("xz"), "unpacks kernel modules", Need::Guests),
    package("dpkg", Some("dpkg-deb"), "unpacks kernel packages", Need::Guests),
    package("tmux", Some("tmux"), "a terminal for the tests of --tui here", Need::Terminal),
    package("e2fsprogs", Some("mke2fs"), "a disk of servers for the guests", Need::Servers),
    package("chromium", Some("chromium"), "tests the report, and takes its picture", Need::Browser),
    package("pngquant", Some("pngquant"), "makes that picture small", Need::Browser),
    package("fonts-dejavu-core", None, "what that browser writes with", Need::Browser),
    package("g++", Some("c++"), "compiles libFuzzer", Need::Fuzz),
    package("zsh", Some("zsh"), "reads its completions", Need::Shells),
    package("fish", Some("fish"), "reads its completions", Need::Shells),
];

/// A compiler with a prebuilt `core` for eBPF. Not needed with a nightly that has rust-src.
const COMPILER: [Package; 3] = [
    package("rustc-web", None, "compiles the eBPF half", Need::Build),
    package("cargo-web", None, "compiles the eBPF half", Need::Build),
    package("libstd-rust-web-dev-bpf", None, "core for the eBPF target", Need::Build),
];

/// LLVM of the version that the compiler uses, to build bpf-linker. Not needed once that is built.
const LLVM: [Package; 4] = [
    package("llvm-22-dev", Some("llvm-config-22"), "bpf-linker is built with it", Need::Build),
    package("libpolly-22-dev", None, "bpf-linker is built with it", Need::Build),
    package("libzstd-dev", None, "bpf-linker is built with it", Need::Build),
    package("zlib1g-dev", None, "bpf-linker is built with it", Need::Build),
];

const BPF_LINKER: Missing = Missing {
    what: "bpf-linker (cargo install --locked bpf-linker --no-default-features --features llvm-22)",
    why: "links the eBPF half",
    need: Need::Build,
};

const NIGHTLY: Missing = Missing {
    what: "a nightly with rust-src (rustup toolchain install nightly --component rust-src)",
    why: "compiles the eBPF half",
    need: Need::Build,
};

/// Runs `setup`. A package that cannot be installed is reported, but is not an error.
pub(crate) fn command() -> Result<u8> {
    ensure()?;
    Ok(0)
}

/// Installs what is missing if possible, and returns what is still missing.
pub(crate) fn ensure() -> Result<Report> {
    let start = Instant::now();
    let report = look()?;
    let report = if report.0.is_empty() {
        report
    } else if can_install() {
        install()?;
        look()?
    } else {
        report
    };
    if report.0.is_empty() {
        process::say(&format!("setup: all is here ({:.1} s)", start.elapsed().as_secs_f64()));
    } else {
        process::say("setup: cannot install here (not Debian, or not root); missing:");
        for missing in &report.0 {
            process::say(&format!("  {missing}"));
        }
        process::say("what can be done without is done without");
    }
    Ok(report)
}

/// Lists what is missing without changing anything.
pub(crate) fn look() -> Result<Report> {
    let linker = bpf_linker().is_some();
    let mut packages: Vec<&Package> = BASIC.iter().collect();
    let mut missing = Vec::new();
    if !nightly_has_source() {
        if is_debian() {
            packages.extend(&COMPILER);
        } else {
            missing.push(NIGHTLY);
        }
    }
    if !linker {
        if is_debian() {
            packages.extend(&LLVM);
        }
        missing.push(BPF_LINKER);
    }
    let mut absent: Vec<Missing> = absent(&packages)?.into_iter().map(Missing::from).collect();
    absent.append(&mut missing);
    Ok(Report(absent))
}

impl From<&Package> for Missing {
    fn from(package: &Package) -> Self {
        let Package { name, program: _, why, need } = package;
        Self { what: name, why, need: *need }
    }
}

fn install() -> Result<()> {
    let all: Vec<&Package> = if nightly_has_source() {
        BASIC.iter().collect()
    } else {
        BASIC.iter().chain(&COMPILER).collect()
    };
    let needs_linker = bpf_linker().is_none();
    let all = all.into_iter().chain(LLVM.iter().filter(|_| needs_linker)).collect::<Vec<_>>();
    let wanted = absent(&all)?;
    if !wanted.is_empty() {
        process::say("setup: installing Debian packages (about a minute):");
        for package in &wanted {
            process::say(&format!("  {}: {}", package.name, package.why));
        }
        process::run(Command::new("apt-get").args(["-q", "update"]))?;
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt.args(["-q", "-y", "install", "--no-install-recommends"]);
        process::run(apt.args(wanted.iter().map(|package| package.name)))?;
    }
    if needs_linker {
        install_bpf_linker()?;
    }
    Ok(())
}

/// LLVM 22's own folder must come first, or bpf-linker is linked with another LLVM, or none
/// ("unable to find library -lLLVM"). It must be the LLVM of the compiler whose bitcode it reads.
fn install_bpf_linker() -> Result<()> {
    process::say("setup: building bpf-linker, which links the eBPF half (one to two minutes)");
    let ask = |what: &str| -> Result<String> {
        Ok(process::capture(Command::new("llvm-config-22").arg(what))?.trim().to_owned())
    };
    let (bin, prefix) = (ask("--bindir")?, ask("--prefix")?);
    let path = std::env::var("PATH").unwrap_or_default();
    let mut cargo = Command::new("cargo");
    cargo.args(["install", "bpf-linker", "--version", "^0.13", "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", "llvm-22"]);
    cargo.env("LLVM_PREFIX", &prefix).env("LLVM_SYS_221_PREFIX", &prefix);
    cargo.env("PATH", format!("{bin}:{path}"));
    process::run(&mut cargo)?;
    bpf_linker().context("bpf-linker was installed but does not run")?;
    Ok(())
}

/// The packages that are not installed.
fn absent<'a>(packages: &[&'a Package]) -> Result<Vec<&'a Package>> {
    if !is_debian() {
        let here = |package: &Package| {
            package.program.is_none_or(|program| paths::on_path(program).is_some())
        };
        return Ok(packages.iter().copied().filter(|package| !here(package)).collect());
    }
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${Package} ${db:Status-Status}\\n"]);
    query.args(packages.iter().map(|package| package.name));
    // It fails if it does not know one of them, but still lists the others.
    let output = process::output(&mut query)?;
    let installed = installed(&String::from_utf8_lossy(&output.stdout));
    Ok(packages
        .iter()
        .copied()
        .filter(|package| !installed.iter().any(|name| name == package.name))
        .collect())
}

/// Parses lines of name and status into the names of installed packages.
fn installed(listing: &str) -> Vec<String> {
    listing.lines().filter_map(|line| line.strip_suffix(" installed")).map(str::to_owned).collect()
}

fn bpf_linker() -> Option<PathBuf> {
    let beside_cargo = paths::cargo_bin().map(|dir| dir.join("bpf-linker"));
    [paths::on_path("bpf-linker"), beside_cargo]
        .into_iter()
        .flatten()
        .find(|program| process::works(Command::new(program).arg("--version")))
}

/// Is there a nightly that can build `core` itself?
fn nightly_has_source() -> bool {
    let mut rustup = Command::new("rustup");
    let Ok(rustc) = process::capture(rustup.args(["which", "--toolchain", "nightly", "rustc"]))
    else {
        return false;
    };
    let root = Path::new(rustc.trim()).ancestors().nth(2);
    root.is_some_and(|root| root.join("lib/rustlib/src/rust/library/core").is_dir())
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && paths::on_path("dpkg-query").is_some()
}

fn can_install() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    root && is_debian() && paths::on_path("apt-get").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_fully_installed_counts() {
        let listing = "gcc installed\nkmod not-installed\nxz-utils config-files\ndpkg installed\n";
        assert_eq!(installed(listing), ["gcc", "dpkg"]);
    }

    #[test]
    fn a_need_is_met_when_only_others_are_missing() {
        let report = Report(vec![BPF_LINKER]);
        assert!(report.require(Need::Guests).is_ok());
        let error = report.require(Need::Build).unwrap_err().to_string();
        assert!(error.contains("bpf-linker"), "{error}");
    }
}
