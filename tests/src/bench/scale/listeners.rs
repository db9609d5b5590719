//! 1, 100 and 10,000 listeners of one process: the cost of a connection to one of them, and to each
//! in turn; the tool's work in an idle second; its memory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};

use super::super::line::Line;
use super::super::rounds;
use super::super::stage::{end, listen};
use super::clients::{Clients, Spare};
use super::measure::{Loop, idle};
use super::tool::Tool;
use super::{Table, Wanted};
use crate::clock::thread_ns;
use crate::sysctl::Sysctl;

/// The numbers of listeners.
const COUNTS: [usize; 3] = [1, 100, 10_000];
/// Their ports, whatever their number.
const PORTS: &str = "8000-8039";
const FIRST_PORT: usize = 8000;
/// The number of listeners that share a port with different addresses: the kernel searches the
/// listeners of a port at every bind.
const IN_A_PORT: usize = 250;
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 1);
const BACKLOG: i32 = 128;
/// The step to the next listener that gets a connection. It divides none of the numbers.
const STRIDE: usize = 7919;

/// The open listeners.
#[derive(Debug, Default)]
struct Listeners {
    open: Vec<(TcpListener, SocketAddr)>,
    clients: Clients,
    next: usize,
}

/// Measures with each number.
pub(super) fn run(wanted: &Wanted) -> Result<()> {
    // As in the part `cost`, leave no TIME_WAIT behind.
    let _setting = Sysctl::set("net.ipv4.tcp_max_tw_buckets", "0")?;
    let mut listeners = Listeners::default();
    let mut spare = Spare::set_up()?;
    for count in COUNTS {
        listeners.grow(count)?;
        rounds::await_steady(|| listeners.meet_one())?;
        listeners.both(wanted, &mut spare, None)?;
        let (tracer, scenario) = (wanted.row(), name(count));
        let mut tool = Tool::start(wanted, PORTS)?;
        Line::Value {
            tracer: &tracer,
            scenario: &scenario,
            name: "start",
            value: tool.cpu_ns()? as f64,
        }
        .tell()?;
        Line::Value { tracer: &tracer, scenario: &scenario, name: "idle", value: idle(&tool)? }
            .tell()?;
        listeners.both(wanted, &mut spare, Some((&tracer, &tool)))?;
        tool.await_sleep(wanted.start_limit)?;
        tool.tell_memory(&tracer, &scenario)?;
        tool.end()?;
    }
    Ok(())
}

/// The name in the table.
fn name(count: usize) -> String {
    format!("{:?} {count}", Table::Listeners).to_lowercase()
}

impl Listeners {
    fn grow(&mut self, count: usize) -> Result<()> {
        for number in self.open.len()..count {
            let address = address(number)?;
            self.open.push((listen(address, BACKLOG)?.into(), address));
        }
        Ok(())
    }

    /// Measures connections to one listener, and to all in turn.
    fn both(
        &mut self,
        wanted: &Wanted,
        spare: &mut Spare,
        beside: Option<(&str, &Tool)>,
    ) -> Result<()> {
        let count = self.open.len();
        // The same clients with and without the tool.
        self.clients = Clients::default();
        let scenario = format!("{}, one", name(count));
        let turn: &mut dyn FnMut() -> Result<()> = &mut || self.meet_one();
        let one = Loop { scenario: &scenario, clock: thread_ns, turn };
        one.tell(wanted.effort, spare, beside)?;
        if count == 1 {
            return Ok(());
        }
        self.clients = Clients::default();
        self.next = 0;
        // Each listener gets a connection before the measurement.
        (0..count).try_for_each(|_| self.meet_next())?;
        let scenario = format!("{}, all", name(count));
        let turn: &mut dyn FnMut() -> Result<()> = &mut || self.meet_next();
        Loop { scenario: &scenario, clock: thread_ns, turn }.tell(wanted.effort, spare, beside)
    }

    fn meet_one(&mut self) -> Result<()> {
        self.connection(0)
    }

    fn meet_next(&mut self) -> Result<()> {
        self.next = (self.next + STRIDE) % self.open.len();
        self.connection(self.next)
    }

    fn connection(&mut self, number: usize) -> Result<()> {
        let (listener, to) = self.open.get(number).context("no listener")?;
        let client = self.clients.connect(*to)?;
        let (server, _) = listener.accept().context("cannot accept")?;
        end([client, server])
    }
}

fn address(number: usize) -> Result<SocketAddr> {
    let port = u16::try_from(FIRST_PORT + number / IN_A_PORT)?;
    let address = Ipv4Addr::from_bits(FIRST.to_bits() + u32::try_from(number % IN_A_PORT)?);
    Ok((address, port).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_on_the_ports_that_the_tool_looks_at() {
        assert_eq!(address(0).unwrap().to_string(), "127.2.0.1:8000");
        assert_eq!(address(9_999).unwrap().to_string(), "127.2.0.250:8039");
    }

    #[test]
    fn a_round_meets_each() {
        for count in COUNTS {
            let mut seen: Vec<usize> = (0..count).map(|turn| turn * STRIDE % count).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..count), "{count}");
        }
    }
}
