//! The lifetime of a connection. Most last as long as a scrape may take; event streams and reports
//! take longer and have limits of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// The lifetime of a connection: Prometheus's default scrape timeout.
pub(super) const SHORT: Duration = Duration::from_secs(10);

/// The lifetime of an event stream. The page then opens another one, so that a client that has
/// vanished holds its place for an hour at most.
const LONG: Duration = Duration::from_hours(1);

/// The deadline of a connection, which its answer can change.
#[derive(Clone)]
pub(super) struct Life(Arc<watch::Sender<Instant>>);

impl Life {
    /// The deadline of an ordinary request.
    pub(super) fn short() -> Self {
        Self(Arc::new(watch::Sender::new(Instant::now() + SHORT)))
    }

    /// Extends the deadline for an answer that takes long.
    pub(super) fn extend(&self) {
        self.0.send_replace(Instant::now() + LONG);
    }

    /// The answer is complete; only its reading is left.
    pub(super) fn shorten(&self) {
        self.0.send_replace(Instant::now() + SHORT);
    }

    /// The reader is gone.
    pub(super) fn end(&self) {
        self.0.send_replace(Instant::now());
    }

    /// Was the deadline extended?
    pub(super) fn is_long(&self) -> bool {
        *self.0.borrow() > Instant::now() + SHORT
    }

    /// Waits for the deadline.
    pub(super) async fn over(&self) {
        let mut end = self.0.subscribe();
        loop {
            let at = *end.borrow_and_update();
            // We hold the sender, so an error means that time is up.
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
