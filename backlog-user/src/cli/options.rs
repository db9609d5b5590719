//! The validated command line.

use std::path::Path;
use std::time::Duration;

use backlog_core::filter::Filter;
use backlog_core::filter::ports::PortError;
use backlog_core::recording::options::ReplayOptions;
use thiserror::Error;

use crate::cli::mistyped;
use crate::cli::percent::{HIGH_USE, parse_percent};
use crate::cli::selection::Selection;
use crate::cli::time::parse_time;
use crate::cli::{Args, Backend, EventArgs, Output, TracingArgs};
use crate::output::record::RecordOptions;
use crate::output::record::sink::is_name_of;
use crate::output::whole_file::{FileError, WholeFile};

/// Valid options.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Options {
    /// What determines the output: a recording keeps it.
    pub(crate) replay: ReplayOptions,
    /// The filter that the programs apply.
    pub(crate) filter: Filter,
    /// Filters that must be looked up before they can be applied.
    pub(crate) selection: Selection,
    /// How long to run.
    pub(crate) duration: Option<Duration>,
    /// Stop at the first queue with high use.
    pub(crate) until_use: bool,
    /// The command of `--on-event`.
    pub(crate) on_event: Option<String>,
    /// The command of `--cmd`, which bounds the run.
    pub(crate) cmd: Option<String>,
    /// The user to run as.
    pub(crate) user: Option<String>,
    /// Output format.
    pub(crate) output: Output,
    /// Full screen instead of lines.
    pub(crate) tui: bool,
    /// The file of the report.
    pub(crate) report: Option<WholeFile>,
    /// Times in UTC.
    pub(crate) utc: bool,
    /// Where and how to record.
    pub(crate) record: Option<RecordOptions>,
    /// The backend to attach.
    pub(crate) backend: Backend,
    /// Print only data and errors.
    pub(crate) quiet: bool,
    /// Print more than usual.
    pub(crate) verbose: bool,
    /// Length of an interval.
    pub(crate) interval: Duration,
    /// The maximum number of intervals.
    pub(crate) count: Option<u64>,
    /// Drops reported individually per listener and second.
    pub(crate) drop_records: u32,
    /// Size of the ring buffer in bytes.
    pub(crate) ring: u32,
    /// Runs as a service for months: SIGHUP reloads the configuration, and stdout need not be read.
    pub(crate) service: bool,
    /// Load the programs and exit.
    pub(crate) check_programs: bool,
}

/// An error in the command line, with a remedy.
#[derive(Debug, Error)]
pub(crate) enum OptionsError {
    #[error("--port")]
    Port(#[from] PortError),
    #[error("--report")]
    Report(#[from] FileError),
    #[error("{name}: `{text}` is not a time: give 30s, 5m or 1h, or a number of seconds")]
    Time { name: &'static str, text: String },
    #[error("{0}: 0 is too short: give a time above 0, such as 30s")]
    NoTime(&'static str),
    #[error("{0}")]
    Command(String),
    #[error("{0}: {1:?} is too short: at least 10ms")]
    TooShort(&'static str, Duration),
    #[error("--until-drop must be at least 1")]
    NoDrops,
    #[error("{name}: `{text}` is not a share of the limit from 1% to 1000%: give 80%")]
    Percent { name: &'static str, text: String },
    #[error("--record-rotate: `{0}` is not a size of 64K or more: give 100M or 1G")]
    Size(String),
    #[error("--tui cannot be combined with -o json or -o csv: leave one of them out")]
    TuiIsNoJson,
    #[error(
        "--record: stdout already has the output of the run: name a file or a pipe (./- is a file)"
    )]
    RecordIsStdout,
    #[error(
        "--record and --report name the same file, or one that the recording is renamed to: name \
         another one for one of them"
    )]
    SameFile,
    #[error("COUNT must be at least 1")]
    NoIntervals,
}

/// Shorter intervals would mostly measure the tool itself.
const SHORTEST: Duration = Duration::from_millis(10);

impl Options {
    /// Validates the command line.
    pub(crate) fn check(args: Args) -> Result<Self, OptionsError> {
        // The pattern names every field, so that a new option cannot be forgotten here. An option
        // that changes the output belongs in `ReplayOptions`.
        let Args {
            selection,
            duration,
            until_drop,
            until_use,
            warn_use,
            events: EventArgs { on_event },
            cmd,
            user,
            output,
            report,
            tui,
            utc,
            record,
            record_rotate,
            record_keep: keep,
            quiet,
            verbose,
            tracing: TracingArgs { client_timeout, backend, drop_records, ring_kib },
            check_programs,
            interval,
            count,
            command: _,
        } = args;
        let (filter, selection) = selection.check()?;
        let duration = duration.map(|text| time_above_zero("--duration", &text)).transpose()?;
        let client_timeout_ns = client_timeout_ns(&client_timeout)?;
        let interval = length_of_interval(&interval)?;
        if until_drop == Some(0) {
            return Err(OptionsError::NoDrops);
        }
        let until = percent("--until-use", until_use.as_deref())?;
        let warn = percent("--warn-use", warn_use.as_deref())?;
        if count == Some(0) {
            return Err(OptionsError::NoIntervals);
        }
        let rotate = record_rotate.map(|text| size(&text)).transpose()?;
        if tui && output != Output::Table {
            return Err(OptionsError::TuiIsNoJson);
        }
        if record.as_deref() == Some(Path::new("-")) {
            return Err(OptionsError::RecordIsStdout);
        }
        if let (Some(record), Some(report)) = (&record, &report)
            && is_name_of(record, report, if rotate.is_some() { keep } else { 0 })
        {
            return Err(OptionsError::SameFile);
        }
        Ok(Self {
            replay: ReplayOptions {
                named_ports: filter.ports.is_some(),
                until_drop,
                high_use: high_use(until.or(warn), on_event.as_deref()),
                client_timeout_ns: Some(client_timeout_ns),
                one_family: filter.family.is_some(),
            },
            filter,
            selection,
            duration,
            until_use: until.is_some(),
            on_event,
            cmd,
            user,
            output,
            tui,
            report: report.as_deref().map(WholeFile::check).transpose()?,
            utc,
            record: record.map(|path| RecordOptions { path, rotate, keep }),
            backend,
            quiet,
            verbose,
            interval,
            count,
            drop_records,
            ring: ring_kib << 10,
            service: false,
            check_programs,
        })
    }
}

/// Parses INTERVAL. A mistyped command may stand in its place.
fn length_of_interval(text: &str) -> Result<Duration, OptionsError> {
    if let Some(error) = mistyped::command(text).or_else(|| mistyped::late_command(text)) {
        return Err(OptionsError::Command(error));
    }
    interval("INTERVAL", text)
}

/// Parses the length of an interval.
pub(crate) fn interval(name: &'static str, text: &str) -> Result<Duration, OptionsError> {
    let interval = time(name, text)?;
    if interval < SHORTEST {
        return Err(OptionsError::TooShort(name, interval));
    }
    Ok(interval)
}

/// The smallest size of a rotated file, since each one begins with the whole state.
const SMALLEST: u64 = 64 << 10;

/// Parses bytes, or a number with a binary unit.
fn size(text: &str) -> Result<u64, OptionsError> {
    let wrong = || OptionsError::Size(text.to_owned());
    let digits = text.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(1 << shift).filter(|size| *size >= SMALLEST).ok_or_else(wrong)
}

/// `--client-timeout` in nanoseconds.
pub(crate) fn client_timeout_ns(text: &str) -> Result<u64, OptionsError> {
    let timeout = time_above_zero("--client-timeout", text)?;
    Ok(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}

/// Parses a share of the limit, if one was given.
pub(crate) fn percent(name: &'static str, text: Option<&str>) -> Result<Option<u32>, OptionsError> {
    let wrong = |text: &str| OptionsError::Percent { name, text: text.to_owned() };
    text.map(|text| parse_percent(text).ok_or_else(|| wrong(text))).transpose()
}

/// The share of the limit to report at; `--on-event` has a default.
pub(crate) fn high_use(given: Option<u32>, on_event: Option<&str>) -> Option<u32> {
    given.or(on_event.map(|_| HIGH_USE))
}

fn time_above_zero(name: &'static str, text: &str) -> Result<Duration, OptionsError> {
    let time = time(name, text)?;
    if time.is_zero() { Err(OptionsError::NoTime(name)) } else { Ok(time) }
}

pub(crate) fn time(name: &'static str, text: &str) -> Result<Duration, OptionsError> {
    parse_time(text).ok_or_else(|| OptionsError::Time { name, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{Options, OptionsError};
    use crate::cli::Args;
    use clap::Parser as _;
    use std::time::Duration;

    fn options(line: &str) -> Result<Options, OptionsError> {
        let words = std::iter::once("backlog-trace").chain(line.split_whitespace());
        Options::check(Args::try_parse_from(words).unwrap())
    }

    #[test]
    fn times_have_units_or_are_seconds() {
        let options = options("-d 5m 0.5 3").unwrap();
        assert_eq!(options.duration, Some(Duration::from_mins(5)));
        assert_eq!(options.interval, Duration::from_millis(500));
        assert_eq!(options.count, Some(3));
    }

    #[test]
    fn a_level_is_percent_with_or_without_its_sign() {
        let level = |line| {
            let options = options(line).unwrap();
            (options.replay.high_use, options.until_use)
        };
        assert_eq!(level(""), (None, false));
        assert_eq!(level("--until-use 80%"), (Some(80), true));
        assert_eq!(level("--until-use 80"), (Some(80), true));
        assert_eq!(level("--until-use=1000%"), (Some(1000), true));
        assert_eq!(level("--warn-use 1%"), (Some(1), false));
        assert_eq!(level("--on-event true"), (Some(80), false));
        assert_eq!(level("--on-event true --warn-use 50"), (Some(50), false));
        assert_eq!(level("--on-event true --until-use 90"), (Some(90), true));
    }

    #[test]
    fn errors_say_what_would_be_right() {
        for (line, cure) in [
            ("--port web", "8000-8100"),
            ("-d soon", "30s"),
            ("-d -5s", "30s"),
            ("-d 0", "above 0, such as 30s"),
            ("-d 0s", "--duration: 0 is too short"),
            ("-d 1e-12", "above 0"),
            ("--client-timeout 0", "above 0"),
            ("0.001", "10ms"),
            ("-q listners", "did you mean `listeners`"),
            ("1x", "not a time"),
            ("1 0", "at least 1"),
            ("--until-drop 0", "at least 1"),
            ("--until-use 0", "1% to 1000%: give 80%"),
            ("--until-use 1001%", "1% to 1000%"),
            ("--until-use -5%", "1% to 1000%"),
            ("--until-use 0.8", "1% to 1000%"),
            ("--warn-use full", "--warn-use: `full`"),
            ("--record x --record-rotate 10", "100M"),
            ("--record x --record-rotate 10m", "100M"),
            ("--record x --record-rotate 99999999999G", "100M"),
            ("--tui -o json", "leave one of them out"),
            ("--record ./x --report x", "same file"),
            ("--record x --report x.old", "same file"),
            ("--record x --record-rotate 64K --report x.9", "same file"),
            ("--record -", "name a file or a pipe"),
            ("--report -", "stdout already has the output of the run"),
            ("--report /no/such/folder/x.html", "create that folder"),
        ] {
            let error = match options(line) {
                Ok(options) => panic!("{line} gave {options:?}"),
                // The text that is printed, with its cause.
                Err(error) => format!("{:#}", anyhow::Error::new(error)),
            };
            assert!(error.contains(cure), "{line}: {error}");
        }
    }
}
