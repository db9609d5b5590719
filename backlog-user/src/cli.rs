//! The command line as it is typed.

pub(crate) mod mistyped;
#[cfg(test)]
mod named_options;
pub(crate) mod options;
pub(crate) mod selection;
mod time;

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

/// Default of `--drop-records`.
pub(crate) const DROP_RECORDS: u32 = 1000;
/// Default size of the ring buffer, KiB.
pub(crate) const RING_KIB: u32 = 8192;

/// Default of `--record-keep`.
pub(crate) const RECORD_KEEP: u32 = 9;

/// Find out which TCP accept queues overflow, when, why, and which clients are affected.
///
/// Traces the accept queue of every listening TCP socket: its depth against its limit,
/// how long connections wait for accept, and the exact time and cause of each dropped
/// SYN or ACK. Prints a line per listener and interval, and a summary on exit (Ctrl-C).
#[derive(Debug, Parser)]
#[command(name = "backlog-trace", version, max_term_width = 80)]
#[command(after_long_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Trace only these local ports: 8000, 80,443 or 8000-8100
    #[arg(short = 'P', long, value_name = "PORTS")]
    pub(crate) port: Option<String>,

    /// Trace only listeners that this process holds or opens
    #[arg(short, long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Trace only this network namespace: a pid, a path, a name from `ip netns`, or an
    /// inode number
    #[arg(long, value_name = "X")]
    pub(crate) netns: Option<String>,

    /// Trace only listeners whose sockets were created in or below this cgroup (v2):
    /// /system.slice/nginx.service
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Trace only IPv4 clients, including those of dual-stack listeners
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Trace only IPv6 clients
    #[arg(short = '6')]
    pub(crate) ipv6: bool,

    /// Stop after this time: 30s, 5m, 1h
    #[arg(short, long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) duration: Option<String>,

    /// Stop after the Nth drop and exit with status 1
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) until_drop: Option<u64>,

    /// Run CMD with sh and stop when it exits; its output goes to stderr
    #[arg(long, value_name = "CMD")]
    pub(crate) cmd: Option<String>,

    /// Client timeout: a larger backlog is not recommended if queued clients would wait
    /// longer than this
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) client_timeout: String,

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
    /// An existing FILE is renamed to FILE.old. If writing fails (e.g. disk full), a warning
    /// is printed, tracing continues, and the exit status is 2.
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

    /// Select how to attach to the kernel
    #[arg(long, value_name = "B", value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,

    /// Print only data and errors: no headings, no log messages
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Show attached probes, idle listeners, and tracing overhead at exit
    ///
    /// Enables BPF run-time statistics host-wide, adding about 35 ns to every eBPF program
    /// invocation.
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,

    /// Report at most N individual drops per listener and second (split across CPUs);
    /// further drops are only counted
    #[arg(long, value_name = "N", default_value_t = DROP_RECORDS)]
    pub(crate) drop_records: u32,

    /// Size of the ring buffer in KiB (for the tests)
    #[arg(long, hide = true, value_name = "KIB", default_value_t = RING_KIB,
          value_parser = clap::value_parser!(u32).range(4..=1 << 20))]
    pub(crate) ring_kib: u32,

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
    #[command(after_long_help = LISTENERS_HELP)]
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
    #[command(after_long_help = REPLAY_HELP)]
    Replay(ReplayArgs),
    /// Write an HTML report from a recording
    ///
    /// Needs no privileges and runs on any machine. The page is self-contained: plots,
    /// verdicts, the host's settings and the command line of the run. A truncated recording
    /// is reported as far as it goes, with a warning.
    #[command(after_long_help = REPORT_HELP)]
    Report(ReportArgs),
    /// Generate shell completions on stdout
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// Shell to generate completions for
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print a manual page on stdout
    #[command(after_help = MAN_HELP)]
    Man {
        /// Subcommand to document
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
}

/// The arguments of `listeners`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenersArgs {
    /// List only these local ports: 8000, 80,443 or 8000-8100
    #[arg(short = 'P', long, value_name = "PORTS")]
    pub(crate) port: Option<String>,

    /// List only listeners that accept IPv4 clients (most [::] listeners do)
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// List only listeners that accept IPv6 clients
    #[arg(short = '6')]
    pub(crate) ipv6: bool,

    /// List only listeners that this process holds
    #[arg(short, long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// List only this network namespace: a pid, a path, a name from `ip netns`, or an
    /// inode number
    #[arg(long, value_name = "X")]
    pub(crate) netns: Option<String>,

    /// List only listeners whose sockets were created in or below this cgroup (v2)
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum,
          default_value_t = ListenersOutput::Table)]
    pub(crate) output: ListenersOutput,

    /// Exit with status 1 if there is a finding of this level or above
    #[arg(long, value_name = "LEVEL", value_enum, num_args = 0..=1,
          default_missing_value = "any")]
    pub(crate) check: Option<Check>,
}

/// The arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum,
          default_value_t = DoctorOutput::Table)]
    pub(crate) output: DoctorOutput,

    /// Check only this backend
    #[arg(long, value_name = "B", value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,

    /// Also print every value read from the kernel's BTF
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// The arguments of `replay`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct ReplayArgs {
    /// Recording made by --record, with its rotated files beside it; - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Reporting interval, a multiple of the recorded one: 10, 1m
    #[arg(value_name = "INTERVAL")]
    pub(crate) interval: Option<String>,

    /// Client timeout to judge by, instead of that of the run
    ///
    /// A larger backlog is not recommended if queued clients would wait longer than this.
    #[arg(long, value_name = "TIME")]
    pub(crate) client_timeout: Option<String>,

    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Also write a self-contained HTML report
    #[arg(long, value_name = "PAGE")]
    pub(crate) report: Option<PathBuf>,

    /// Full-screen interactive view at the speed of the run (press ? for help)
    ///
    /// Space pauses, left and right seek by 10 s, + and - change the speed, 0 plays as fast
    /// as possible. At the end of the recording, q quits and prints the summary.
    #[arg(long)]
    pub(crate) tui: bool,

    /// Playback speed: 10, 0.5; 0 for as fast as possible
    #[arg(long, value_name = "N", requires = "tui", default_value_t = 1.0)]
    pub(crate) speed: f64,

    /// Print times in UTC (always the case for JSON and CSV)
    #[arg(long)]
    pub(crate) utc: bool,

    /// Print only data and errors: no headings, no log messages
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Show idle listeners, and tracing overhead at the end
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,
}

/// The arguments of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Recording made by --record, with its rotated files beside it; - for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// File to write the page to; - for stdout
    ///
    /// Default: FILE with .html in place of .zst and .jsonl. An existing page is replaced.
    #[arg(short, long, value_name = "PAGE")]
    pub(crate) output: Option<PathBuf>,

    /// Client timeout to judge by, instead of that of the run
    ///
    /// A larger backlog is not recommended if queued clients would wait longer than this.
    #[arg(long, value_name = "TIME")]
    pub(crate) client_timeout: Option<String>,

    /// Print times in UTC
    #[arg(long)]
    pub(crate) utc: bool,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  backlog-trace completions bash > /etc/bash_completion.d/backlog-trace
  backlog-trace completions zsh > /usr/local/share/zsh/site-functions/_backlog-trace
  backlog-trace completions fish > ~/.config/fish/completions/backlog-trace.fish";

const MAN_HELP: &str = "\
Examples:
  backlog-trace man > /usr/local/share/man/man1/backlog-trace.1
  backlog-trace man replay | man -l -";

const REPLAY_HELP: &str = "\
Examples:
  backlog-trace replay run.jsonl.zst            print the table and the summary
  backlog-trace replay run.jsonl.zst 60 -o csv  one row per minute
  backlog-trace replay run.jsonl.zst --tui --speed 10
  backlog-trace replay run.jsonl.zst --client-timeout 2s
  ssh host cat run.jsonl | backlog-trace replay -

A recording truncated by a kill or a full disk is replayed as far as it goes;
what could not be read is reported on stderr.

Exit status: 0 fine, 2 error.";

const REPORT_HELP: &str = "\
Examples:
  backlog-trace report run.jsonl.zst            writes run.html
  backlog-trace report run.zst -o ticket-17.html --utc
  ssh host cat run.zst | backlog-trace report - -o run.html

Exit status: 0 fine, 2 error.";

const AFTER_HELP: &str = "\
Examples:
  sudo backlog-trace --port 8000           trace the accept queue of port 8000
  sudo backlog-trace 5 12                  trace everything, 12 rows of 5 s
  sudo backlog-trace --until-drop -d 1h    wait for the first refused client
  sudo backlog-trace -P 80,443 -o json     print one JSON object per line
  sudo backlog-trace --tui                 watch it live
  sudo backlog-trace -d 5m --report a.html write a page for the incident ticket
  sudo backlog-trace --record run.zst      record a run ...
  backlog-trace replay run.zst --tui       ... and replay it, without root
  backlog-trace report run.zst             ... or turn it into a page
  sudo backlog-trace listeners             check all listeners now
  sudo backlog-trace doctor                check whether tracing works here

Exit status: 0 success, 1 drops seen with --until-drop, 2 error, failed --cmd,
or incomplete recording.";

const LISTENERS_HELP: &str = "\
Examples:
  sudo backlog-trace listeners                     list all listeners
  sudo backlog-trace listeners -P 80,443 --check   check a deployment
  sudo backlog-trace listeners --netns web -o csv  export to a spreadsheet

Exit status: 0 success, 1 findings with --check, 2 error.";

/// The level of findings that `--check` fails for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// Problems and risks
    Any,
    /// Problems only: clients are or were affected
    Problem,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Human-readable
    Table,
    /// One JSON object per line
    Json,
    /// A header row, then a row per listener and interval
    Csv,
}

/// Output format of `listeners`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListenersOutput {
    /// Human-readable
    Table,
    /// One JSON object per line
    Json,
    /// A header row, then a row per listener
    Csv,
}

/// Output format of `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorOutput {
    /// Human-readable
    Table,
    /// One JSON object
    Json,
}

/// A shell to generate completions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

/// How to attach to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// The best backend that the kernel permits
    Auto,
    /// Kernel functions via BPF trampolines (fentry and fexit)
    Fentry,
    /// Kernel functions via kprobes and kretprobes
    Kprobe,
    /// Tracepoints only
    Tracepoint,
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
        // It takes no argument of tracing; after such an argument, its name is not a command.
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
    }
}
