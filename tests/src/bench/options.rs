//! The command line of `backlog-bench`.

use clap::{Parser, ValueEnum};

use super::scenario::Scenario;

/// Measures a loop of connections without and with tracers, and prints a JSON object for each
/// tracer and scenario.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// What a tracer costs, or how that grows
    #[arg(long, value_enum, default_value_t = Part::Cost)]
    pub part: Part,
    /// Only these tables of the part scale
    #[arg(long, value_enum)]
    pub table: Vec<Table>,
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
    /// Only these backends of the tool
    #[arg(long, value_name = "BACKEND")]
    pub backend: Vec<String>,
    /// Skip tracers whose name contains this
    #[arg(long, value_name = "NAME")]
    pub skip: Vec<String>,
    /// Only tracers whose name contains one of these
    #[arg(long, value_name = "NAME")]
    pub tracer: Vec<String>,
}

/// The part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// What each tracer costs
    Cost,
    /// How the tool's cost and memory grow
    Scale,
}

/// A table of the part `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// 1 to 10,000 listeners
    Listeners,
    /// An accept queue of up to 65,000
    Queue,
    /// Floods without and with the tool in turn
    Flood,
    /// Client and server on one CPU, and on two
    Cpus,
    /// Each tracer's start
    Start,
}

impl Table {
    /// All tables, in order.
    pub const ALL: [Self; 5] = [Self::Listeners, Self::Queue, Self::Flood, Self::Cpus, Self::Start];
}
