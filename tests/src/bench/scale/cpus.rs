//! Client and server in separate threads, both on one CPU, or each on its own. A turn is timed by
//! the wall clock, which counts the instructions of all CPUs in a guest that counts instructions.

use std::io::Read;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};

use super::super::rounds;
use super::super::stage::listen;
use super::Wanted;
use super::clients::{Clients, Spare};
use super::measure::Loop;
use super::tool::Tool;
use crate::clock::mono_ns;
use crate::cpus::stay_on;
use crate::sysctl::Sysctl;

const PORT: u16 = 8000;
const BACKLOG: i32 = 128;

/// A thread that accepts and closes immediately.
#[derive(Debug)]
struct Server {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

/// Measures with the available CPUs.
pub(super) fn run(wanted: &Wanted, cpus: &[usize]) -> Result<()> {
    let _setting = Sysctl::set("net.ipv4.tcp_max_tw_buckets", "0")?;
    // In a thread, since it stays pinned to its CPU.
    thread::scope(|scope| {
        let done = scope.spawn(|| pinned(wanted, cpus)).join();
        done.unwrap_or_else(|_| Err(anyhow!("the client's thread panicked")))
    })
}

fn pinned(wanted: &Wanted, cpus: &[usize]) -> Result<()> {
    let client = *cpus.first().context("no CPU")?;
    stay_on(client).context("cannot stay on a CPU")?;
    let mut spare = Spare::set_up()?;
    let listener: Arc<TcpListener> = Arc::new(listen(address(), BACKLOG)?.into());
    let places = [("cpus 1", Some(client)), ("cpus 2", cpus.get(1).copied())];
    for (scenario, place) in places {
        let Some(place) = place else { continue };
        let server = Server::start(Arc::clone(&listener), place);
        let mut clients = Clients::default();
        rounds::await_steady(|| turn(&mut clients))?;
        let mut tell = |beside| {
            let mut clients = Clients::default();
            let turn: &mut dyn FnMut() -> Result<()> = &mut || turn(&mut clients);
            Loop { scenario, clock: mono_ns, turn }.tell(wanted.effort, &mut spare, beside)
        };
        tell(None)?;
        let tool = Tool::start(wanted, &PORT.to_string())?;
        tell(Some((&wanted.row(), &tool)))?;
        tool.end()?;
        server.end()?;
    }
    Ok(())
}

fn address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

/// A connection, until the server has closed it.
fn turn(clients: &mut Clients) -> Result<()> {
    let mut client = clients.connect(address())?;
    client.shutdown(Shutdown::Write).context("cannot shut down")?;
    client.read(&mut [0]).context("the server does not close")?;
    Ok(())
}

impl Server {
    fn start(listener: Arc<TcpListener>, cpu: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            stay_on(cpu).context("cannot stay on a CPU")?;
            while !told.load(Ordering::Acquire) {
                drop(listener.accept().context("cannot accept")?);
            }
            Ok(())
        });
        Self { stop, thread }
    }

    /// Ends it with a last connection.
    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        turn(&mut Clients::default())?;
        self.thread.join().map_err(|_| anyhow!("the server's thread panicked"))?
    }
}
