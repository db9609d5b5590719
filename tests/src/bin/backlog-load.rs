//! `backlog-load`: fills an accept queue on purpose, and prints the truth about it. The library
//! does everything but parsing the command line and setting the exit status.

use std::process::ExitCode;

use backlog_tests::load::{self, Options};
use backlog_tests::output::write_truth;
use clap::Parser;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = load::run(&options).and_then(|truth| write_truth(&truth, options.out.as_deref()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backlog-load: {error:#}");
            ExitCode::from(2)
        }
    }
}
