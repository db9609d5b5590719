//! `backlog-packets`: provokes one kind of loss with crafted packets, and prints the truth about
//! it. The library does everything but parsing the command line and setting the exit status.

use std::process::ExitCode;

use anyhow::Result;
use backlog_tests::output::write_truth;
use backlog_tests::packets::{self, Options, Truth};
use clap::Parser;

fn main() -> ExitCode {
    match go(&Options::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("backlog-packets: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs it; returns the exit status.
fn go(options: &Options) -> Result<u8> {
    let tell = |truth: &Truth| write_truth(truth, options.out.as_deref());
    let (truth, wrong) = packets::run(options, tell)?;
    for words in &wrong {
        eprintln!("backlog-packets: {words}");
    }
    Ok(if !wrong.is_empty() {
        1
    } else if let Some(why) = &truth.absent {
        eprintln!("backlog-packets: not possible here: {why}");
        3
    } else {
        0
    })
}
