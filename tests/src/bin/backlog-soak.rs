//! `backlog-soak`: runs the tool for many minutes, next to loads that come and go. The library does
//! everything but parsing the command line and setting the exit status.

use std::process::ExitCode;

use backlog_tests::soak::{self, Options};
use clap::Parser;

fn main() -> ExitCode {
    match soak::run(&Options::parse()) {
        Ok(fine) => ExitCode::from(u8::from(!fine)),
        Err(error) => {
            eprintln!("backlog-soak: {error:#}");
            ExitCode::from(2)
        }
    }
}
