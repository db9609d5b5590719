//! `cargo xtask causes`: provokes each cause of a drop in every kernel, on one CPU and on two, and
//! runs a load in addition; the results are tables in docs/. The guest tests do the work and the
//! comparison; this runs them and formats their output.

mod page;
mod rows;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::test::guests;
use crate::test::row::Row;
use crate::test::suite::Suite;
use crate::vm::Emulation;
use crate::{pages, process, setup};
use page::Page;

/// The file with the tables.
const FILE: &str = "docs/measured/CAUSES.md";

/// The arguments of `causes`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these kernels (default: the whole matrix)
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// How long each load runs
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u64,
    /// Only print the tables
    #[arg(long)]
    print: bool,
}

/// Runs it. Returns 1 if a test failed; the tables are written anyway, and say so.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let Args { kernel, seconds, print } = args;
    let report = setup::ensure()?;
    let mut page = Page::new(*seconds);
    let mut failed = Vec::new();
    for cpus in [1, 2] {
        let suite = Suite {
            filters: vec!["causes::".to_owned(), "overload::".to_owned()],
            variables: vec![
                ("BACKLOG_ROWS", "1".to_owned()),
                ("BACKLOG_SECONDS", seconds.to_string()),
            ],
            cpus,
            // Two CPUs must run in parallel, since this measures races.
            emulation: if cpus == 1 { Emulation::InTurn } else { Emulation::Parallel },
            servers: None,
            limit: guests::LIMIT + Duration::from_secs(seconds.saturating_mul(4)),
            short: false,
        };
        for row in guests::collect(&report, kernel, &suite)? {
            let passed = row.passed();
            let Row { series, version, errors, .. } = row;
            let found = rows::parse(&errors)
                .with_context(|| format!("the rows of kernel {series} on {cpus} CPU"))?;
            ensure!(!found.is_empty(), "kernel {series} on {cpus} CPU printed no row");
            page.add(&series, &version, cpus, found);
            if !passed {
                failed.push(format!("{series} on {cpus} CPU"));
            }
        }
    }
    let text = page.render(&failed);
    pages::publish(FILE, &text, *print)?;
    for one in &failed {
        process::say(&format!("failed: kernel {one}"));
    }
    Ok(u8::from(!failed.is_empty()))
}
