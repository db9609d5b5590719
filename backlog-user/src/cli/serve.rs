//! The arguments of `serve`: parses and validates them, and reads them from a configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use backlog_core::metrics::Bounds;
use backlog_core::recording::options::ReplayOptions;

use super::options::{Options, OptionsError, client_timeout_ns, high_use, interval, percent, time};
use super::tracing::{EventArgs, SelectionArgs, TracingArgs};
use super::values::Output;

/// The arguments of `serve`.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct ServeArgs {
    /// Serve on this address and port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9469")]
    pub(crate) listen: SocketAddr,

    /// Serve at this Unix socket as well; only its owner can connect, without a token
    #[arg(long, value_name = "PATH", conflicts_with = "no_page")]
    pub(crate) listen_unix: Option<PathBuf>,

    /// Write the token of the page to this file [default: `token` in the runtime directory]
    ///
    /// The page at / shows clients and owners: it needs the token, as /?token=TOKEN. Each start
    /// makes another one. Only the owner can read the file.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Serve with TLS and passwords, by the web configuration file of Prometheus exporters
    ///
    /// YAML with a certificate, its key, and names with bcrypt hashes (docs/METRICS.md). SIGHUP
    /// reads it again.
    #[arg(long, value_name = "FILE")]
    pub(crate) web_config: Option<PathBuf>,

    /// Serve metrics only: no page, no reports, and nothing is kept for them
    #[arg(long)]
    pub(crate) no_page: bool,

    /// Read options from this TOML file; those on the command line override them
    ///
    /// A line for each option, by its long name: max-listeners = 500. SIGHUP reads the file
    /// again; --max-listeners, --keep-closed, --min-age and --peak-window change at once, all
    /// others with a restart.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Show at most N listeners; the others are summed up as `other`
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) max_listeners: u32,

    /// Show closed listeners for this long; longer than the scrape interval
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub(crate) keep_closed: String,

    /// Show a new listener only after this time, unless it fills up
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) min_age: String,

    /// Show the deepest queue of this time; longer than the scrape interval
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) peak_window: String,

    /// Push the metrics to this receiver of OTLP over HTTP, too
    ///
    /// Its host is an IP address or localhost, its path /v1/metrics unless the URL has one. What
    /// cannot be sent is tried again for some minutes.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,

    /// Push this often
    #[arg(long, value_name = "TIME", default_value = "15s", requires = "otlp")]
    pub(crate) otlp_interval: String,

    /// Update the metrics this often
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(crate) interval: String,

    /// Report each queue whose peak reaches this share of its limit, on the page and to --on-event
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    pub(crate) warn_use: Option<String>,

    #[command(flatten)]
    pub(crate) events: EventArgs,

    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// Run as this user, with only the capabilities that the run needs
    #[arg(long, value_name = "NAME[:GROUP]")]
    pub(crate) user: Option<String>,

    #[command(flatten)]
    pub(crate) tracing: TracingArgs,
}

impl ServeArgs {
    /// Validates the options of the run.
    pub(crate) fn options(&self) -> Result<Options, OptionsError> {
        let (filter, selection) = self.selection.clone().check()?;
        let TracingArgs { client_timeout, backend, drop_records, ring_kib } = &self.tracing;
        let warn = percent("--warn-use", self.warn_use.as_deref())?;
        let on_event = self.events.on_event.clone();
        Ok(Options {
            replay: ReplayOptions {
                named_ports: filter.ports.is_some(),
                until_drop: None,
                high_use: high_use(warn, on_event.as_deref()),
                client_timeout_ns: Some(client_timeout_ns(client_timeout)?),
                one_family: filter.family.is_some(),
            },
            filter,
            selection,
            duration: None,
            until_use: false,
            on_event,
            cmd: None,
            user: self.user.clone(),
            output: Output::Table,
            tui: false,
            report: None,
            utc: true,
            record: None,
            backend: *backend,
            quiet: false,
            verbose: false,
            interval: interval("--interval", &self.interval)?,
            count: None,
            drop_records: *drop_records,
            ring: ring_kib << 10,
            service: true,
            check_programs: false,
        })
    }

    /// The time between two pushes.
    pub(crate) fn otlp_period(&self) -> Result<Duration, OptionsError> {
        interval("--otlp-interval", &self.otlp_interval)
    }

    /// Is the page served anywhere?
    pub(crate) fn may_show_page(&self, tls: bool) -> bool {
        let is_local = self.listen.ip().to_canonical().is_loopback();
        !self.no_page && (tls || is_local || self.listen_unix.is_some())
    }

    /// The limits on what is shown.
    pub(crate) fn bounds(&self) -> Result<Bounds, OptionsError> {
        let ns = |name, text: &str| time(name, text).map(nanoseconds);
        Ok(Bounds {
            max_listeners: usize::try_from(self.max_listeners).unwrap_or(usize::MAX),
            keep_closed_ns: ns("--keep-closed", &self.keep_closed)?,
            min_age_ns: ns("--min-age", &self.min_age)?,
            peak_window_ns: ns("--peak-window", &self.peak_window)?,
        })
    }

    /// These arguments, with those of `other` that can change during a run.
    pub(crate) fn with_bounds_of(&self, other: &Self) -> Self {
        Self {
            max_listeners: other.max_listeners,
            keep_closed: other.keep_closed.clone(),
            min_age: other.min_age.clone(),
            peak_window: other.peak_window.clone(),
            ..self.clone()
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Converts the options of a configuration file to words of a command line.
pub(crate) fn words(text: &str) -> Result<Vec<String>, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let mut words = Vec::new();
    for (name, value) in table {
        if name == "config" || name == "help" {
            return Err(format!("`{name}` has no meaning in a file: remove it"));
        }
        match value {
            toml::Value::Boolean(true) => words.push(format!("--{name}")),
            toml::Value::Boolean(false) => {}
            value => words.push(format!("--{name}={}", word(&name, &value)?)),
        }
    }
    Ok(words)
}

/// Converts a value; several ports may be given as a list.
fn word(name: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Array(values) => {
            let words: Result<Vec<String>, String> =
                values.iter().map(|value| word(name, value)).collect();
            Ok(words?.join(","))
        }
        _ => Err(format!("`{name}` is a {}: give a string or a number", value.type_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::words;
    use crate::cli::{Args, Command, ServeArgs};
    use clap::Parser as _;

    fn parse(line: &[&str]) -> ServeArgs {
        let words = ["backlog-trace", "serve"].into_iter().chain(line.iter().copied());
        match Args::try_parse_from(words).unwrap().command {
            Some(Command::Serve(args)) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_has_the_names_of_the_options_and_the_command_line_wins() {
        let text = "max-listeners = 50\nport = [80, \"8000-8010\"]\nipv4 = true\nipv6 = false\n";
        let mut line = words(text).unwrap();
        assert_eq!(line, ["--ipv4", "--max-listeners=50", "--port=80,8000-8010"]);
        line.push("--max-listeners=70".to_owned());
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let args = parse(&line);
        assert_eq!((args.max_listeners, args.selection.ipv4), (70, true));
        assert_eq!(args.bounds().unwrap().keep_closed_ns, 300_000_000_000);
        assert!(args.options().unwrap().service);
    }

    #[test]
    fn errors_of_a_file_say_what_is_wrong() {
        for (text, why) in [
            ("config = 'x'", "no meaning"),
            ("port = 80\nport = 81", "duplicate key"),
            ("min-age = { a = 1 }", "give a string or a number"),
        ] {
            let error = words(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn only_the_bounds_change_during_a_run() {
        let (old, new) = (parse(&[]), parse(&["--max-listeners", "5", "--min-age", "1s"]));
        assert_eq!(old.with_bounds_of(&new), new);
        let other = parse(&["--interval", "2s"]);
        assert_ne!(old.with_bounds_of(&other), other);
    }
}
