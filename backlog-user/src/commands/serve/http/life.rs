//! When a connection ends. Most live as long as a scrape may take; a stream of events and a report
//! take longer, and have bounds of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// A connection ends after this time: Prometheus's default timeout of a scrape.
pub(super) const SHORT: Duration = Duration::from_secs(10);

/// A stream of events ends after this time, and the page opens another one, so that a client that has
/// vanished holds its place for an hour at most.
const LONG: Duration = Duration::from_hours(1);

/// The end of a connection, which its answer can move.
#[derive(Clone)]
pub(super) struct Life(Arc<watch::Sender<Instant>>);

impl Life {
    /// That of an ordinary request.
    pub(super) fn short() -> Self {
        Self(Arc::new(watch::Sender::new(Instant::now() + SHORT)))
    }

    /// The answer takes long.
    pub(super) fn extend(&self) {
        self.0.send_replace(Instant::now() + LONG);
    }

    /// The answer is complete, and has to be read.
    pub(super) fn shorten(&self) {
        self.0.send_replace(Instant::now() + SHORT);
    }

    /// Nobody reads the answer.
    pub(super) fn end(&self) {
        self.0.send_replace(Instant::now());
    }

    /// Does its answer take long?
    pub(super) fn is_long(&self) -> bool {
        *self.0.borrow() > Instant::now() + SHORT
    }

    /// Waits until the end.
    pub(super) async fn over(&self) {
        let mut end = self.0.subscribe();
        loop {
            let at = *end.borrow_and_update();
            // The sender is ours, so an error is the end of the time.
            if timeout_at(at, end.changed()).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LONG, Life, SHORT};
    use tokio::task::yield_now;
    use tokio::time::Instant;

    #[test]
    fn an_answer_moves_the_end_of_its_connection() {
        let life = Life::short();
        let rest = || life.0.borrow().saturating_duration_since(Instant::now());
        assert!(rest() <= SHORT && !life.is_long());
        life.extend();
        assert!(rest() > LONG / 2 && life.is_long());
        life.shorten();
        assert!(rest() <= SHORT && !life.is_long());
    }

    #[test]
    fn an_end_is_noticed_while_it_is_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let life = Life::short();
            life.extend();
            let theirs = life.clone();
            let waiting = tokio::spawn(async move { theirs.over().await });
            yield_now().await;
            assert!(!waiting.is_finished());
            life.end();
            waiting.await.unwrap();
        });
    }
}
