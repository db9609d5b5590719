//! The command line as it is typed.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

/// `--drop-records`, unless told.
pub(crate) const DROP_RECORDS: u32 = 1000;
/// `--ring-kib`, unless told.
pub(crate) const RING_KIB: u32 = 8192;

/// Which TCP accept queue overflowed, when, whom it hit, and why.
///
/// Traces the accept queue of each listening TCP socket: how deep it gets against
/// its limit, how long connections wait for accept, and every SYN or last ACK
/// that is refused, at its exact moment. Prints a line per listener and interval,
/// and a summary at the end (Ctrl-C).
#[derive(Debug, Parser)]
#[command(name = "backlog-trace", version, max_term_width = 80, after_help = AFTER_HELP)]
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

    /// Times in UTC and not in the machine's time zone (JSON always is)
    #[arg(long)]
    pub(crate) utc: bool,

    /// How to attach to the kernel
    #[arg(long, value_name = "B", value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,

    /// No headings, no notices: only data and errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say what is attached where, and at the end what tracing cost; rows of idle
    /// listeners too. Meanwhile the kernel times every run of every eBPF program on
    /// the host, which costs each some 35 ns
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
    #[command(after_help = LISTENERS_HELP)]
    Listeners(ListenersArgs),
    /// What this kernel permits, which hooks will be used, and why
    ///
    /// Tries every way of attaching and every hook, takes them off again, and says what
    /// came of it. Without the rights it says what could not be tried.
    #[command(after_help = "Exit status: 0 tracing would work, 2 it would not.")]
    Doctor(DoctorArgs),
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
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,

    /// Judge this way of attaching
    #[arg(long, value_name = "B", value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,

    /// Every value that was read from the kernel's types as well
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

const AFTER_HELP: &str = "\
Examples:
  sudo backlog-trace --port 8000           the accept queue of port 8000
  sudo backlog-trace 5 12                  every listener, 12 lines of 5 s each
  sudo backlog-trace --until-drop -d 1h    wait for the first refused client
  sudo backlog-trace -P 80,443 -o json     for programs
  sudo backlog-trace -d 5m --report a.html a page for the incident ticket
  sudo backlog-trace listeners             every listener, and what is wrong
  sudo backlog-trace doctor                will it work here, and how

Exit status: 0 fine, 1 drops were seen with --until-drop, 2 error.";

const LISTENERS_HELP: &str = "\
Examples:
  sudo backlog-trace listeners                     all of them
  sudo backlog-trace listeners -P 80,443 --check   after a deployment
  sudo backlog-trace listeners --netns web -o csv  for a spreadsheet

Exit status: 0 fine, 1 there are findings with --check, 2 error.";

/// Form of the output of `listeners`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListenersOutput {
    /// For people
    Table,
    /// One JSON object a line
    Json,
    /// A row of names, and a row for each listener
    Csv,
}

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
    use super::{Args, Backend, Check, Command, Output};
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
        assert_eq!((doctor.output, doctor.backend), (Output::Json, Backend::Kprobe));
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
        let listeners = command.find_subcommand_mut("listeners").unwrap();
        insta::assert_snapshot!("listeners", listeners.render_long_help().to_string());
    }
}
