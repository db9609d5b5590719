//! The input of the screen in one queue: keys, size changes, lines on stderr, job control signals,
//! and a timer for drawing.

use std::future::pending;
use std::io;
use std::time::Duration;

use crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

use super::key::Key;
use crate::rights::threads::spawn;

/// See the module documentation.
#[derive(Debug)]
pub(crate) enum Input {
    Key(Key),
    /// The size of the terminal has changed.
    Resized,
    /// Something was written to stderr.
    Words,
    /// It is time to draw.
    Draw,
    /// SIGTSTP has arrived: stop this process.
    Stop,
    /// The process was continued.
    Continued,
    /// Keys can no longer be read, for this reason.
    Deaf(io::Error),
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Inputs(Receiver<Input>);

/// The sending end.
#[derive(Clone, Debug)]
pub(crate) struct Source(Sender<Input>);

/// The size of the queue of keys; a program that types faster blocks.
const WAITING: usize = 64;

impl Inputs {
    /// Creates the queue.
    pub(crate) fn new() -> (Source, Self) {
        let (sender, receiver) = channel(WAITING);
        (Source(sender), Self(receiver))
    }

    /// Is there unprocessed input?
    pub(crate) fn waiting(&self) -> bool {
        !self.0.is_empty()
    }

    /// Waits for the next input.
    pub(crate) async fn next(&mut self) -> Input {
        match self.0.recv().await {
            Some(input) => input,
            None => pending().await,
        }
    }
}

impl Source {
    /// Starts to read keys and watch for signals. Must be called within a runtime.
    pub(crate) fn begin(&self) -> io::Result<()> {
        let keys = self.0.clone();
        // The thread is not joined at the end of the run, since its read cannot be interrupted.
        spawn("keys", move || read(&keys))?;
        for (kind, input) in [
            (SignalKind::from_raw(libc::SIGTSTP), (|| Input::Stop) as fn() -> Input),
            (SignalKind::from_raw(libc::SIGCONT), || Input::Continued),
        ] {
            let mut signal = signal(kind)?;
            let sender = self.0.clone();
            tokio::spawn(async move {
                while signal.recv().await.is_some() {
                    if sender.send(input()).await.is_err() {
                        break;
                    }
                }
            });
        }
        Ok(())
    }

    /// Reports that something was written to stderr.
    pub(crate) fn words(&self) {
        // If the queue is full, it will be processed soon enough.
        let _ = self.0.try_send(Input::Words);
    }

    /// Schedules a drawing after this time.
    pub(crate) fn draw_in(&self, time: Duration) {
        let sender = self.0.clone();
        tokio::spawn(async move {
            sleep(time).await;
            let _ = sender.send(Input::Draw).await;
        });
    }
}

fn read(keys: &Sender<Input>) {
    loop {
        let input = match event::read() {
            Ok(Event::Key(key)) => match Key::of(key) {
                Some(key) => Input::Key(key),
                None => continue,
            },
            Ok(Event::Resize(..)) => Input::Resized,
            Ok(_) => continue,
            Err(error) => Input::Deaf(error),
        };
        let last = matches!(input, Input::Deaf(_));
        if keys.blocking_send(input).is_err() || last {
            return;
        }
    }
}
