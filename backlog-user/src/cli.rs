//! The command line as typed, before it is validated.

mod examples;
pub(crate) mod mistyped;
#[cfg(test)]
mod named_options;
pub(crate) mod options;
mod percent;
pub(crate) mod selection;
pub(crate) mod serve;
mod subcommands;
mod time;
mod tracing;
mod values;

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

pub(crate) use self::serve::ServeArgs;
pub(crate) use self::subcommands::{
    CompareArgs, DoctorArgs, ListenersArgs, ReplayArgs, ReportArgs,
};
pub(crate) use self::tracing::{DROP_RECORDS, EventArgs, RING_KIB, SelectionArgs, TracingArgs};
pub(crate) use self::values::{
    Backend, Check, CompareOutput, DoctorOutput, ListenersOutput, Output, Shell,
};

/// Default of `--record-keep`.
pub(crate) const RECORD_KEEP: u32 = 9;

/// Find out which TCP accept queues overflow, when, why, and which clients are affected.
///
/// Traces the accept queue of every listening TCP socket: its depth against its limit,
/// how long connections wait for accept, and the exact time and cause of each dropped
/// SYN or ACK. Prints a line per listener and interval, and a summary on exit (Ctrl-C).
#[derive(Debug, Parser)]
#[command(name = "backlog-trace", version, max_term_width = 80)]
#[command(after_long_help = examples::TRACE)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Stop after this time: 30s, 5m, 1h
    #[arg(short, long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) duration: Option<String>,

    /// Stop after the Nth drop and exit with status 1; before an INTERVAL: --until-drop=N
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) until_drop: Option<u64>,

    /// Stop at the first queue whose peak reaches this share of its limit, with status 1
    ///
    /// 80% or 80: 103 connections at a limit of 128. A queue is full above 100%. The eBPF programs
    /// keep the exact peak, so none is missed; it is seen at the end of its INTERVAL, or when
    /// a drop shows it.
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    pub(crate) until_use: Option<String>,

    /// Report each queue whose peak reaches this share of its limit, and go on
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true, conflicts_with = "until_use")]
    pub(crate) warn_use: Option<String>,

    #[command(flatten)]
    pub(crate) events: EventArgs,

    /// Run CMD with sh and stop when it exits; its output goes to stderr
    #[arg(long, value_name = "CMD")]
    pub(crate) cmd: Option<String>,

    /// Run as this user, with only the capabilities that the run needs
    ///
    /// The user creates and owns recordings and reports, so they must be in folders that the user
    /// can write to. The command of --cmd keeps the user and the rights of the caller.
    #[arg(long, value_name = "NAME[:GROUP]")]
    pub(crate) user: Option<String>,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Also write a self-contained HTML report on exit
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Full-screen interactive view (press ? for help)
    #[arg(long)]
    pub(crate) tui: bool,

    /// Print times in UTC (always the case for JSON and CSV)
    #[arg(long)]
    pub(crate) utc: bool,

    /// Record all events to FILE for `replay`; compressed if the name ends in .zst
    ///
    /// When tracing begins, an existing FILE is renamed to FILE.old. Only its owner can read a
    /// new FILE. If writing fails (e.g. disk full), a warning is printed, tracing continues,
    /// and the exit status is 2.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Rotate FILE when it reaches this size: 100M, 1G
    ///
    /// FILE becomes FILE.1, FILE.1 becomes FILE.2, and so on.
    #[arg(long, value_name = "SIZE", requires = "record")]
    pub(crate) record_rotate: Option<String>,

    /// Keep at most N rotated files
    ///
    /// The oldest file is deleted first. `replay FILE` reads all files that remain.
    #[arg(long, value_name = "N", requires = "record_rotate", default_value_t = RECORD_KEEP,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) record_keep: u32,

    /// Print only data and errors: no headings, no log messages
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Show attached probes and idle listeners, and tracing overhead at exit
    ///
    /// Enables BPF run-time statistics host-wide, adding about 35 ns to every eBPF program
    /// invocation.
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) tracing: TracingArgs,

    /// Load each program that fits this kernel, print the verifier's figures, and exit
    /// (for the tests)
    #[arg(long, hide = true)]
    pub(crate) check_programs: bool,

    /// Reporting interval, in seconds or with a unit: 1, 0.5, 10s
    #[arg(value_name = "INTERVAL", default_value = "1")]
    pub(crate) interval: String,

    /// Stop after COUNT intervals
    #[arg(value_name = "COUNT")]
    pub(crate) count: Option<u64>,

    /// Subcommands.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List and check all listeners once, without tracing
    ///
    /// Queries every network namespace and loads no eBPF programs. Below the table it lists
    /// problems and risks, each with a remedy. Without root it covers its own network
    /// namespace and names only the user's own processes.
    #[command(after_long_help = examples::LISTENERS)]
    Listeners(ListenersArgs),
    /// Check whether tracing works on this host
    ///
    /// Attaches every backend and hook once, detaches them, and reports the result: which
    /// hooks will be used, and why. Without sufficient rights it reports what it could not
    /// try.
    #[command(after_help = "Exit status: 0 tracing works, 2 it does not.")]
    Doctor(DoctorArgs),
    /// Replay a recording
    ///
    /// Needs no privileges and runs on any machine. With the options of the recorded run it
    /// prints the same output; with other options, what that run would have printed. Times
    /// are in this machine's time zone unless --utc is given.
    #[command(after_long_help = examples::REPLAY)]
    Replay(ReplayArgs),
    /// Write an HTML report from a recording
    ///
    /// Needs no privileges and runs on any machine. The page is self-contained: plots,
    /// verdicts, the host's settings and the command line of the run. A truncated recording
    /// is reported as far as it goes, with a warning.
    #[command(after_long_help = examples::REPORT)]
    Report(ReportArgs),
    /// Compare two recordings: did a change help?
    ///
    /// Prints for each address what both runs know of its connections, refusals, waits and
    /// limit, and whether the second run shows a change. Needs no privileges.
    #[command(after_long_help = examples::COMPARE)]
    Compare(CompareArgs),
    /// Explain a name in the output: a verdict, cause, counter, column or finding
    ///
    /// Prints what it is, how it is known, and what to do. Without NAME it lists all names.
    #[command(after_help = examples::EXPLAIN)]
    Explain {
        /// Name as the output shows it, in any case
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Serve metrics for Prometheus and a live page until stopped
    ///
    /// Traces like the command itself and serves what it counts at /metrics, in bounded memory
    /// however long it runs. docs/METRICS.md lists the metrics. The page at / shows the run live
    /// and makes reports of the last minutes: docs/PAGE.md.
    #[command(after_long_help = examples::SERVE, args_override_self = true)]
    Serve(Box<ServeArgs>),
    /// Generate shell completions on stdout
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Shell to generate completions for
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print a manual page on stdout
    #[command(after_help = examples::MAN)]
    Man {
        /// Subcommand to document
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::{Args, Backend, Check, Command, DoctorOutput};
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn until_drop_takes_a_number_or_none() {
        let drops = |args: &[&str]| Args::try_parse_from(args).unwrap().until_drop;
        assert_eq!(drops(&["x"]), None);
        assert_eq!(drops(&["x", "--until-drop"]), Some(1));
        assert_eq!(drops(&["x", "--until-drop", "5"]), Some(5));
        assert_eq!(drops(&["x", "--until-drop=5", "2"]), Some(5));
    }

    #[test]
    fn a_run_waits_for_high_use_or_warns_of_it() {
        assert!(Args::try_parse_from(["x", "--until-use", "80%", "5"]).is_ok());
        let both = ["x", "--until-use", "80%", "--warn-use", "50%"];
        assert!(Args::try_parse_from(both).is_err());
    }

    #[test]
    fn doctor_is_beside_the_flat_arguments() {
        let args = |line: &str| Args::try_parse_from(line.split_whitespace());
        let Some(Command::Doctor(doctor)) =
            args("x doctor -o json --backend kprobe").unwrap().command
        else {
            panic!("no doctor");
        };
        assert_eq!((doctor.output, doctor.backend), (DoctorOutput::Json, Backend::Kprobe));
        assert!(!doctor.verbose);
        let flat = args("x --port 80 5 12").unwrap();
        assert!(flat.command.is_none());
        assert_eq!((flat.interval.as_str(), flat.count), ("5", Some(12)));
        // This command takes no tracing options; after such an option, its name is not a command.
        assert!(args("x doctor --port 80").is_err());
        assert_eq!(args("x --port 80 doctor").unwrap().interval, "doctor");
    }

    #[test]
    fn check_takes_a_level_or_none() {
        let check = |line: &str| {
            let words = ["x", "listeners"].into_iter().chain(line.split_whitespace());
            let Some(Command::Listeners(args)) = Args::try_parse_from(words).unwrap().command
            else {
                panic!("no listeners");
            };
            args.check
        };
        assert_eq!(check(""), None);
        assert_eq!(check("--check"), Some(Check::Any));
        assert_eq!(check("--check -P 80 -o csv"), Some(Check::Any));
        assert_eq!(check("--check problem -4"), Some(Check::Problem));
    }

    #[test]
    fn help_is_kept_in_view() {
        let mut command = Args::command().term_width(80);
        insta::assert_snapshot!(command.render_long_help().to_string());
        let short = command.render_help().to_string();
        assert!(!short.contains("Examples:"));
        insta::assert_snapshot!("short", short);
        let replay = command.find_subcommand_mut("replay").unwrap();
        insta::assert_snapshot!("replay", replay.render_long_help().to_string());
        let report = command.find_subcommand_mut("report").unwrap();
        insta::assert_snapshot!("report", report.render_long_help().to_string());
        let listeners = command.find_subcommand_mut("listeners").unwrap();
        insta::assert_snapshot!("listeners", listeners.render_long_help().to_string());
        let serve = command.find_subcommand_mut("serve").unwrap();
        insta::assert_snapshot!("serve", serve.render_long_help().to_string());
    }
}
