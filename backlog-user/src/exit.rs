//! How the program ends, and its exit status.

use std::process::ExitCode;

/// Exit status: `--until-drop` or `--until-use` was reached, or `--check` has findings.
const SEEN: u8 = 1;
/// Exit status: the program failed.
pub(crate) const FAILED: u8 = 2;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As requested.
    Done,
    /// As requested, but the recording is incomplete.
    Unrecorded,
    /// As requested, but a reader did not take all of the output.
    Unwritten,
    /// As requested, but the command of `--cmd` failed.
    CommandFailed,
    /// With the drops of `--until-drop`.
    DropsSeen,
    /// With the high use of `--until-use`.
    HighUseSeen,
    /// `listeners --check` has findings.
    Findings,
    /// `doctor` found that tracing would not work.
    WouldFail,
}

impl Outcome {
    /// The exit status.
    pub(crate) fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::DropsSeen | Self::HighUseSeen | Self::Findings => ExitCode::from(SEEN),
            Self::WouldFail | Self::Unrecorded | Self::Unwritten | Self::CommandFailed => {
                ExitCode::from(FAILED)
            }
        }
    }
}
