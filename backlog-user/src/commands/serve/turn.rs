//! Limits work that keeps a CPU busy for long: a report, or a password check. Only one runs at a
//! time, and it holds its turn until it is done, so a client that disconnects and asks again cannot
//! start more of it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

/// Permits one piece of work at a time.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

/// The work panicked.
#[derive(Debug)]
pub(super) struct Failed;

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// Waits for the turn, then for the work.
    pub(super) async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|_| Failed)?;
        during(turn, work).await
    }

    /// Starts the work now; None if other work is running.
    pub(super) fn now<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Option<impl Future<Output = Result<T, Failed>> + use<T, F>> {
        let turn = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(during(turn, work))
    }
}

/// Runs the work in a thread, which inherits the HTTP thread's rights: none.
async fn during<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failed> {
    let done = spawn_blocking(move || {
        // This thread releases the turn, even if the client has disconnected.
        let _turn = turn;
        work()
    });
    done.await.map_err(|_| Failed)
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use std::sync::mpsc::channel;
    use tokio::task::yield_now;

    #[test]
    fn a_client_that_disconnects_does_not_end_the_turn_of_its_work() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turns = Turns::default();
        let (started, has_started) = channel();
        let (finish, may_finish) = channel::<()>();
        runtime.block_on(async {
            let work = move || {
                started.send(()).unwrap();
                may_finish.recv().unwrap();
            };
            let client = tokio::spawn(turns.now(work).unwrap());
            yield_now().await;
            has_started.recv().unwrap();
            client.abort();
            assert!(client.await.unwrap_err().is_cancelled());
            assert!(turns.now(|| ()).is_none());
            finish.send(()).unwrap();
            turns.wait(|| ()).await.unwrap();
            turns.now(|| ()).unwrap().await.unwrap();
        });
    }
}
