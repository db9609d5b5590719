//! Detects steps of the wall clock immediately, by a timer that the kernel cancels then.

use std::future::pending;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer on the wall clock that never fires. None if the kernel refuses it: a step is then
/// noticed with the next events.
pub(crate) struct Steps(Option<AsyncFd<OwnedFd>>);

impl Steps {
    /// Starts watching. Must be called within a runtime.
    pub(crate) fn watch() -> Self {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags).ok();
        let timer = timer.filter(|timer| arm(timer).is_ok());
        // SAFETY: the descriptor is its own and lives as long as this does.
        let watch = |timer| unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        Self(timer.and_then(|timer| watch(timer).ok()))
    }

    /// Waits until the clock is stepped.
    pub(crate) async fn next(&mut self) {
        let Some(timer) = &self.0 else {
            return pending().await;
        };
        loop {
            let Ok(mut ready) = timer.readable().await else {
                return pending().await;
            };
            let cancelled =
                matches!(read(timer.get_ref().as_fd(), &mut [0; 8]), Err(Errno::CANCELED));
            ready.clear_ready();
            if cancelled {
                // A cancelled timer must be armed again.
                let _ = arm(timer.get_ref());
                return;
            }
        }
    }
}

fn arm(timer: &OwnedFd) -> rustix::io::Result<()> {
    let never = Timespec { tv_sec: i64::MAX / 1_000_000_000, tv_nsec: 0 };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(timer, flags, &once).map(drop)
}
