//! The playback of a recording: its status, which the player sets, and requests, which the player
//! fulfils.

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Playing {
    /// The time in the run, and its length, nanoseconds.
    pub(crate) at_ns: u64,
    pub(crate) length_ns: u64,
    /// How many times as fast as the run was; none: as fast as possible.
    pub(crate) speed: Option<f64>,
    /// The time stands still.
    pub(crate) stopped: bool,
    /// All of it was played.
    pub(crate) ended: bool,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Play {
    /// The time is to stand still, or to go on.
    Stop,
    /// A step back in time.
    Back,
    /// A step further.
    Further,
    /// Twice as fast.
    Faster,
    /// Half as fast.
    Slower,
    /// As fast as possible.
    Fastest,
}
