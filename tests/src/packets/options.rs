//! The command line of `backlog-packets`.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;

use super::scenario::Scenario;
use crate::handshake::Handshake;
use crate::load::Family;

/// Provokes one kind of loss at a TCP listener with crafted packets through a
/// tun device, exactly, and prints the truth as one JSON object.
///
/// Works in a network namespace of its own unless told otherwise. Every
/// scenario works with every family. Exit status: 0; 1 when the kernel's
/// counters do not agree with the packets; 2 when it could not be done; 3 when
/// this machine's kernel cannot do it, with the reason as `absent` in the
/// truth.
#[derive(Clone, Debug, Parser)]
#[command(name = "backlog-packets", version)]
pub struct Options {
    /// What to provoke
    #[arg(value_enum)]
    pub scenario: Scenario,
    /// Port to listen on; 0 for any free port, which the truth names
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,
    /// Backlog asked for in listen(2): 3 to 100 (last-quarter: from 8,
    /// pruned: from 5, listener-left: from 64), usually 4 to 16
    #[arg(long, value_name = "N")]
    pub backlog: Option<u16>,
    /// Listen on IPv4, on IPv6, or on the IPv6 wildcard with IPv4 packets
    #[arg(long, value_enum, default_value_t = Family::V4)]
    pub family: Family,
    /// Clients to refuse, usually 5; the maximum depends on the scenario and is printed
    /// (ack-overflow and abort-on-overflow refuse backlog - 2, cookie-returns has four, killed
    /// kills backlog + 1; listener-left: how often, usually once)
    #[arg(long, value_name = "N")]
    pub count: Option<u16>,
    /// Repeat each refused packet this many times, unchanged
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: u16,
    /// Run in the current network namespace, changing its sysctls for the run
    #[arg(long)]
    pub current_netns: bool,
    /// When to start, and how to tell that the server listens.
    #[command(flatten)]
    pub handshake: Handshake,
    /// After printing the truth, keep listening until this file exists
    #[arg(long, value_name = "PATH")]
    pub stay_until_file: Option<PathBuf>,
    /// Write the truth to this file, not to stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl Options {
    /// The backlog, as given or by default.
    #[must_use]
    pub fn backlog(&self) -> u16 {
        self.backlog.unwrap_or(self.scenario.usual_backlog())
    }

    /// The number of clients, as given or by default.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count.unwrap_or(self.scenario.usual_count(self.backlog()))
    }

    /// How many times a refused packet is sent.
    #[must_use]
    pub fn times(&self) -> u64 {
        1 + u64::from(self.retries)
    }

    /// Rejects values with which the result would not be exact.
    ///
    /// # Errors
    /// With a text that states the limits.
    pub fn check(&self) -> Result<()> {
        let (name, backlog) = (self.scenario.name(), self.backlog());
        let backlogs = self.scenario.backlogs();
        let (least, most) = (backlogs.start(), backlogs.end());
        ensure!(backlogs.contains(&backlog), "--backlog of {name} must be {least} to {most}");
        match self.scenario.most(backlog) {
            Some(most) => ensure!(
                (1..=most).contains(&self.count()),
                "--count of {name} must be 1 to {most} with a backlog of {backlog}"
            ),
            None => ensure!(self.count.is_none(), "--count means nothing to {name}"),
        }
        ensure!(
            self.retries == 0 || self.scenario.repeats(),
            "--retries makes no sense for {name}: no packet is refused a second time"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(arguments: &str) -> Result<Options> {
        let words = std::iter::once("backlog-packets").chain(arguments.split_whitespace());
        let options = Options::try_parse_from(words)?;
        options.check()?;
        Ok(options)
    }

    #[test]
    fn what_is_not_given_is_usual() {
        let options = checked("pruned").unwrap();
        assert_eq!((options.backlog(), options.count(), options.times()), (16, 5, 1));
        assert_eq!(checked("expired --backlog 3").unwrap().count(), 3);
        assert_eq!(checked("syn-overflow --retries 2").unwrap().times(), 3);
    }

    #[test]
    fn what_would_not_be_exact_is_refused() {
        for (arguments, word) in [
            ("syn-overflow --backlog 2", "3 to 100"),
            ("last-quarter --backlog 7", "8 to 100"),
            ("expired --backlog 16 --count 9", "1 to 8"),
            ("pruned --backlog 16 --count 9", "1 to 8"),
            ("killed --count 3", "means nothing"),
            ("syn-queue-cookies --backlog 4 --count 6", "1 to 5"),
            ("abort-on-overflow --retries 1", "second time"),
            ("harmless --retries 1", "second time"),
            ("syn-overflow --count 0", "1 to 20000"),
        ] {
            let words = checked(arguments).unwrap_err().to_string();
            assert!(words.contains(word), "{arguments}: {words}");
        }
    }
}
