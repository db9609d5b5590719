//! Log messages at the beginning of a run.

use std::io::{self, IsTerminal as _};

use backlog_core::run::Meta;

use super::Session;
use crate::host::kernel_counters::Answers;

/// Ports without a listener that are named one by one.
const PORTS_NAMED: usize = 8;

impl Session<'_> {
    /// Why no better backend is used, what cannot be seen, and ports without a listener.
    pub(super) fn notices(&mut self, meta: &Meta, listing: &Answers) {
        if self.options.quiet {
            return;
        }
        for text in meta.reasons.iter().chain(&meta.gaps).chain(&listing.failures) {
            self.sinks.notice(text);
        }
        if self.options.verbose {
            for hook in &meta.hooks {
                self.sinks.notice(&format!("{:<16} {} ({})", hook.moment, hook.how, hook.program));
            }
        }
        let Some(ports) = &self.options.filter.ports else {
            return;
        };
        let silent: Vec<u16> = ports
            .iter()
            .filter(|port| listing.listed().all(|listed| listed.local.port() != *port))
            .collect();
        if silent.len() <= PORTS_NAMED {
            for port in silent {
                self.sinks.notice(&format!("no listener on port {port} yet: waiting for one"));
            }
        } else if self.sinks.model().is_empty() {
            self.sinks.notice("no listener on any of these ports yet: waiting for one");
        }
        if self.options.verbose && io::stdout().is_terminal() {
            self.sinks.notice("Ctrl-C ends the run and prints the summary");
        }
    }
}
