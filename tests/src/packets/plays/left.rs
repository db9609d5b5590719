//! A final ACK whose listener leaves LISTEN while the kernel creates the child: a race of two CPUs,
//! tried in rounds until it is hit.
//!
//! One thread writes the final ACKs of half-open requests, another shuts the listener down while
//! they arrive. The kernel's counters show the result of a round: `PassiveOpens` counts the
//! children, `EstabResets` those that were queued and then killed by the shutdown. If there is one
//! child more, it found its listener gone. The ACKs arrive in order on one CPU, so that is the next
//! after the last one that was queued. Those after it find no listener, and get a reset.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{hint, thread};

use anyhow::{Context, Result, anyhow, bail, ensure};
use socket2::Socket;

use crate::counters::Counters;
use crate::cpus;
use crate::packets::client::Client;
use crate::packets::done::Done;
use crate::packets::options::Options;
use crate::packets::stage::Stage;

/// The number of half-open requests per round.
const ROUND: u16 = 64;
/// The shutdown waits for at most this many ACKs, so that it can still hit the rest.
const HALF: u32 = ROUND as u32 / 2;
/// How long to try.
const LIMIT: Duration = Duration::from_mins(1);

/// Repeats rounds until the race was hit often enough.
pub(super) fn listener_left(stage: &mut Stage, options: &Options) -> Result<Done> {
    let cpus = cpus::allowed()?;
    let [here, there] = [0, 1].map(|place| cpus.get(place).copied());
    let (here, there) = (here.context("no CPU")?, there.context("no second CPU")?);
    cpus::stay_on(here)?;
    let end = Instant::now() + LIMIT;
    let mut done = Done::default();
    let mut rounds = 0;
    while done.refused.len() < usize::from(options.count()) && Instant::now() < end {
        let clients = stage.new_clients(ROUND);
        let Round { made, killed, resets } = round(stage, &clients, there, rounds)?;
        rounds += 1;
        ensure!(made == killed || made == killed + 1, "{made} children, {killed} killed");
        ensure!(resets == u64::from(ROUND), "{resets} resets to {ROUND} clients");
        if made > killed {
            let place = usize::try_from(killed)?;
            let hit = clients.get(place).context("more children than clients")?;
            done.refused.push(*hit);
        }
        done.enqueued += killed;
        done.killed += killed;
        // Resets of all clients, except for the queued children.
        done = done.kernel("OutRsts", resets - killed);
        stage.listener()?.listen(options.backlog().into()).context("listen again")?;
    }
    done.packets = done.refused.len() as u64;
    done.uncounted = done.packets;
    done.sk_drops = done.packets;
    if done.packets == 0 {
        done.absent = Some(format!("the race was not hit in {rounds} rounds"));
    }
    let children = done.packets;
    Ok(done.kernel("PassiveOpens", children))
}

/// The result of a round.
struct Round {
    /// The number of children that were created.
    made: u64,
    /// The number of children that were queued, and killed.
    killed: u64,
    resets: u64,
}

/// A round: half-open requests, their ACKs, and a shutdown in between.
fn round(stage: &mut Stage, clients: &[Client], cpu: usize, number: u32) -> Result<Round> {
    stage.syn(clients)?;
    stage.await_syn_acks(clients)?;
    let mut packets = Vec::new();
    for client in clients {
        packets.push(stage.last_ack(*client)?.to_packet()?);
    }
    let before = Counters::read()?;
    let listener = stage.listener()?.try_clone().context("cannot duplicate the listener")?;
    let (ready, sent) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let other = scope.spawn(|| shut_down(&listener, cpu, &ready, &sent, number));
        while !ready.load(Ordering::Acquire) && !other.is_finished() {
            hint::spin_loop();
        }
        let all = packets.iter().try_for_each(|packet| {
            stage.send_packet(packet)?;
            sent.fetch_add(1, Ordering::Release);
            Ok(())
        });
        // Otherwise the other thread would wait forever after an error.
        sent.store(u32::MAX, Ordering::Release);
        other.join().map_err(|_| anyhow!("the other thread panicked"))?.and(all)
    })?;
    drop(listener);
    stage.take_in_now()?;
    let after = Counters::read()?;
    let change = |name| after.get(name) - before.get(name);
    let left = stage.requests()?;
    if left > 0 {
        bail!("{left} requests have outlived their listener");
    }
    Ok(Round {
        made: change("PassiveOpens"),
        killed: change("EstabResets"),
        resets: change("OutRsts"),
    })
}

/// Waits until some ACKs were sent, and a little more, and shuts down. The delay differs between
/// rounds.
fn shut_down(
    listener: &Socket,
    cpu: usize,
    ready: &AtomicBool,
    sent: &AtomicU32,
    round: u32,
) -> Result<()> {
    cpus::stay_on(cpu)?;
    ready.store(true, Ordering::Release);
    let (point, jitter) = (1 + round * 7 % HALF, round * 13 % 64 * 50);
    while sent.load(Ordering::Acquire) < point {
        hint::spin_loop();
    }
    // Without a pause instruction, at which an emulator would switch CPUs.
    for step in 0..jitter {
        hint::black_box(step);
    }
    listener.shutdown(Shutdown::Both).context("shutdown")
}
