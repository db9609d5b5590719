//! backlog-trace: which TCP accept queue overflowed, when, whom it hit, and why.
//!
//! The way is straight: hook, record, ring, decode, event, book, view. See
//! docs/ARCHITECTURE.md.

mod accept_probe;
mod acceptors;
mod attach;
mod audit;
#[doc(hidden)]
pub mod bench;
mod book;
mod cli;
mod clock;
mod command;
mod count;
mod counter;
mod decode;
mod doctor;
mod event;
mod filter;
mod judge;
mod kernel;
mod layout;
mod listeners;
mod live;
mod load;
mod manual;
mod mistyped;
#[cfg(test)]
mod named_options;
mod namespaces;
mod options;
mod own;
mod owner;
mod owners;
mod plan;
mod pod;
mod ports;
#[cfg(feature = "ebpf-log")]
mod program_log;
mod queues;
mod record;
mod registry;
mod replay;
mod run;
#[cfg(test)]
mod schema;
mod selection;
mod session;
mod show;
mod signals;
mod steps;
mod table;
mod view;
mod whole_file;

use std::io;
use std::process::ExitCode;

use clap::Parser as _;

/// Exit status: drops were seen with `--until-drop`, or there are findings with `--check`.
const SEEN: u8 = 1;
/// Exit status: it could not go on.
const FAILED: u8 = 2;

/// Runs the program on its command line.
#[must_use]
pub fn main() -> ExitCode {
    let first = std::env::args_os().nth(1);
    if let Some(error) = first.and_then(|word| mistyped::command(word.to_str()?)) {
        return fail(&anyhow::Error::msg(error));
    }
    // clap itself exits with 2 on a wrong command line and 0 after --help.
    let mut args = cli::Args::parse();
    let result = match args.command.take() {
        Some(cli::Command::Listeners(args)) => audit::run(&args),
        Some(cli::Command::Doctor(args)) => doctor::run(&args),
        Some(cli::Command::Replay(args)) => replay::run(&args),
        Some(cli::Command::Report(args)) => replay::report::run(&args),
        Some(cli::Command::Completions { shell }) => manual::completions(shell),
        Some(cli::Command::Man { of }) => manual::page(of.as_deref()),
        None => match options::Options::check(args) {
            Ok(options) => run::run(options),
            Err(error) => Err(error.into()),
        },
    };
    match result {
        Ok(run::Outcome::Done) => ExitCode::SUCCESS,
        Ok(run::Outcome::DropsSeen | run::Outcome::Findings) => ExitCode::from(SEEN),
        Ok(run::Outcome::WouldFail | run::Outcome::Unrecorded | run::Outcome::CommandFailed) => {
            ExitCode::from(FAILED)
        }
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    session::notice(&format!("{error:#}"));
    ExitCode::from(FAILED)
}

/// Whoever read our output has had enough: no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
