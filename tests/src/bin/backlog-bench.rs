//! `backlog-bench`: measures what a tracer costs a loop of connections. The library does everything
//! but parsing the command line and setting the exit status.

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
