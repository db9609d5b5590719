//! The examples and exit statuses below the texts of `--help`.

/// Examples of `completions`.
pub(super) const COMPLETIONS: &str = "\
Examples:
  backlog-trace completions bash > /etc/bash_completion.d/backlog-trace
  backlog-trace completions zsh > /usr/local/share/zsh/site-functions/_backlog-trace
  backlog-trace completions fish > ~/.config/fish/completions/backlog-trace.fish";

/// Examples of `man`.
pub(super) const MAN: &str = "\
Examples:
  backlog-trace man > /usr/local/share/man/man1/backlog-trace.1
  backlog-trace man replay | man -l -";

/// Examples of `compare`.
pub(super) const COMPARE: &str = "\
Examples:
  backlog-trace compare monday.zst tuesday.zst
  backlog-trace compare before.zst after.zst --client-timeout 2s
  backlog-trace compare before.zst after.zst -o json | jq -r .text

The same address in the same network namespace is compared; where that differs,
a port that each run has once.

Exit status: 0 success, 2 error.";

/// Examples of `explain`.
pub(super) const EXPLAIN: &str = "\
Examples:
  backlog-trace explain accept_queue_full_ack
  backlog-trace explain add_workers
  backlog-trace explain ListenOverflows

Exit status: 0 success, 2 unknown name.";

/// Examples of `replay`.
pub(super) const REPLAY: &str = "\
Examples:
  backlog-trace replay run.zst            print the table and the summary
  backlog-trace replay run.zst 60 -o csv  one row per minute
  backlog-trace replay run.zst --tui --speed 10
  backlog-trace replay run.zst --client-timeout 2s
  ssh host cat run.jsonl | backlog-trace replay -

A recording truncated by a kill or a full disk is replayed as far as it goes;
what could not be read is reported on stderr.

Exit status: 0 success, 2 error.";

/// Examples of `report`.
pub(super) const REPORT: &str = "\
Examples:
  backlog-trace report run.zst            writes run.html
  backlog-trace report run.zst -o ticket-17.html --utc
  ssh host cat run.zst | backlog-trace report - -o run.html

Exit status: 0 success, 2 error.";

/// Examples of `serve`.
pub(super) const SERVE: &str = "\
Examples:
  sudo backlog-trace serve                       metrics at 127.0.0.1:9469
  sudo backlog-trace serve --config /etc/backlog-trace.toml
  curl -s localhost:9469/metrics | grep backlog_drops_total

SIGHUP reads the file of --config again; SIGINT and SIGTERM stop it.

Exit status: 0 stopped by a signal, 2 error.";

/// Examples of tracing.
pub(super) const TRACE: &str = "\
Examples:
  sudo backlog-trace --port 8000           trace the accept queue of port 8000
  sudo backlog-trace 5 12                  trace everything, 12 rows of 5 s
  sudo backlog-trace --until-drop -d 1h    wait for the first refused client
  sudo backlog-trace --until-use 80%       wait for a queue that is nearly full
  sudo backlog-trace -P 80,443 -o json     print one JSON object per line
  sudo backlog-trace --tui                 watch it live
  sudo backlog-trace -d 5m --report a.html write a page for the incident ticket
  sudo backlog-trace --record run.zst      record a run ...
  backlog-trace replay run.zst --tui       ... and replay it, without root
  backlog-trace report run.zst             ... or turn it into a page
  sudo backlog-trace listeners             check all listeners now
  sudo backlog-trace doctor                check whether tracing works here
  sudo backlog-trace serve                 serve metrics for Prometheus

Exit status: 0 success, 1 seen what --until-drop or --until-use waits for,
2 error, failed --cmd, or incomplete recording.";

/// Examples of `listeners`.
pub(super) const LISTENERS: &str = "\
Examples:
  sudo backlog-trace listeners                     list all listeners
  sudo backlog-trace listeners -P 80,443 --check   check a deployment
  sudo backlog-trace listeners --netns web -o csv  export to a spreadsheet

Exit status: 0 success, 1 findings with --check, 2 error.";
