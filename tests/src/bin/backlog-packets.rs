//! `backlog-packets`: one overflow made of crafted packets, and the truth
//! about it. All of it is in the library; here are only the command line and
//! the exit.

use std::process::ExitCode;

use anyhow::Result;
use backlog_tests::output::write_truth;
use backlog_tests::packets::{self, Options};
use clap::Parser;

fn main() -> ExitCode {
    match go(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("backlog-packets: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether the kernel agrees with the truth.
fn go(options: &Options) -> Result<bool> {
    let (truth, wrong) = packets::run(options)?;
    write_truth(&truth, options.out.as_deref())?;
    for words in &wrong {
        eprintln!("backlog-packets: {words}");
    }
    Ok(wrong.is_empty())
}
