//! Processes the end of an interval: the programs' counts, the owners of the listeners, and the
//! rows.

use anyhow::Result;
use backlog_core::model::reconcile::Blind;
use backlog_core::run::{Backend, Health};

use super::Session;
use crate::commands::trace::enrichers::Enrichers;

/// The maximum number of batches of records to take before the counts are read, and after, since
/// the programs may write faster than we read.
const CATCH_UP: usize = 16;

impl Session<'_> {
    pub(super) fn end_interval(&mut self) -> Result<()> {
        self.intervals += 1;
        self.catch_up()?;
        let reading = self.enrich(Enrichers::count)??;
        self.enrich(|enrichers, context| {
            enrichers.end_namespaces(&reading, context);
            enrichers.end_quiet_namespaces(reading.time_ns, context);
        })?;
        // Show the records that belong to the counts in the same interval.
        self.catch_up()?;
        let filter = &self.options.filter;
        self.enrich(|enrichers, context| {
            enrichers.identify(reading.time_ns, false, context);
            enrichers.widen(filter, &reading.after, context)
        })??;
        let blind = self.blind(self.live.get_ref().missed());
        let rows = self.sinks.interval(reading.time_ns, &blind)?;
        if self.sinks.monitors() {
            let health = self.health();
            self.sinks.health(reading.time_ns, &health)?;
        }
        self.enrich(|enrichers, context| enrichers.interval_ended(&rows, reading.time_ns, context))
    }

    /// The state of the tool itself.
    fn health(&mut self) -> Health {
        let live = self.live.get_ref();
        let (maps_bytes, programs_bytes) = self.own.kernel_memory();
        Health {
            stray: live.stray(),
            decode_errors: live.decode_errors(),
            missed: live.missed(),
            looks: self.enrichers.looks(),
            maps_bytes,
            programs_bytes,
        }
    }

    /// The known gaps that may explain a difference from the kernel's counters.
    pub(super) fn blind(&self, missed: Option<u64>) -> Blind {
        let stray = self.live.get_ref().stray();
        Blind {
            filtered: self.options.filter.is_set(),
            no_slot: stray.no_slot,
            at_closed: stray.closed,
            unattributed: stray.drops,
            missed: missed.unwrap_or(0),
            ignores: self.backend == Backend::Tracepoint,
        }
    }

    /// Takes the records that are in the ring buffer.
    pub(super) fn catch_up(&mut self) -> Result<()> {
        for _ in 0..CATCH_UP {
            let empty = self.live.get_mut().drain(&mut self.queue.events);
            self.dispatch()?;
            if empty {
                break;
            }
        }
        Ok(())
    }
}
