//! How the program ends.

use std::process::ExitCode;

/// Exit status: what `--until-drop` or `--until-use` waits for was seen, or there are findings with
/// `--check`.
const SEEN: u8 = 1;
/// Exit status: it could not go on.
pub(crate) const FAILED: u8 = 2;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As asked.
    Done,
    /// As asked, but the recording is incomplete.
    Unrecorded,
    /// As asked, but a reader did not take all output.
    Unwritten,
    /// As asked, but the command of `--cmd` failed.
    CommandFailed,
    /// With the drops that `--until-drop` waited for.
    DropsSeen,
    /// With the high use that `--until-use` waited for.
    HighUseSeen,
    /// `listeners --check` has something to say.
    Findings,
    /// The doctor says that tracing would not work.
    WouldFail,
}

impl Outcome {
    /// Its exit status.
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
