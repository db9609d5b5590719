//! `cargo xtask fuzz`: runs libFuzzer on each reader of external bytes (`backlog_user::fuzz`) for a
//! bounded time. It works with a stable compiler, since coverage comes from LLVM's pass instead of
//! cargo-fuzz. Findings stay in target/fuzz/findings; inputs that reach new code are kept for the
//! next run.

mod output;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::setup::Need;
use crate::{paths, process, setup};
use output::Counted;

/// The arguments of `fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to fuzz; the default is every reader
    #[arg(value_parser = TARGETS)]
    target: Vec<String>,
    /// How long to fuzz each reader
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
}

/// The names in `backlog_user::fuzz`.
const TARGETS: [&str; 5] = ["btf", "proc", "recording", "ring", "sock_diag"];

/// Seeds, regressions and dictionaries.
const FOLDER: &str = "tests/fuzz";

/// Compiler flags that instrument the code for coverage, and show compared numbers to libFuzzer.
const COVERAGE: [&str; 6] = [
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// An explicit target, since otherwise build scripts and macros would be instrumented, too.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The maximum input size: larger inputs take longer and reach little more.
const BYTES: u32 = 64 << 10;
/// The maximum memory per input, in MiB. With 64 KiB, the readers need far less than the bounds of
/// a recording permit.
const MEMORY: u32 = 1024;
/// The maximum number of seconds per input.
const SECONDS_OF_ONE: u32 = 30;

/// Runs the fuzzer. Returns 1 if something was found.
pub(crate) fn command(args: &Args) -> Result<u8> {
    setup::ensure()?.require(Need::Fuzz)?;
    let fuzzer = build()?;
    let wanted = |name: &&str| args.target.is_empty() || args.target.iter().any(|one| one == name);
    let mut rows = Vec::new();
    for target in TARGETS.iter().filter(|name| wanted(name)) {
        rows.push((*target, Run::of(target)?.fuzz(&fuzzer, args.seconds)?));
    }
    print!("{}", output::table(&rows));
    let found = rows.iter().any(|(_, counted)| !counted.findings.is_empty());
    if found {
        println!(
            "reproduce: cargo run -p backlog-fuzz -- TARGET FILE; once mended, move FILE to \
             {FOLDER}/regressions/TARGET"
        );
    }
    Ok(u8::from(found))
}

/// Builds the fuzzer in a target folder of its own.
fn build() -> Result<PathBuf> {
    let folder = folder();
    let mut cargo = Command::new("cargo");
    cargo.current_dir(paths::root());
    cargo.args(["build", "-p", "backlog-fuzz", "--profile", "fuzz", "--target", TARGET]);
    cargo.env("RUSTFLAGS", COVERAGE.join(" "));
    cargo.env("CARGO_TARGET_DIR", &folder).env("BACKLOG_EBPF", "skip");
    process::run(&mut cargo)?;
    Ok(folder.join(TARGET).join("fuzz/backlog-fuzz"))
}

fn folder() -> PathBuf {
    paths::target().join("fuzz")
}

/// The folders of one reader.
struct Run {
    target: String,
    /// Inputs that reached new code, in this and earlier runs.
    corpus: PathBuf,
    /// Inputs that broke something.
    findings: PathBuf,
    /// The initial inputs.
    seeds: Vec<PathBuf>,
    dictionary: Option<PathBuf>,
}

impl Run {
    fn of(target: &str) -> Result<Self> {
        let own = |what: &str| {
            let folder = folder().join(what).join(target);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            Ok::<_, anyhow::Error>(folder)
        };
        let root = paths::root().join(FOLDER);
        let seeds = ["seeds", "regressions"].map(|what| root.join(what).join(target));
        let dictionary = root.join("dictionaries").join(target);
        Ok(Self {
            target: target.to_owned(),
            corpus: own("corpus")?,
            findings: own("findings")?,
            seeds: seeds.into_iter().filter(|folder| folder.is_dir()).collect(),
            dictionary: Some(dictionary).filter(|file| file.is_file()),
        })
    }

    /// Runs libFuzzer until the time is over or it finds something.
    fn fuzz(&self, fuzzer: &Path, seconds: u64) -> Result<Counted> {
        let before = files(&self.findings)?;
        let mut command = Command::new(fuzzer);
        command.env("BACKLOG_FUZZ_TARGET", &self.target).current_dir(folder());
        if Path::new(MEMORY_FOLDER).is_dir() {
            command.env("TMPDIR", MEMORY_FOLDER);
        }
        command.args([
            format!("-max_total_time={seconds}"),
            format!("-max_len={BYTES}"),
            format!("-rss_limit_mb={MEMORY}"),
            format!("-timeout={SECONDS_OF_ONE}"),
            format!("-artifact_prefix={}/", self.findings.display()),
            "-print_final_stats=1".to_owned(),
        ]);
        if let Some(file) = &self.dictionary {
            command.arg(format!("-dict={}", file.display()));
        }
        command.arg(&self.corpus).args(&self.seeds).stdout(Stdio::null());
        process::announce(&command);
        let output = process::output(&mut command)?;
        let log = String::from_utf8_lossy(&output.stderr);
        let mut counted = Counted::of(&log);
        counted.findings = files(&self.findings)?;
        counted.findings.retain(|file| !before.contains(file));
        if !counted.findings.is_empty() {
            eprintln!("{}", output::why(&log));
        } else if !output.status.success() {
            bail!("the fuzzer of {} failed: {}: {log}", self.target, output.status);
        }
        Ok(counted)
    }
}

/// Writing files here uses no disk.
const MEMORY_FOLDER: &str = "/dev/shm";

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()));
    Ok(entries?.flatten().map(|entry| entry.path()).collect())
}
