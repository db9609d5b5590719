//! Ends a run whose session is stuck. The session reads `/proc` and writes files, and both can
//! block for as long as a process or a disk is stuck. The guard's thread does neither: it stops the
//! counting, detaches the programs, and finally ends the process.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use signal_hook::low_level::exit;

use super::child::Group;
use crate::bpf::switch::Switch;
use crate::exit::FAILED;
use crate::notice::{self, notice};
use crate::outlet;
use crate::output::tui::screen;
use crate::rights::capability::Capabilities;
use crate::rights::threads;

/// How often the guard checks once the run is ending. It counts these steps instead of reading a
/// clock, so that time during which the whole process was stopped does not count.
const STEP: Duration = Duration::from_millis(20);

/// The number of steps after which the guard stops the counting, detaches the programs, or ends the
/// process, if the session has not done so.
const STOP: u32 = 4;
const DETACH: u32 = 75;
const GIVE_UP: u32 = 1500;

/// Reading the listeners of a large host takes seconds.
const LONGEST_START: Duration = Duration::from_secs(30);

/// Messages to the guard.
enum Message {
    /// What the session is doing now.
    Stage(&'static str),
    /// The command of `--cmd` is running.
    Command(Arc<Group>),
    /// The programs are attached; the time at which the run should end.
    Attached(Arc<Switch>, Option<Instant>),
    /// Keep only these capabilities, and report the result.
    Reduce(Capabilities, Sender<io::Result<()>>),
    /// The run should end now.
    End,
}

/// The sending side, which the session and the signal handler use. The guard ends when all copies
/// are dropped.
#[derive(Clone)]
pub(crate) struct Guard(Sender<Message>);

impl Guard {
    /// Starts the guard's thread.
    pub(crate) fn start() -> Result<Self> {
        let (sender, messages) = channel();
        thread::Builder::new()
            .name("guard".into())
            .spawn(move || Watch::new(messages).run())
            .context("starting the thread that guards the end of the run")?;
        Ok(Self(sender))
    }

    /// Sets what the session is doing, for the message if it gets stuck there.
    pub(crate) fn stage(&self, doing: &'static str) {
        self.send(Message::Stage(doing));
    }

    /// The command of `--cmd` runs.
    pub(crate) fn command(&self, group: Arc<Group>) {
        self.send(Message::Command(group));
    }

    /// The programs are attached, and the session reads the host before they count. With a
    /// duration, a run that has not started long after its end is stuck.
    pub(crate) fn attached(&self, switch: Arc<Switch>, duration: Option<Duration>) {
        self.end_after(switch, duration.map(|duration| duration.saturating_add(LONGEST_START)));
    }

    /// The programs are counting; the run should end after this time.
    pub(crate) fn begun(&self, switch: Arc<Switch>, duration: Option<Duration>) {
        self.stage("tracing");
        self.end_after(switch, duration);
    }

    fn end_after(&self, switch: Arc<Switch>, duration: Option<Duration>) {
        // A deadline that cannot be represented never comes.
        let deadline = duration.and_then(|duration| Instant::now().checked_add(duration));
        self.send(Message::Attached(switch, deadline));
    }

    /// Makes the guard's thread keep only these capabilities.
    pub(crate) fn reduce_to(&self, kept: Capabilities) -> Result<()> {
        let (reduced, result) = channel();
        self.send(Message::Reduce(kept, reduced));
        let result = result.recv().unwrap_or_else(|_| Err(io::Error::other("it has ended")));
        result.context("giving up capabilities of the thread that guards the end of the run")
    }

    /// The run should end now.
    pub(crate) fn end(&self) {
        outlet::hurry(true);
        self.send(Message::End);
    }

    fn send(&self, message: Message) {
        // If the guard is gone, nobody needs the message.
        let _ = self.0.send(message);
    }
}

/// The state of the guard's thread.
struct Watch {
    messages: Receiver<Message>,
    stage: &'static str,
    switch: Option<Arc<Switch>>,
    command: Option<Arc<Group>>,
    deadline: Option<Instant>,
    /// The run should end. `steps` counts from then, `idle` from the session's last sign of life.
    ending: bool,
    steps: u32,
    idle: u32,
    /// The number of writes so far: the guard does not give up while a slow reader still reads.
    writes: u64,
}

impl Watch {
    fn new(messages: Receiver<Message>) -> Self {
        Self {
            messages,
            stage: "starting",
            switch: None,
            command: None,
            deadline: None,
            ending: false,
            steps: 0,
            idle: 0,
            writes: 0,
        }
    }

    /// Runs until the session is over.
    fn run(mut self) {
        loop {
            match self.next() {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if self.ending => self.step(),
                Err(RecvTimeoutError::Timeout) => {
                    outlet::hurry(true);
                    self.ending = true;
                }
            }
        }
    }

    fn next(&self) -> Result<Message, RecvTimeoutError> {
        match self.deadline {
            _ if self.ending => self.messages.recv_timeout(STEP),
            Some(deadline) => {
                self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            }
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn take(&mut self, message: Message) {
        self.idle = 0;
        match message {
            Message::Stage(doing) => self.stage = doing,
            Message::Command(group) => self.command = Some(group),
            Message::Attached(switch, deadline) => {
                self.switch = Some(switch);
                self.deadline = deadline;
                self.steps = 0;
            }
            Message::Reduce(kept, reduced) => {
                // The session waits for the answer.
                let _ = reduced.send(threads::reduce_to(kept));
            }
            Message::End => self.ending = true,
        }
    }

    fn step(&mut self) {
        self.steps = self.steps.saturating_add(1);
        self.idle += 1;
        if let Some(switch) = &self.switch {
            if self.steps == STOP {
                // If writing the map fails, the programs count until they are detached.
                let _ = switch.stop();
            } else if self.steps == DETACH {
                switch.detach();
            }
        }
        let writes = outlet::writes();
        if writes != self.writes {
            self.writes = writes;
            self.idle = 0;
        }
        if self.idle >= GIVE_UP {
            self.give_up();
        }
    }

    /// Ends the process, which also detaches the programs.
    fn give_up(&self) {
        screen::give_back_now();
        if let Some(group) = &self.command {
            group.kill();
        }
        notice(&format!(
            "the run does not end by itself: it is stuck for {} s while {}; the rest of its output \
             is lost",
            (STEP * GIVE_UP).as_secs(),
            self.stage
        ));
        notice::finish();
        exit(FAILED.into());
    }
}
