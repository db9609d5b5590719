//! The playback of a recording: its status, which the player sets, and requests to the player.

/// The status of the playback.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Playing {
    /// The position in the run and its length, in nanoseconds.
    pub(crate) at_ns: u64,
    pub(crate) length_ns: u64,
    /// The multiple of the original speed; None means as fast as possible.
    pub(crate) speed: Option<f64>,
    /// Playback is paused.
    pub(crate) stopped: bool,
    /// The end was reached.
    pub(crate) ended: bool,
}

/// A request to the player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Play {
    /// Pause or continue.
    Stop,
    /// Seek back.
    Back,
    /// Seek forward.
    Further,
    /// Double the speed.
    Faster,
    /// Halve the speed.
    Slower,
    /// Play as fast as possible.
    Fastest,
}
