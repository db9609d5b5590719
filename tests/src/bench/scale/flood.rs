//! Floods, alternately without and with the tool: SYNs to a full queue, and connections. Measures
//! the wall-clock time of each, in whichever process, and the share of the tool's own process.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use super::super::line::Line;
use super::super::rounds::{self, Rounds, Taken};
use super::super::scenario::Scenario;
use super::super::stage::{PORT, Stage};
use super::Wanted;
use super::measure::window;
use super::tool::Tool;
use crate::clock::{mono_ns, thread_ns, wait_until};
use crate::counters::Counters;
use crate::packets::{Segment, Tun};

/// The number of packets or connections per flood.
const SYNS: u32 = 100_000;
const CONNECTIONS: u32 = 10_000;
/// The time limit for packets that the kernel has left to a thread of its own.
const LEFT_LIMIT: Duration = Duration::from_secs(10);
/// Two addresses on the device, and the length of its queue.
const NEAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 1), 20_000);
const FAR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 2), 20_000);
const FITS: usize = 100;
const ROUNDS: u32 = 5;
/// How many times the tool is started.
const TIMES: u32 = 2;

/// Measures the floods.
pub(super) fn run(wanted: &Wanted) -> Result<()> {
    let mut stage = Stage::set_up()?;
    rounds::await_steady(|| stage.turns(Scenario::Ipv4, 1))?;
    sent()?;
    discarded(&mut stage)?;
    for time in 1..=TIMES {
        both(&mut stage, time, None)?;
        let tool = Tool::start(wanted, &PORT.to_string())?;
        both(&mut stage, time, Some((&wanted.row(), &tool)))?;
        tool.end()?;
    }
    Ok(())
}

/// The cost before the softirq: a packet that only leaves, into a device whose other end is ours.
fn sent() -> Result<()> {
    let mut tun = Tun::open()?;
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))
        .context("cannot open a raw socket (root is needed)")?;
    let (from, to) = (NEAR.into(), FAR.into());
    let packet =
        Segment { from, to, seq: 1, ack: None, syn: true, rst: false, fin: false }.to_packet()?;
    let (to, mut rounds) = (to.into(), Rounds::default());
    while rounds.count() < ROUNDS {
        let start = mono_ns();
        let mut before = thread_ns();
        let mut times = [0; FITS];
        for time in &mut times {
            raw.send_to(&packet, &to).context("cannot send a packet")?;
            let now = thread_ns();
            *time = now - before;
            before = now;
        }
        rounds.add(&mut times, mono_ns() - start);
        while tun.receive(Duration::ZERO)?.is_some() {}
    }
    let taken = rounds.taken(1).context("no round")?;
    Line::Scaled { tracer: "none", scenario: "sent", taken, process: 0.0 }.tell()
}

/// The cost before TCP: a packet that TCP discards immediately.
fn discarded(stage: &mut Stage) -> Result<()> {
    let start = mono_ns();
    stage.discarded(SYNS)?;
    let taken = one_burst(mono_ns() - start, SYNS)?;
    Line::Scaled { tracer: "none", scenario: "discarded", taken, process: 0.0 }.tell()
}

fn both(stage: &mut Stage, time: u32, beside: Option<(&str, &Tool)>) -> Result<()> {
    let scenario = format!("flood {time}, syns");
    tell(&scenario, SYNS, beside, || {
        let (earlier, start) = (Counters::read()?, mono_ns());
        stage.turns(Scenario::Refused, SYNS)?;
        let all = || Ok(Stage::refused_since(&earlier)? >= u64::from(SYNS));
        wait_until("the last SYN to be refused", LEFT_LIMIT, all)?;
        let wall = mono_ns() - start;
        let refused = Stage::refused_since(&earlier)?;
        ensure!(refused == u64::from(SYNS), "{refused} of {SYNS} SYNs were refused");
        Ok(wall)
    })?;
    let scenario = format!("flood {time}, connections");
    tell(&scenario, CONNECTIONS, beside, || {
        let start = mono_ns();
        stage.turns(Scenario::Ipv4, CONNECTIONS)?;
        Ok(mono_ns() - start)
    })
}

/// Runs a flood and prints its cost, including the work of the tool until it is idle.
fn tell(
    scenario: &str,
    count: u32,
    beside: Option<(&str, &Tool)>,
    mut flood: impl FnMut() -> Result<u64>,
) -> Result<()> {
    let Some((tracer, tool)) = beside else {
        let taken = one_burst(flood()?, count)?;
        return Line::Scaled { tracer: "none", scenario, taken, process: 0.0 }.tell();
    };
    let ((), nothing) = window(tool, || Ok(()))?;
    let start = Instant::now();
    let (wall, all) = window(tool, flood)?;
    // Idle work is not part of the flood, which may take longer than the window.
    let share = nothing * (start.elapsed().as_secs_f64() / super::measure::WINDOW.as_secs_f64());
    let process = (all - share) / f64::from(count);
    let taken = one_burst(wall, count)?;
    Line::Scaled { tracer, scenario, taken, process }.tell()
}

/// A single time for all of them.
fn one_burst(wall: u64, count: u32) -> Result<Taken> {
    let mut rounds = Rounds::default();
    rounds.add(&mut [wall], wall);
    rounds.taken(count).context("no flood")
}
