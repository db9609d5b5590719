//! Boots a guest in QEMU, from start to verdict. Knows QEMU's command line and the four serial
//! ports; the image defines what runs inside, and `signs` parses the lines.
//!
//! The ports are unnamed socket pairs, so any number of guests can run at the same time. QEMU
//! cannot outlive us: every way out of `run` kills it, and the kernel does so if we die ourselves.

mod child;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::signs::{self, Report};
use crate::process;
use child::{Qemu, command};

/// The destinations of the guest's output.
pub(crate) struct Sinks {
    pub(crate) stdout: Box<dyn Write + Send>,
    pub(crate) stderr: Box<dyn Write + Send>,
    pub(crate) console: Box<dyn Write + Send>,
}

/// How the virtual CPUs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emulation {
    /// One after the other, in a single thread.
    InTurn,
    /// Each in a thread of its own, for more races. While the kernel patches its own code, as at
    /// each attach, QEMU 7.2 sometimes runs a stale translation and the guest dies of an `int3`.
    Parallel,
    /// With a clock that counts the instructions of all CPUs together.
    Counting,
}

/// The machine to boot.
pub(crate) struct Machine {
    pub(crate) vmlinuz: PathBuf,
    pub(crate) initramfs: File,
    pub(crate) disk: Option<PathBuf>,
    pub(crate) cpus: u32,
    pub(crate) memory: u32,
    pub(crate) emulation: Emulation,
    pub(crate) limit: Duration,
    /// The time limit until the command starts.
    pub(crate) boot_limit: Duration,
    /// The time limit without output of the command.
    pub(crate) quiet_limit: Option<Duration>,
}

/// How the guest ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The command has ended, and all of its output has arrived.
    Ended(u8),
    /// The kernel crashed; the console line that shows it.
    Crashed(String),
    /// QEMU ended, or the guest powered off, without a status from init.
    NoStatus { qemu: String },
    /// Some of the guest's output did not arrive.
    Truncated,
    /// The time limit was reached.
    TimedOut,
    /// There was no output for so long that it must have hung.
    Silent,
    /// The command did not start within its time limit.
    NotUp,
    /// Writing our own stdout or stderr failed.
    SinkFailed(io::Error),
}

/// The verdict, and the times since QEMU's start.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// When the command started, if it did.
    pub(crate) boot: Option<Duration>,
    pub(crate) total: Duration,
}

enum Event {
    Report(Report),
    Crash(String),
    SinkFailed(io::Error),
    /// QEMU has closed the status port: it is gone.
    Gone,
}

/// Four serial ports, and QEMU's own monitor.
const PORTS: usize = 5;
/// How long to wait after a crash for the rest of the trace.
const CRASH_GRACE: Duration = Duration::from_secs(3);
/// How often to check for output.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after the status for the last bytes.
const DRAIN_GRACE: Duration = Duration::from_secs(10);

/// Boots, waits for the verdict, and leaves nothing running.
pub(crate) fn run(machine: &Machine, sinks: Sinks) -> Result<Outcome> {
    let Sinks { stdout, stderr, console } = sinks;
    let mut ports = Vec::new();
    for _ in 0..PORTS {
        ports.push(UnixStream::pair().context("cannot create a socket pair")?);
    }
    let (ours, theirs): (Vec<UnixStream>, Vec<UnixStream>) = ports.into_iter().unzip();
    let mut complaints = tempfile::tempfile().context("cannot create a temporary file")?;
    let mut command = command(machine, &theirs);
    command.stderr(complaints.try_clone().context("cannot copy a file descriptor")?);
    process::announce(&command);
    let start = Instant::now();
    let qemu = Qemu::start(&mut command)?;
    drop(theirs);

    let (send, events) = mpsc::channel();
    let arrived = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let mut ours = ours.into_iter();
    let mut threads = Vec::new();
    let mut monitor = None;
    if let (Some(ttys0), Some(ttys1), Some(ttys2), Some(ttys3), Some(last)) =
        (ours.next(), ours.next(), ours.next(), ours.next(), ours.next())
    {
        monitor = Some(last);
        let crash = send.clone();
        threads.push(thread::spawn(move || watch_console(ttys0, console, &crash)));
        for (port, sink, count) in
            [(ttys1, stdout, Arc::clone(&arrived[0])), (ttys2, stderr, Arc::clone(&arrived[1]))]
        {
            let failed = send.clone();
            threads.push(thread::spawn(move || pass_on(port, sink, &count, &failed)));
        }
        threads.push(thread::spawn(move || watch_status(ttys3, &send)));
    }

    let mut watch = Watch {
        events,
        arrived,
        limit: machine.limit,
        boot_limit: machine.boot_limit,
        quiet_limit: machine.quiet_limit,
        start,
        boot: None,
    };
    let mut verdict = watch.verdict();
    if let (Verdict::Silent, Some(monitor)) = (&verdict, &mut monitor) {
        watch.ask_where_it_hangs(monitor);
    }
    qemu.stop();
    for thread in threads {
        // A reader ends when QEMU's end of its port is closed, which it is now.
        let _ = thread.join();
    }
    // A crash on the last console lines takes precedence. (After a hang, we have caused the crash
    // ourselves.)
    for event in watch.events.try_iter() {
        if let (Event::Crash(line), false) = (event, matches!(verdict, Verdict::Silent)) {
            verdict = Verdict::Crashed(line);
            break;
        }
    }
    if let Verdict::NoStatus { qemu } = &mut verdict {
        complaints.rewind().context("cannot read QEMU's complaints")?;
        complaints.read_to_string(qemu).context("cannot read QEMU's complaints")?;
    }
    Ok(Outcome { verdict, boot: watch.boot, total: start.elapsed() })
}

struct Watch {
    events: Receiver<Event>,
    arrived: [Arc<AtomicU64>; 2],
    limit: Duration,
    boot_limit: Duration,
    quiet_limit: Option<Duration>,
    start: Instant,
    boot: Option<Duration>,
}

impl Watch {
    fn verdict(&mut self) -> Verdict {
        let mut last = (0, Instant::now());
        loop {
            let limit =
                if self.boot.is_some() { self.limit } else { self.limit.min(self.boot_limit) };
            let left = limit.saturating_sub(self.start.elapsed());
            let here = self.arrived.iter().map(|count| count.load(Ordering::Acquire)).sum::<u64>();
            if here != last.0 {
                last = (here, Instant::now());
            } else if self.boot.is_some() && self.quiet_limit.is_some_and(|q| last.1.elapsed() > q)
            {
                return Verdict::Silent;
            }
            match self.events.recv_timeout(left.min(LOOK)) {
                Ok(Event::Report(Report::Started)) => self.boot = Some(self.start.elapsed()),
                Ok(Event::Report(Report::Ended { status, sent })) => {
                    return self.drain(status, sent);
                }
                Ok(Event::Crash(line)) => return self.let_it_speak(line),
                Ok(Event::SinkFailed(error)) => return Verdict::SinkFailed(error),
                Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => {
                    return Verdict::NoStatus { qemu: String::new() };
                }
                Err(RecvTimeoutError::Timeout) if left > LOOK => {}
                Err(RecvTimeoutError::Timeout) if limit < self.limit => return Verdict::NotUp,
                Err(RecvTimeoutError::Timeout) => return Verdict::TimedOut,
            }
        }
    }

    /// The command has ended, but its last bytes may not have arrived yet.
    fn drain(&self, status: u8, sent: [Option<u64>; 2]) -> Verdict {
        let until = Instant::now() + DRAIN_GRACE;
        let all_here = || {
            let counts = self.arrived.iter().map(|count| count.load(Ordering::Acquire));
            counts.zip(sent).all(|(here, sent)| sent.is_none_or(|sent| here >= sent))
        };
        // Without counts from the kernel, the output is complete once QEMU is gone.
        let mut complete = !sent.contains(&None);
        while !(complete && all_here()) {
            match self.events.recv_timeout(Duration::from_millis(5)) {
                Ok(Event::Crash(line)) => return self.let_it_speak(line),
                Ok(Event::SinkFailed(error)) => return Verdict::SinkFailed(error),
                // Every reader has ended, so nothing more will arrive.
                Err(RecvTimeoutError::Disconnected) if !all_here() => return Verdict::Truncated,
                Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => complete = true,
                Ok(Event::Report(_)) | Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() > until {
                return Verdict::Truncated;
            }
        }
        Verdict::Ended(status)
    }

    /// Sends a non-maskable interrupt, on which the guest's kernel panics: its console then shows
    /// where each CPU is.
    fn ask_where_it_hangs(&self, monitor: &mut UnixStream) {
        // Without an answer, the log ends earlier.
        let _ = monitor.write_all(b"nmi\n").and_then(|()| monitor.flush());
        let _ = self.let_it_speak(String::new());
    }

    /// After a crash, waits for the end or for a while, so that the log is complete.
    fn let_it_speak(&self, line: String) -> Verdict {
        let until = Instant::now() + CRASH_GRACE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Gone) | Err(_) => return Verdict::Crashed(line),
                Ok(_) => {}
            }
        }
    }
}

/// Copies the console to its sink, and searches it for signs of a crash.
fn watch_console(port: UnixStream, mut sink: Box<dyn Write + Send>, events: &Sender<Event>) {
    let mut port = BufReader::new(port);
    let mut line = Vec::new();
    while port.read_until(b'\n', &mut line).is_ok_and(|size| size > 0) {
        // A log that cannot be written does not stop the run.
        let _ = sink.write_all(&line).and_then(|()| sink.flush());
        let text = String::from_utf8_lossy(&line);
        if signs::is_crash(&text) {
            let _ = events.send(Event::Crash(text.trim().to_owned()));
        }
        line.clear();
    }
}

/// Copies a port byte for byte, without delay.
fn pass_on(
    mut port: UnixStream,
    mut sink: Box<dyn Write + Send>,
    count: &AtomicU64,
    events: &Sender<Event>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut failed = false;
    while let Ok(size @ 1..) = port.read(&mut buffer) {
        let bytes = buffer.get(..size).unwrap_or_default();
        // Continue reading after the sink has failed: a guest that cannot write would hang.
        if !failed && let Err(error) = sink.write_all(bytes).and_then(|()| sink.flush()) {
            failed = true;
            let _ = events.send(Event::SinkFailed(error));
        }
        count.fetch_add(size as u64, Ordering::Release);
    }
}

fn watch_status(port: UnixStream, events: &Sender<Event>) {
    let mut port = BufReader::new(port);
    let mut line = String::new();
    while port.read_line(&mut line).is_ok_and(|size| size > 0) {
        if let Some(report) = Report::parse(&line) {
            let _ = events.send(Event::Report(report));
        }
        line.clear();
    }
    let _ = events.send(Event::Gone);
}
