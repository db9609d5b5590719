//! What the page shows, on the side of the HTTP thread: the past of each queue, and the last frame
//! for all browsers that have the page open.

use std::sync::{Arc, Mutex, PoisonError};

use backlog_core::event::ListenerId;
use hyper::body::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;

use crate::output::web::past::{History, Past};
use crate::output::web::{Moment, Viewers};

/// Browsers that may have the page open.
pub(super) const VIEWERS: usize = 16;

/// See the module's head.
pub(super) struct Board {
    past: Mutex<Past>,
    /// As an event of the stream; empty before the first.
    frame: watch::Sender<Bytes>,
    pub(super) viewers: Viewers,
}

impl Board {
    /// An empty one.
    pub(super) fn new(viewers: Viewers) -> Arc<Self> {
        let (frame, _) = watch::channel(Bytes::new());
        Arc::new(Self { past: Mutex::default(), frame, viewers })
    }

    /// Takes what the session sends, for as long as it does.
    pub(super) async fn keep(&self, mut moments: Receiver<Moment>) {
        while let Some(mut moment) = moments.recv().await {
            if let Some(frame) = moment.frame.take() {
                self.frame.send_replace(event(&frame));
            }
            self.past.lock().unwrap_or_else(PoisonError::into_inner).push(moment);
        }
    }

    /// The frames that come from now on; a slow reader misses some.
    pub(super) fn follow(&self) -> watch::Receiver<Bytes> {
        self.frame.subscribe()
    }

    /// What is kept of a listener.
    pub(super) fn history(&self, listener: ListenerId) -> History {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).of(listener)
    }
}

/// JSON is in one line.
fn event(frame: &[u8]) -> Bytes {
    [b"data: ".as_slice(), frame, b"\n\n"].concat().into()
}
