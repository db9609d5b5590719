//! backlog-trace: which TCP accept queues overflow, when, why, and which clients are affected.
//!
//! An event passes a hook, a record, the ring buffer, decoding, the model, and the views. See
//! docs/dev/ARCHITECTURE.md.

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod bpf;
mod cli;
mod clock;
mod commands;
#[cfg(test)]
mod docs;
mod exit;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod fuzz;
mod host;
mod notice;
mod outlet;
mod output;
mod rights;

use std::io;
use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program with its command line.
#[must_use]
pub fn main() -> ExitCode {
    let first = std::env::args_os().nth(1);
    if let Some(error) = first.and_then(|word| cli::mistyped::command(word.to_str()?)) {
        return fail(&anyhow::Error::msg(error));
    }
    // clap itself exits with 2 on a wrong command line and with 0 after --help.
    let mut args = cli::Args::parse();
    let command = args.command.take();
    if !matches!(command, None | Some(cli::Command::Serve(_))) {
        outlet::survive_file_limit();
    }
    let result = match command {
        Some(cli::Command::Listeners(args)) => commands::listeners::run(&args),
        Some(cli::Command::Doctor(args)) => commands::doctor::run(&args),
        Some(cli::Command::Replay(args)) => commands::replay::run(&args),
        Some(cli::Command::Report(args)) => commands::report::run(&args),
        Some(cli::Command::Compare(args)) => commands::compare::run(&args),
        Some(cli::Command::Serve(args)) => commands::serve::run(*args),
        Some(cli::Command::Explain { name }) => commands::explain::run(name.as_deref()),
        Some(cli::Command::Completions { shell }) => commands::manual::completions(shell),
        Some(cli::Command::Man { of }) => commands::manual::page(of.as_deref()),
        None => match cli::options::Options::check(args) {
            Ok(options) => commands::trace::run(options),
            Err(error) => Err(error.into()),
        },
    };
    let code = match result {
        Ok(outcome) => outcome.code(),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    };
    // If messages were lost, only the exit status can show it.
    if notice::finish().bytes > 0 { ExitCode::from(exit::FAILED) } else { code }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    notice::error(&format!("{error:#}"));
    ExitCode::from(exit::FAILED)
}

/// Has the reader of our output closed it? That is not an error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
