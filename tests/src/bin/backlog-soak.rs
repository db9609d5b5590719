//! `backlog-soak`: the tool for many minutes, beside loads that come and go. All of it is in the
//! library; here are only the command line and the exit.

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
