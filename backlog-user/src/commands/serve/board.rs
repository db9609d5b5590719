//! The HTTP thread's data for the page: the history of each queue, and the last frame, which all
//! open browsers receive.

use std::sync::{Arc, Mutex, PoisonError};

use backlog_core::event::ListenerId;
use hyper::body::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;

use crate::output::web::past::{History, Past};
use crate::output::web::{Moment, Viewers};

/// The maximum number of browsers with an open page.
pub(super) const VIEWERS: usize = 16;

/// See the module documentation.
pub(super) struct Board {
    past: Mutex<Past>,
    /// The last frame as a server-sent event; empty before the first.
    frame: watch::Sender<Bytes>,
    pub(super) viewers: Viewers,
}

impl Board {
    /// Creates an empty board.
    pub(super) fn new(viewers: Viewers) -> Arc<Self> {
        let (frame, _) = watch::channel(Bytes::new());
        Arc::new(Self { past: Mutex::default(), frame, viewers })
    }

    /// Receives what the session sends, until it ends.
    pub(super) async fn keep(&self, mut moments: Receiver<Moment>) {
        while let Some(mut moment) = moments.recv().await {
            if let Some(frame) = moment.frame.take() {
                self.frame.send_replace(event(&frame));
            }
            self.past.lock().unwrap_or_else(PoisonError::into_inner).push(moment);
        }
    }

    /// Subscribes to future frames; a slow reader misses some.
    pub(super) fn follow(&self) -> watch::Receiver<Bytes> {
        self.frame.subscribe()
    }

    /// The history of a listener.
    pub(super) fn history(&self, listener: ListenerId) -> History {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).of(listener)
    }
}

/// Encodes a frame as an event. Its JSON has no line breaks.
fn event(frame: &[u8]) -> Bytes {
    [b"data: ".as_slice(), frame, b"\n\n"].concat().into()
}
