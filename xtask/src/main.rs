//! `cargo xtask`: the development tasks of this project, one file each. This file only parses the
//! command line and sets the exit status: 0 success, 1 a check or test failed, 2 a task could not
//! be executed. `vm` and `demo` pass on the status of the command that ran.

mod apart;
mod backend;
mod backends;
mod bench;
mod build;
mod causes;
mod demo;
mod docs;
mod fuzz;
mod image;
mod instructions;
mod kernels;
mod lint;
mod monitoring;
mod native;
mod pages;
mod paths;
mod pictures;
mod process;
mod servers;
mod setup;
mod sizing;
mod soak;
mod test;
mod tree;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need (Debian, as root), or list what is missing
    Setup,
    /// Build the static release binary of backlog-trace
    Build,
    /// Write the container image: the static binary alone, as an OCI layout and as one file
    Image(image::Args),
    /// Check format, lints, language and commit messages
    Lint,
    /// Run a command as root in a freshly booted Debian kernel
    Vm(vm::Args),
    /// Format check, lints, host tests, then guest tests natively, if this kernel permits,
    /// and in each kernel with each backend (the core of them; --all: all of them)
    Test(test::Args),
    /// Provoke each cause of a drop in every kernel, and write docs/measured/CAUSES.md
    Causes(causes::Args),
    /// Test the tool's recommendations with loads of several shapes, and write the table
    Sizing(sizing::Args),
    /// Attach each backend in every kernel, test it, and write docs/measured/BACKENDS.md and
    /// tests/instructions.json
    Backends(backends::Args),
    /// Measure the cost of tracing and of other tracers in every kernel, write
    /// docs/measured/COST.md, and check tests/budgets.json
    Bench(bench::Args),
    /// Take pictures of --tui, --report and the page of serve for docs/ (root, and a kernel that
    /// permits tracing)
    Pictures(pictures::Args),
    /// Fuzz everything that reads external bytes, for a bounded time
    Fuzz(fuzz::Args),
    /// Write docs/schema.json and the tables of docs/ that are generated from the code
    Docs,
    /// Write the rules, rule tests and dashboards of packaging/ from the code
    Monitoring(monitoring::Args),
    /// Check the files of packaging/ with the programs that read them
    CheckMonitoring(monitoring::check::Args),
    /// Measure what a fleet of hosts costs one Prometheus, and write docs/measured/FLEET.md
    Fleet(monitoring::fleet::Args),
    /// Trace for many minutes while listeners come and go, processes stop and disks fill up, and
    /// compare all counts
    Soak(soak::Args),
    /// Trace an overloaded server for some seconds
    Demo(demo::Args),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().task) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(task: Task) -> Result<u8> {
    match task {
        Task::Setup => setup::command(),
        Task::Build => build::command(),
        Task::Image(args) => image::command(&args),
        Task::Lint => Ok(lint::command()),
        Task::Vm(args) => vm::command(args),
        Task::Test(args) => test::command(&args),
        Task::Causes(args) => causes::command(&args),
        Task::Sizing(args) => sizing::command(&args),
        Task::Backends(args) => backends::command(&args),
        Task::Bench(args) => bench::command(&args),
        Task::Pictures(args) => pictures::command(&args),
        Task::Fuzz(args) => fuzz::command(&args),
        Task::Docs => docs::command(),
        Task::Monitoring(args) => monitoring::command(&args),
        Task::CheckMonitoring(args) => monitoring::check::command(&args),
        Task::Fleet(args) => monitoring::fleet::command(&args),
        Task::Soak(args) => soak::command(&args),
        Task::Demo(args) => demo::command(&args),
    }
}
