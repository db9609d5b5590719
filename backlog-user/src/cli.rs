//! The command line as it is typed.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

/// `--drop-records`, unless told.
pub(crate) const DROP_RECORDS: u32 = 1000;
/// `--ring-kib`, unless told.
pub(crate) const RING_KIB: u32 = 8192;

/// `--record-keep`, unless told.
pub(crate) const RECORD_KEEP: u32 = 9;

/// Which TCP accept queue overflowed, when, whom it hit, and why.
///
/// Traces the accept queue of each listening TCP socket: how deep it gets against
/// its limit, how long connections wait for accept, and every SYN or last ACK
/// that is refused, at its exact moment. Prints a line per listener and interval,
/// and a summary at the end (Ctrl-C).
#[derive(Debug, Parser)]
#[command(name = "backlog-trace", version, max_term_width = 80)]
#[command(after_long_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Only these local ports: 8000 or 80,443 or 8000-8100
    #[arg(short = 'P', long, value_name = "PORTS")]
    pub(crate) port: Option<String>,

    /// Only listeners that this process holds open, and those that it opens
    #[arg(short, long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Only this network namespace: a pid, a path, a name as of `ip netns`, or an inode
    /// number
    #[arg(long, value_name = "X")]
    pub(crate) netns: Option<String>,

    /// Only listeners whose sockets were made in this cgroup (v2) or below:
    /// /system.slice/nginx.service
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Only IPv4 clients (those of a [::] listener included)
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Only IPv6 clients
    #[arg(short = '6')]
    pub(crate) ipv6: bool,

    /// Stop after this time: 30s, 5m, 1h
    #[arg(short, long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) duration: Option<String>,

    /// Stop after the Nth drop, with exit status 1
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) until_drop: Option<u64>,

    /// Run this command (by sh) and stop when it ends; its output goes to stderr
    #[arg(long, value_name = "CMD")]
    pub(crate) cmd: Option<String>,

    /// How long clients wait before they give up: what a larger queue would make them wait
    /// for longer is no cure
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) client_timeout: String,

    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Write an HTML page with plots at the end, beside the ordinary output; it needs
    /// nothing from outside
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// A full screen: listeners, plots, histograms, the latest drops; ? lists its keys
    #[arg(long)]
    pub(crate) tui: bool,

    /// Times in UTC and not in the machine's time zone (JSON and CSV always are)
    #[arg(long)]
    pub(crate) utc: bool,

    /// Keep all events in this file, for `replay`; compressed if its name ends in .zst
    ///
    /// A file of that name stays, as FILE.old. If it cannot be written any more (a full
    /// disk), that is said, tracing goes on, and the exit status is 2.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Begin another file when FILE has this size: 100M, 1G
    ///
    /// What was FILE is FILE.1 then, what was FILE.1 is FILE.2, and so on.
    #[arg(long, value_name = "SIZE", requires = "record")]
    pub(crate) record_rotate: Option<String>,

    /// How many older files are kept beside FILE
    ///
    /// The oldest goes when there would be more. `replay FILE` reads all that are there.
    #[arg(long, value_name = "N", requires = "record_rotate", default_value_t = RECORD_KEEP,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) record_keep: u32,

    /// How to attach to the kernel
    #[arg(long, value_name = "B", value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,

    /// No headings, no notices: only data and errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say what is attached where, and at the end what tracing cost; rows of idle
    /// listeners too
    ///
    /// Meanwhile the kernel times every run of every eBPF program on the host, which costs
    /// each some 35 ns.
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,

    /// Tell about so many drops of a listener and second one by one, each CPU its part;
    /// the rest is only counted
    #[arg(long, value_name = "N", default_value_t = DROP_RECORDS)]
    pub(crate) drop_records: u32,

    /// KiB of the ring buffer (for the tests)
    #[arg(long, hide = true, value_name = "KIB", default_value_t = RING_KIB,
          value_parser = clap::value_parser!(u32).range(4..=1 << 20))]
    pub(crate) ring_kib: u32,

    /// Load each program that fits this kernel, say what the verifier made of it,
    /// and end (for the tests)
    #[arg(long, hide = true)]
    pub(crate) check_programs: bool,

    /// Length of an interval in seconds, or with a unit: 1, 0.5, 10s
    #[arg(value_name = "INTERVAL", default_value = "1")]
    pub(crate) interval: String,

    /// Stop after so many intervals
    #[arg(value_name = "COUNT")]
    pub(crate) count: Option<u64>,

    /// Something else than tracing.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Something else than tracing.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Every listener now, without tracing: limit, depth, drops, owner, and findings
    ///
    /// Asks the kernel once, in every network namespace, and loads no eBPF. Below the table
    /// is what is wrong, or may go wrong, with the cure. Without root it shows the listeners
    /// of its own namespace, and owners among one's own processes.
    #[command(after_long_help = LISTENERS_HELP)]
    Listeners(ListenersArgs),
    /// What this kernel permits, which hooks will be used, and why
    ///
    /// Tries every way of attaching and every hook, takes them off again, and says what
    /// came of it. Without the rights it says what could not be tried.
    #[command(after_help = "Exit status: 0 tracing would work, 2 it would not.")]
    Doctor(DoctorArgs),
    /// A recording, shown as the run itself was
    ///
    /// Needs no rights, and runs on any machine. With the options of the run it prints what
    /// that has printed, and with others what it would have. Times are in the time zone of
    /// this machine, unless --utc.
    #[command(after_long_help = REPLAY_HELP)]
    Replay(ReplayArgs),
    /// An HTML page of a recorded run, as --report would have written it
    ///
    /// Needs no rights, and runs on any machine. The page is complete in itself: plots,
    /// verdicts, the settings of the host and the command line of the run. Of a recording
    /// that was cut it shows what is there, and says so.
    #[command(after_long_help = REPORT_HELP)]
    Report(ReportArgs),
    /// Completions for a shell, on stdout
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// Which
        #[arg(value_enum)]
        shell: Shell,
    },
    /// The manual page, on stdout
    #[command(after_help = MAN_HELP)]
    Man {
        /// Of this command
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
}

/// The arguments of `listeners`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListenersArgs {
    /// Only these local ports: 8000 or 80,443 or 8000-8100
    #[arg(short = 'P', long, value_name = "PORTS")]
    pub(crate) port: Option<String>,

    /// Only those that take IPv4 clients (a [::] listener mostly does)
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Only those that take IPv6 clients
    #[arg(short = '6')]
    pub(crate) ipv6: bool,

    /// Only those that this process holds open
    #[arg(short, long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Only this network namespace: a pid, a path, a name (ip netns), or an inode number
    #[arg(long, value_name = "X")]
    pub(crate) netns: Option<String>,

    /// Only those whose sockets were made in this cgroup (v2) or below
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Form of the output
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
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum,
          default_value_t = DoctorOutput::Table)]
    pub(crate) output: DoctorOutput,

    /// Judge this way of attaching
    #[arg(long, value_name = "B", value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,

    /// Every value that was read from the kernel's types as well
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// The arguments of `replay`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct ReplayArgs {
    /// What --record has made, with the older files beside it; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Intervals of this length, made of those that were recorded: 10, 1m
    #[arg(value_name = "INTERVAL")]
    pub(crate) interval: Option<String>,

    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Write an HTML page of the run, beside the ordinary output
    #[arg(long, value_name = "PAGE")]
    pub(crate) report: Option<PathBuf>,

    /// A full screen, at the pace of the run; ? lists its keys
    ///
    /// Space stops the time, left and right go 10 s back and further, + and - change the
    /// speed, 0 is as fast as possible. At the end it stays until q, which prints the summary
    /// of the whole run.
    #[arg(long)]
    pub(crate) tui: bool,

    /// How many times as fast as the run was: 10, 0.5; 0 is as fast as possible
    #[arg(long, value_name = "N", requires = "tui", default_value_t = 1.0)]
    pub(crate) speed: f64,

    /// Times in UTC and not in the machine's time zone (JSON and CSV always are)
    #[arg(long)]
    pub(crate) utc: bool,

    /// No headings, no notices of the run: only data and errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Rows of idle listeners, and at the end what tracing cost
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,
}

/// The arguments of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// What --record has made, with the older files beside it; - is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where the page goes; - is stdout
    ///
    /// Unless told it is FILE with .html in place of .zst and .jsonl. A page that is there is
    /// replaced.
    #[arg(short, long, value_name = "PAGE")]
    pub(crate) output: Option<PathBuf>,

    /// Times in UTC and not in the machine's time zone
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
  backlog-trace replay run.jsonl.zst            the table, and the summary
  backlog-trace replay run.jsonl.zst 60 -o csv  a row a minute
  backlog-trace replay run.jsonl.zst --tui --speed 10
  ssh host cat run.jsonl | backlog-trace replay -

What cannot be read is left out and said on stderr: a recording that was cut by
a kill or a full disk is shown as far as it goes.

Exit status: 0 fine, 2 error.";

const REPORT_HELP: &str = "\
Examples:
  backlog-trace report run.jsonl.zst            writes run.html
  backlog-trace report run.zst -o ticket-17.html --utc
  ssh host cat run.zst | backlog-trace report - -o run.html

Exit status: 0 fine, 2 error.";

const AFTER_HELP: &str = "\
Examples:
  sudo backlog-trace --port 8000           the accept queue of port 8000
  sudo backlog-trace 5 12                  every listener, 12 lines of 5 s each
  sudo backlog-trace --until-drop -d 1h    wait for the first refused client
  sudo backlog-trace -P 80,443 -o json     for programs
  sudo backlog-trace --record run.zst      keep it all, to be shown again by
  backlog-trace replay run.zst             ... which needs no root
  backlog-trace replay run.zst --tui       ... on a screen, back and forth
  backlog-trace report run.zst             ... as a page with plots
  sudo backlog-trace --tui                 to look at while it happens
  sudo backlog-trace -d 5m --report a.html a page for the incident ticket
  sudo backlog-trace listeners             every listener, and what is wrong
  sudo backlog-trace doctor                will it work here, and how

Exit status: 0 fine, 1 drops were seen with --until-drop, 2 error, or the
recording is incomplete.";

const LISTENERS_HELP: &str = "\
Examples:
  sudo backlog-trace listeners                     all of them
  sudo backlog-trace listeners -P 80,443 --check   after a deployment
  sudo backlog-trace listeners --netns web -o csv  for a spreadsheet

Exit status: 0 fine, 1 there are findings with --check, 2 error.";

/// What `--check` fails for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// Problems, and notices of what may become one
    Any,
    /// What hurts now or has hurt
    Problem,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// One JSON object a line
    Json,
    /// A row of names, and a row for each listener and interval
    Csv,
}

/// Form of what `listeners` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListenersOutput {
    /// For people
    Table,
    /// One JSON object a line
    Json,
    /// A row of names, and a row for each listener
    Csv,
}

/// Form of what the doctor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorOutput {
    /// For people
    Table,
    /// One JSON object
    Json,
}

/// A shell that there are completions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

/// Way of attaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// The best that the kernel permits
    Auto,
    /// Kernel functions, by BPF trampolines (fentry and fexit)
    Fentry,
    /// Kernel functions, by kprobes and kretprobes
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
        // What only tracing takes is no argument of it; after such, it is no command.
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
