//! An accept queue with room for 65,535 that holds 0, 1,000 and 65,000 connections, all by real
//! handshakes: the cost of adding one more and accepting the oldest.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::line::Line;
use super::super::rounds;
use super::super::stage::{end, listen};
use super::clients::{Clients, Spare};
use super::measure::Loop;
use super::tool::Tool;
use super::{Table, Wanted};
use crate::clock::thread_ns;
use crate::socket;
use crate::sysctl::Sysctl;

/// The numbers of queued connections.
const DEPTHS: [usize; 3] = [0, 1_000, 65_000];
/// The largest possible backlog.
const BACKLOG: u16 = 65_535;
const PORT: u16 = 8000;

/// The queue, and its clients.
#[derive(Debug)]
struct Queue {
    listener: TcpListener,
    waiting: VecDeque<TcpStream>,
    clients: Clients,
}

/// Measures with each depth.
pub(super) fn run(wanted: &Wanted) -> Result<()> {
    let _settings = [
        Sysctl::set("net.ipv4.tcp_max_tw_buckets", "0")?,
        Sysctl::set("net.core.somaxconn", &BACKLOG.to_string())?,
    ];
    let mut spare = Spare::set_up()?;
    let mut queue = Queue::open()?;
    rounds::await_steady(|| queue.turn())?;
    for depth in DEPTHS {
        queue.fill(depth)?;
        queue.tell(wanted, depth, &mut spare, None)?;
    }
    queue.empty()?;
    let tracer = wanted.row();
    let mut tool = Tool::start(wanted, &PORT.to_string())?;
    for depth in DEPTHS {
        queue.fill(depth)?;
        tool.await_sleep(wanted.start_limit)?;
        queue.tell(wanted, depth, &mut spare, Some((&tracer, &tool)))?;
        tool.tell_memory(&tracer, &name(depth))?;
    }
    queue.empty()?;
    let said = tool.end()?;
    let scenario = name(DEPTHS.iter().copied().max().unwrap_or_default());
    for (name, value) in unfollowed(&said)? {
        Line::Value { tracer: &tracer, scenario: &scenario, name, value }.tell()?;
    }
    Ok(())
}

/// The name in the table.
fn name(depth: usize) -> String {
    format!("{:?} {depth}", Table::Queue).to_lowercase()
}

/// From the tool's summary: how many connections were enqueued, and how many of these it could not
/// track.
fn unfollowed(said: &str) -> Result<Vec<(&'static str, f64)>> {
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let summary = lines
        .filter(|line| line.get("type").and_then(Value::as_str) == Some("summary"))
        .find(|line| line.pointer("/listener/port").and_then(Value::as_u64) == Some(PORT.into()))
        .context("backlog-trace gave no summary of the queue")?;
    let of = |name: &'static str| Some((name, summary.get(name)?.as_f64()?));
    Ok(["enqueued", "untimed", "untracked", "lost_records"].into_iter().filter_map(of).collect())
}

impl Queue {
    fn open() -> Result<Self> {
        let listener: TcpListener = listen(Self::address(), BACKLOG.into())?.into();
        let limit = socket::queue(&listener).context("cannot read the queue")?.limit;
        ensure!(limit == u32::from(BACKLOG), "the kernel grants a queue of {limit} only");
        Ok(Self { listener, waiting: VecDeque::new(), clients: Clients::default() })
    }

    fn address() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, PORT).into()
    }

    fn tell(
        &mut self,
        wanted: &Wanted,
        depth: usize,
        spare: &mut Spare,
        beside: Option<(&str, &Tool)>,
    ) -> Result<()> {
        let scenario = name(depth);
        let turn: &mut dyn FnMut() -> Result<()> = &mut || self.turn();
        Loop { scenario: &scenario, clock: thread_ns, turn }.tell(wanted.effort, spare, beside)?;
        let queue = socket::queue(&self.listener).context("cannot read the queue")?;
        ensure!(u64::from(queue.depth) == depth as u64, "it holds {}, not {depth}", queue.depth);
        Ok(())
    }

    /// Fills the queue with the same clients each time.
    fn fill(&mut self, depth: usize) -> Result<()> {
        self.empty()?;
        self.clients = Clients::starting_at(u32::try_from(depth)?);
        while self.waiting.len() < depth {
            self.waiting.push_back(self.clients.connect(Self::address())?);
        }
        Ok(())
    }

    /// Adds one and accepts the oldest, so that the depth stays the same.
    fn turn(&mut self) -> Result<()> {
        self.waiting.push_back(self.clients.connect(Self::address())?);
        self.take()
    }

    fn take(&mut self) -> Result<()> {
        let (server, _) = self.listener.accept().context("cannot accept")?;
        let client = self.waiting.pop_front().context("the queue has more than it got")?;
        end([client, server])
    }

    fn empty(&mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            self.take()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_found_among_the_lines() {
        let said = "a word\n{\"type\":\"meta\"}\n\
            {\"type\":\"summary\",\"listener\":{\"port\":8000},\"enqueued\":9,\"untracked\":2}\n";
        assert_eq!(unfollowed(said).unwrap(), [("enqueued", 9.0), ("untracked", 2.0)]);
        assert!(unfollowed("").is_err());
    }
}
