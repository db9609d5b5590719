//! Builds the eBPF half into `$OUT_DIR/backlog-ebpf.o`, which the tool embeds.
//!
//! - `BACKLOG_EBPF=skip`: an empty object, so that lints and host tests need no
//!   BPF tool. The tool then says at start that it was built without programs.
//! - `BACKLOG_EBPF=/path/to/object`: that object.
//! - otherwise: rustup's nightly with `rust-src`, if there is one, else the
//!   distribution's rustc with a precompiled `core` for the bpf target
//!   (Debian: `rustc-web`, `libstd-rust-web-dev-bpf`). `bpf-linker` links.
//!
//! Where the tools are missing, a debug build gets the empty object and a warning
//! (so that `cargo clippy` and `cargo test` work anywhere), a release build fails.
//!
//! This calls cargo itself and not through aya-build, whose toolchain is always
//! rustup's: with it, the distribution's compiler cannot be used beside rustup.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The target without an operating system that the verifier loads.
const TARGET: &str = "bpfel-unknown-none";

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../backlog-ebpf");
    println!("cargo:rerun-if-env-changed=BACKLOG_EBPF");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let object = out.join("backlog-ebpf.o");
    match env::var_os("BACKLOG_EBPF") {
        Some(value) if value == "skip" => {
            fs::write(&object, []).with_context(|| format!("writing {}", object.display()))
        }
        Some(path) => copy(Path::new(&path), &object),
        None => match Tools::find() {
            Ok(tools) => copy(&build(&tools, &out)?, &object),
            Err(missing) if env::var("PROFILE").is_ok_and(|profile| profile == "debug") => {
                println!("cargo:warning=built without the eBPF programs: {missing}");
                fs::write(&object, []).with_context(|| format!("writing {}", object.display()))
            }
            Err(missing) => Err(missing),
        },
    }
}

/// What compiles and links the programs.
struct Tools {
    linker: PathBuf,
    toolchain: Toolchain,
}

impl Tools {
    fn find() -> Result<Self> {
        let linker = find("bpf-linker").context(
            "bpf-linker is not on PATH: run `cargo xtask setup` \
             (or set BACKLOG_EBPF=skip to build without programs)",
        )?;
        Ok(Self { linker, toolchain: toolchain()? })
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// A way to compile for the bpf target.
enum Toolchain {
    /// rustup's nightly, which compiles `core` from `rust-src`.
    Nightly,
    /// A distribution's cargo and rustc in this folder, with `core` for the target.
    Distribution(PathBuf),
}

/// Runs cargo for the eBPF package and returns the object's path.
fn build(tools: &Tools, out: &Path) -> Result<PathBuf> {
    let Tools { linker, toolchain } = tools;
    println!("cargo:rerun-if-changed={}", linker.display());
    let target_dir = out.join("ebpf");
    let mut cargo = command(toolchain);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_else(|_| "x86_64".into());
    cargo
        .current_dir(&workspace)
        .args(["build", "--package", "backlog-ebpf", "--bin", "backlog-ebpf"])
        .args(["--profile", "ebpf", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(&arch, linker));
    if env::var_os("CARGO_FEATURE_EBPF_LOG").is_some() {
        cargo.args(["--features", "log"]);
    }
    let status = cargo.status().with_context(|| format!("starting {cargo:?}"))?;
    if !status.success() {
        bail!("building the eBPF programs failed ({status}): {cargo:?}");
    }
    Ok(target_dir.join(TARGET).join("ebpf/backlog-ebpf"))
}

/// Flags for rustc, separated as `CARGO_ENCODED_RUSTFLAGS` wants them.
fn rustflags(arch: &str, linker: &Path) -> OsString {
    // v3 has halves of registers (5.1): without them each 32-bit number takes two shifts.
    let mut flags = OsString::from(format!(
        "--cfg=bpf_target_arch=\"{arch}\"\u{1f}-Ctarget-cpu=v3\u{1f}-Cdebuginfo=2\u{1f}\
         -Clink-arg=--btf\u{1f}-Clinker="
    ));
    flags.push(linker);
    flags
}

fn command(toolchain: &Toolchain) -> Command {
    match toolchain {
        Toolchain::Nightly => {
            let mut command = clean("rustup");
            command.args(["run", "nightly", "cargo", "-Zbuild-std=core"]);
            command
        }
        Toolchain::Distribution(folder) => {
            let mut command = clean(folder.join("cargo"));
            command
                .env("RUSTC", folder.join("rustc"))
                // aya-ebpf uses one unstable feature; a list of crates, unlike
                // `1`, opens it for these only.
                .env("RUSTC_BOOTSTRAP", "aya_ebpf,backlog_ebpf");
            command
        }
    }
}

/// A command without what cargo set for this build script, which must not steer
/// the other build.
fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = text.starts_with("CARGO_") && text != "CARGO_HOME";
        if of_cargo
            || text.starts_with("RUSTC")
            || text == "RUSTFLAGS"
            || text == "RUSTUP_TOOLCHAIN"
        {
            command.env_remove(&name);
        }
    }
    command
}

fn toolchain() -> Result<Toolchain> {
    if nightly_has_sources() {
        return Ok(Toolchain::Nightly);
    }
    for folder in ["/usr/bin", "/usr/local/bin"] {
        let folder = PathBuf::from(folder);
        if has_core(&folder.join("rustc")) && folder.join("cargo").exists() {
            return Ok(Toolchain::Distribution(folder));
        }
    }
    bail!(
        "no Rust compiler with `core` for {TARGET}: run `cargo xtask setup`, which installs \
         Debian's rustc-web, cargo-web and libstd-rust-web-dev-bpf; elsewhere `rustup toolchain \
         install nightly --component rust-src` (or set BACKLOG_EBPF=skip to build without programs)"
    )
}

fn nightly_has_sources() -> bool {
    let Some(root) = sysroot(Command::new("rustup").args(["run", "nightly", "rustc"])) else {
        return false;
    };
    root.join("lib/rustlib/src/rust/library/core").exists()
}

/// Does this rustc bring a compiled `core` for the target?
fn has_core(rustc: &Path) -> bool {
    let mut command = Command::new(rustc);
    command.env_remove("RUSTUP_TOOLCHAIN");
    sysroot(&mut command).is_some_and(|root| root.join("lib/rustlib").join(TARGET).exists())
}

fn sysroot(rustc: &mut Command) -> Option<PathBuf> {
    let output = rustc.args(["--print", "sysroot"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

fn find(program: &str) -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(home.map(|home| home.join("bin")))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
