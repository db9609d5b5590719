//! What is said on stderr when a run begins.

use std::io::{self, IsTerminal as _};

use backlog_core::run::Meta;

use super::Session;
use crate::host::kernel_counters::Answers;

/// Ports without a listener that are named one by one.
const PORTS_NAMED: usize = 8;

impl Session<'_> {
    /// Why it is no better backend, what cannot be seen, ports at which nobody listens.
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
                self.sinks.notice(&format!("nothing listens on port {port} yet: waiting for it"));
            }
        } else if self.sinks.model().is_empty() {
            self.sinks.notice("nothing listens on any of these ports yet: waiting for one");
        }
        if self.options.verbose && io::stdout().is_terminal() {
            self.sinks.notice("Ctrl-C ends the run and prints the summary");
        }
    }
}
