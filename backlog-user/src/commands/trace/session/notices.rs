//! Log messages at the start of a run.

use std::io::{self, IsTerminal as _};
use std::iter;

use backlog_core::run::{Backend, Meta};

use super::Session;
use crate::host::kernel_counters::Answers;

/// The maximum number of ports without a listener to name.
const PORTS_NAMED: usize = 8;

impl Session<'_> {
    /// Logs the backend and its gaps, and the ports without a listener.
    pub(super) fn notices(&mut self, meta: &Meta, listing: &Answers) {
        if self.options.quiet {
            return;
        }
        let Meta { backend, reasons, gaps, .. } = meta;
        let known = of_backend(*backend, reasons, gaps, self.options.verbose);
        for text in known.iter().chain(&listing.failures) {
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

/// Why no better backend is used, and what the chosen one does not see. Details that `doctor`
/// explains take one line, unless the log is verbose.
fn of_backend(backend: Backend, reasons: &[String], gaps: &[String], verbose: bool) -> Vec<String> {
    let own = format!("backend {}: ", backend.name());
    let limits = gaps.iter().filter(|gap| gap.starts_with(&own)).count();
    let is_refused =
        |other: &Backend| reasons.iter().any(|why| why.starts_with(&other.refusal("")));
    let refused: Vec<Backend> = Backend::ALL.into_iter().filter(is_refused).collect();
    let names: Vec<&str> = refused.iter().map(|other| other.name()).collect();
    if verbose || limits + refused.len() < 2 {
        return reasons.iter().chain(gaps).cloned().collect();
    }
    let because = match names.as_slice() {
        [] => String::new(),
        [one] => format!(", because {one} is not available here"),
        several => format!(", because {} are not available here", several.join(" and ")),
    };
    let blind = match limits {
        0 => String::new(),
        _ => format!("; it does not see everything ({limits} limits)"),
    };
    let line =
        format!("backend {}{because}{blind}: see `backlog-trace doctor`, or -v", backend.name());
    let is_explained = |text: &&String| {
        text.starts_with(&own) || refused.iter().any(|other| text.starts_with(&other.refusal("")))
    };
    let rest = reasons.iter().chain(gaps).filter(|text| !is_explained(text)).cloned();
    iter::once(line).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(backend: Backend, reasons: &[&str], gaps: &[&str], verbose: bool) -> Vec<String> {
        let owned =
            |texts: &[&str]| -> Vec<String> { texts.iter().map(|&text| text.to_owned()).collect() };
        of_backend(backend, &owned(reasons), &owned(gaps), verbose)
    }

    #[test]
    fn what_doctor_explains_is_one_line() {
        let reasons = ["no fentry: refused", "no kprobe: none here"];
        let gaps = ["backend tracepoint: a", "backend tracepoint: b", "--pid: c"];
        let told = lines(Backend::Tracepoint, &reasons, &gaps, false);
        let line = "backend tracepoint, because fentry and kprobe are not available here; it does \
                    not see everything (2 limits): see `backlog-trace doctor`, or -v";
        assert_eq!(told, [line, "--pid: c"]);
        assert_eq!(lines(Backend::Tracepoint, &reasons, &gaps, true).len(), 5);
    }

    #[test]
    fn a_single_line_is_said_as_it_is() {
        let told = lines(Backend::Kprobe, &["no fentry: refused"], &[], false);
        assert_eq!(told, ["no fentry: refused"]);
        assert!(lines(Backend::Fentry, &[], &[], false).is_empty());
    }
}
