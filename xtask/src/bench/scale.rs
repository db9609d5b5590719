//! The part `scale` in one kernel: guests for its tables, each with the memory and CPUs that its
//! tables need. `page` renders the results.

mod page;
mod tables;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::guest::{self, Booted, FEW, START_LIMIT};
use super::rivals::Rivals;
use super::rows::Rows;
use crate::backend::Backend;
use crate::kernels::Kernel;
use crate::process;

pub(super) use page::render;

/// The tables, as `backlog-bench --table` names them.
pub(super) const TABLES: [&str; 5] = ["listeners", "queue", "flood", "cpus", "start"];

/// 65,000 queued connections are 130,000 sockets of some 4 KiB each with their buffers; half of the
/// memory is for files.
const LARGE: u32 = 3072;
const SMALL: u32 = 1024;
/// Filling that queue takes minutes.
const LIMIT: Duration = Duration::from_mins(30);

/// What to measure.
pub(super) struct Scale<'a> {
    pub(super) programs: &'a [PathBuf],
    pub(super) rivals: Option<&'a Rivals>,
    pub(super) backend: Option<Backend>,
    pub(super) only: &'a [String],
    pub(super) quick: bool,
}

/// A guest for some of the tables.
struct Place {
    tables: &'static [&'static str],
    cpus: u32,
    memory: u32,
    rivals: bool,
}

const PLACES: [Place; 3] = [
    Place { tables: &["listeners", "queue", "flood"], cpus: 1, memory: LARGE, rivals: false },
    Place { tables: &["cpus"], cpus: 2, memory: SMALL, rivals: false },
    Place { tables: &["start"], cpus: 1, memory: guest::MEMORY, rivals: true },
];

impl Scale<'_> {
    /// Measures in one kernel.
    pub(super) fn run(&self, kernel: &Kernel) -> Result<Rows> {
        let mut all = Rows::default();
        for place in &PLACES {
            let is_wanted =
                |table: &&str| self.only.is_empty() || self.only.iter().any(|only| only == table);
            let tables: Vec<&str> = place.tables.iter().copied().filter(is_wanted).collect();
            if !tables.is_empty() {
                process::say(&format!("tables: {}", tables.join(", ")));
                match self.run_in(place, kernel, &tables) {
                    Ok(rows) => all.extend(rows),
                    // Some kernels do not boot with two CPUs and a counting clock. The page says
                    // so, and still has the other tables.
                    Err(error) if place.cpus > 1 => {
                        process::say(&format!("not measured: {}: {error:#}", tables.join(", ")));
                        all.miss(&tables.join(", "), &error.root_cause().to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(all)
    }

    fn run_in(&self, place: &Place, kernel: &Kernel, tables: &[&str]) -> Result<Rows> {
        let rivals = self.rivals.filter(|_| place.rivals);
        let added = guest::added(self.programs, rivals, (!self.quick).then_some(kernel));
        let backend = self.backend.unwrap_or(Backend::Fentry).name();
        let mut words = vec!["--part", "scale", "--start-limit", START_LIMIT];
        words.extend(["--backend", backend]);
        if self.quick {
            words.extend(["--rounds", FEW, "--skip", "(bcc)"]);
        }
        for table in tables {
            words.extend(["--table", table]);
        }
        let Place { cpus, memory, .. } = *place;
        guest::measure(&Booted { kernel, cpus, memory, limit: LIMIT, added: &added }, &words)
    }
}
