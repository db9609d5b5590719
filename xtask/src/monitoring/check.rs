//! `cargo xtask check-monitoring`: validates the files of packaging/ with the programs that will
//! read them. A check whose program is missing is reported with the reason.

mod grafana;
mod kubernetes;
mod prometheus;
mod python;
mod systemd;

use anyhow::Result;

use super::ask;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run every query of the dashboards at this Prometheus instead; those without a series fail
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
}

/// The result of a check that did not fail.
enum Outcome {
    /// It passed; what was checked.
    Passed(String),
    /// It was skipped, for this reason.
    Skipped(String),
}

/// The name of a check, and the check.
type Check = (&'static str, fn() -> Result<Outcome>);

/// All checks.
const CHECKS: [Check; 8] = [
    ("promtool check rules", prometheus::rules),
    ("promtool test rules", prometheus::unit_tests),
    ("promtool check config", prometheus::config),
    ("amtool check-config", prometheus::alertmanager),
    ("systemd-analyze verify", systemd::verify),
    ("systemd-analyze security", systemd::exposure),
    ("kustomize, kubernetes-validate", kubernetes::overlays),
    ("Grafana's SDK", grafana::dashboards),
];

/// Runs every check. Returns 1 if one failed.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let Some(url) = &args.prometheus else { return Ok(files()) };
    let empty = ask::dashboards(url, ".*")?;
    for query in &empty {
        println!("no series: {query}");
    }
    Ok(u8::from(!empty.is_empty()))
}

fn files() -> u8 {
    let mut failed = 0;
    for (name, check) in CHECKS {
        match check() {
            Ok(Outcome::Passed(what)) => println!("passed: {name}: {what}"),
            Ok(Outcome::Skipped(reason)) => println!("not checked: {name}: {reason}"),
            Err(error) => {
                println!("failed: {name}: {error:#}");
                failed = 1;
            }
        }
    }
    failed
}
