//! `cargo xtask backends`: how each backend attaches in every kernel, the verifier's figures, and
//! the results of the guest tests, as tables in docs/. Also writes the verifier's figures to the
//! file that `cargo xtask test` compares with. The tool does the work; this runs it and formats its
//! output.

mod kernel;
mod look;
mod page;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::backend::Backend;
use crate::instructions::{self, Instructions};
use crate::setup::Need;
use crate::test::guests::{self, Wanted};
use crate::test::native;
use crate::test::row::Row;
use crate::test::suite::{Built, Suite};
use crate::vm::{self, Emulation};
use crate::{pages, process, servers, setup};
use page::Page;

/// The file with the tables.
const FILE: &str = "docs/measured/BACKENDS.md";

/// The arguments of `backends`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these kernels, `native` for this machine's own (default: all)
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Only guest tests whose name contains this
    #[arg(long, value_name = "NAME", conflicts_with = "no_tests")]
    filter: Option<String>,
    /// Skip the guest tests
    #[arg(long)]
    no_tests: bool,
    /// Only write tests/instructions.json: no tests and no tables
    #[arg(long)]
    instructions: bool,
    /// Only print the tables
    #[arg(long, conflicts_with = "instructions")]
    print: bool,
}

/// Runs it. Returns 1 if a test failed; the tables are written anyway, and say so.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let Args { kernel, filter, no_tests, instructions, print } = args;
    let report = setup::ensure()?;
    let (here, others) = native::among(kernel);
    let built = Built::make()?;
    let mut kernels = Vec::new();
    if let Some(others) = &others {
        report.require(Need::Guests)?;
        let untested;
        (kernels, untested) = guests::obtain(others)?;
        for line in &untested {
            process::say(line);
        }
    }
    let mut page = Page::default();
    let mut known = Instructions::read()?.unwrap_or_default();
    for Wanted { series, kernel } in &kernels {
        let looked = look::in_guest(kernel, &built)
            .with_context(|| format!("looking at kernel {series} ({})", kernel.name))?;
        // A kernel given as a file has no series by which others could find it.
        if !series.contains('/') {
            known.put(series, &kernel.name, &instructions::parse(&looked.programs));
        }
        page.add(series, &kernel.name, looked);
    }
    if !print && !kernels.is_empty() {
        known.write()?;
        process::say(&format!("written: {}", instructions::FILE));
    }
    if *instructions {
        return Ok(0);
    }
    if here {
        match look::natively(built.tool()?) {
            Ok((kernel, looked)) => page.add(native::NAME, &kernel, looked),
            Err(error) => process::say(&format!("not inspected natively: {error:#}")),
        }
    }
    if page.is_empty() {
        bail!("no kernel was inspected");
    }
    let mut passed = true;
    if !no_tests {
        let rows = test(here, &kernels, filter.as_deref(), &page, &built)?;
        passed = rows.iter().all(Row::passed);
        page.tested(filter.as_deref(), rows);
    }
    let text = page.render();
    pages::publish(FILE, &text, *print)?;
    Ok(u8::from(!passed))
}

/// Runs the guest tests with every backend that a kernel permits.
fn test(
    here: bool,
    kernels: &[Wanted],
    filter: Option<&str>,
    page: &Page,
    built: &Built,
) -> Result<Vec<Row>> {
    let suite = Suite {
        filters: filter.iter().map(|&filter| filter.to_owned()).collect(),
        variables: Vec::new(),
        cpus: vm::CPUS,
        emulation: Emulation::InTurn,
        servers: servers::if_possible(),
        limit: guests::LIMIT + Duration::from_mins(1),
        short: false,
    };
    let mut rows = Vec::new();
    for backend in Backend::ALL {
        if here && page.permits(native::NAME, backend) {
            match native::test(built, Some(backend), &suite) {
                Ok(row) => rows.push(row),
                Err(error) => process::say(&format!("not tested natively: {error:#}")),
            }
        }
    }
    let backends = Backend::ALL.map(Some);
    rows.extend(guests::test_all(guests::jobs(kernels, &backends, &suite, built)?, built));
    Ok(rows)
}
