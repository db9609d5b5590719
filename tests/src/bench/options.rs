//! The command line of `backlog-bench`.

use clap::Parser;

use super::scenario::Scenario;

/// Measures a loop of connections without and with tracers beside it, and prints a JSON
/// object for each tracer and scenario.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Connections in a round
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Rounds, which show how steady it is
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Only these scenarios
    #[arg(long, value_enum)]
    pub only: Vec<Scenario>,
    /// How long a tracer may take to attach, in seconds of the clock
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    pub start_limit: u64,
    /// Of the tool's backends only these
    #[arg(long, value_name = "BACKEND")]
    pub backend: Vec<String>,
    /// Tracers whose name contains this are left out
    #[arg(long, value_name = "NAME")]
    pub skip: Vec<String>,
    /// Only tracers whose name contains one of these
    #[arg(long, value_name = "NAME")]
    pub tracer: Vec<String>,
}
