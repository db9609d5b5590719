//! `backlog-bench`: what a tracer costs a loop of connections. All of it is in the
//! library; here are only the command line and the exit.

use std::process::ExitCode;

use backlog_tests::bench::{self, Options};
use clap::Parser;

fn main() -> ExitCode {
    match bench::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backlog-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
