//! The parts of monitoring that the guest tests need: Prometheus and `VictoriaMetrics`, and the
//! rules with a sixtieth of their durations.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::times::Scale;
use super::{Params, RULES, tools, write_files};
use crate::{paths, process};

/// The scale of the rules for tests with a real overload.
pub(super) const SCALE: u32 = 60;

/// The variables with their paths. Without them, the tests report what they skip.
pub(crate) fn variables() -> Vec<(&'static str, PathBuf)> {
    prepare().unwrap_or_else(|error| {
        process::say(&format!("tested without Prometheus: {error:#}"));
        Vec::new()
    })
}

fn prepare() -> Result<Vec<(&'static str, PathBuf)>> {
    let rules = paths::test_logs().join("rules");
    write_files(&rules, &Params { scale: Scale::new(SCALE)?, ..Params::default() })?;
    let programs = tools::folder("victoria-metrics").or_else(|_| tools::folder("prometheus"))?;
    Ok(vec![
        ("BACKLOG_PROMETHEUS", programs),
        ("BACKLOG_RULES", rules.join("prometheus").join(RULES).canonicalize().context("rules")?),
    ])
}
