//! `--tui` in a real terminal: the screen while a queue overflows, the effects of keys, and that
//! the terminal is restored however the run ends.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlog_tests::clock::wait_until;
use backlog_tests::tmux::Tmux;
use backlog_tests::tracer::{OPTIONS_VARIABLE, PATH_VARIABLE};

use super::help::{LIMIT, Load, PORT, PORT_TEXT, in_guest_once, scratch};
use super::owners::absent;

/// More connections than are accepted, for longer than a test takes.
const OVERLOAD: &str = "--backlog 8 --rate 100 --duration 100s --accept-delay 30ms --clients 32 \
                        --connect-timeout 1s";

/// Runs `test` with a terminal, if tmux is installed. Natively it must be.
fn with_terminal(test: impl FnOnce(&Terminal) + Send) {
    in_guest_once(|| match Tmux::find() {
        Err(error) if env::var_os("BACKLOG_NATIVE").is_none() => {
            absent("a terminal", &format!("{error:#}"));
        }
        found => {
            found.unwrap();
            test(&Terminal::open());
        }
    });
}

fn tool() -> PathBuf {
    env::var_os(PATH_VARIABLE).map_or_else(|| "backlog-trace".into(), PathBuf::from)
}

/// A terminal, and the file in which the tool's pid is written.
struct Terminal {
    tmux: Tmux,
    pid: PathBuf,
}

impl Terminal {
    fn open() -> Self {
        Self { tmux: Tmux::open(&scratch("tmux"), (80, 24)).unwrap(), pid: scratch("pid") }
    }

    /// Starts the tool, waits until it shows the listener, and returns its process id.
    fn start(&self, arguments: &str) -> i32 {
        let (tool, pid) = (tool(), self.pid.display());
        let more = env::var(OPTIONS_VARIABLE).unwrap_or_default();
        let line = format!(
            "sh -c 'echo $$ > {pid}; exec {} --tui --port {PORT_TEXT} {more} {arguments}'; \
             echo ended with $?",
            tool.display()
        );
        self.tmux.line(&line).unwrap();
        self.shows("127.0.0.1:8000");
        assert_eq!(self.tmux.is_taken().unwrap(), (true, true));
        fs::read_to_string(Path::new(&self.pid)).unwrap().trim().parse().unwrap()
    }

    fn press(&self, keys: &[&str]) {
        self.tmux.press(keys).unwrap();
    }

    /// Waits until this text is on the screen.
    fn shows(&self, text: &str) -> String {
        self.tmux.wait_for(text, LIMIT, |screen| screen.contains(text)).unwrap()
    }

    /// Waits for the end; the terminal must be restored, with the summary on it.
    fn assert_restored(&self, status: i32) {
        self.assert_shown("127.0.0.1:8000  limit 8", status);
    }

    /// The same with the beginning of the summary.
    fn assert_shown(&self, listener: &str, status: i32) {
        // The typed command is on the screen as well, but without the number.
        self.shows(&format!("ended with {status}"));
        assert_eq!(self.tmux.is_taken().unwrap(), (false, false));
        self.tmux.line("stty -a; echo the end").unwrap();
        let screen = self.shows("\nthe end");
        for setting in ["icanon", "echo", "isig", "icrnl", "opost"] {
            let words: Vec<&str> = screen.split_whitespace().collect();
            assert!(words.contains(&setting), "no {setting} in {screen}");
        }
        let history = self.tmux.history().unwrap();
        assert!(history.contains(listener), "{history}");
        assert!(history.contains("ListenOverflows: kernel"), "{history}");
        assert!(!history.contains("Listeners by"), "{history}");
    }
}

#[test]
fn a_screen_shows_the_queue_its_drops_and_what_keys_ask_for() {
    with_terminal(|terminal| {
        let load = Load::listening(PORT, OVERLOAD);
        // A plain line, and one that would colour the terminal.
        terminal.start(
            r#"--cmd "echo said by the command; printf %b \\\\033[31mred\\\\n; exec sleep 1000""#,
        );
        load.go();
        // The plot with its limit and marks of drops, and the percentiles of waits.
        terminal
            .tmux
            .wait_for("a plot with drops", LIMIT, |screen| {
                let line =
                    |start: &str| screen.lines().find(|line| line.trim_start().starts_with(start));
                line("drops ").is_some_and(|line| line.contains('x'))
                    && line("8│").is_some()
                    && screen.contains('█')
                    && screen.contains("wait: p50")
            })
            .unwrap();
        // If there is space for one line only, that is the advice.
        let screen = terminal.shows("limit 8, peak");
        let verdicts = ["raise: ", "add_workers: ", "not_enough_data: "];
        assert!(verdicts.iter().any(|verdict| screen.contains(verdict)), "{screen}");
        terminal.press(&["Tab", "Tab"]);
        terminal.shows("accept_queue_full_");
        terminal.press(&["Tab"]);
        terminal.shows("said by the command");
        terminal.press(&["?"]);
        terminal.shows("Keys (any closes this)");
        terminal.press(&["Escape"]);
        terminal.press(&["/"]);
        terminal.tmux.press(&["-l", "no such"]).unwrap();
        terminal.shows("no listener matches");
        terminal.press(&["Escape"]);
        terminal.shows("> 127.0.0.1:8000");
        terminal.press(&["s"]);
        terminal.shows("Listeners by DEPTH");
        terminal.press(&["p"]);
        let paused = terminal.shows("PAUSED");
        terminal.tmux.resize((120, 40)).unwrap();
        let large = terminal.shows("Latest drops");
        assert!(large.contains("Notices") && large.contains("PAUSED"), "{large}");
        // The time does not advance.
        let time = paused.split_whitespace().nth(1).unwrap();
        assert!(large.contains(time), "{paused}{large}");
        terminal.press(&["p"]);
        terminal.tmux.wait_for("time", LIMIT, |screen| !screen.contains(time)).unwrap();
        terminal.press(&["q"]);
        terminal.assert_restored(0);
        // The messages of the screen are repeated.
        let history = terminal.tmux.history().unwrap();
        assert!(history.contains("said by the command"), "{history}");
        // The terminal would not show an escape sequence that it obeys.
        assert!(history.contains("?[31mred"), "{history}");
    });
}

#[test]
fn signals_give_the_terminal_back() {
    with_terminal(|terminal| {
        let load = Load::listening(PORT, OVERLOAD);
        load.go();
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            let pid = terminal.start("");
            terminal.shows("depth 9");
            // SAFETY: two numbers; the process is our child's and has not ended.
            assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
            terminal.assert_restored(0);
            terminal.tmux.line("clear").unwrap();
            terminal.tmux.clear_history().unwrap();
        }
        terminal.start("");
        terminal.press(&["C-c"]);
        // It may end before anything has happened.
        terminal.assert_shown("Summary of", 0);
    });
}

#[test]
fn it_stops_and_goes_on_as_jobs_do() {
    with_terminal(|terminal| {
        let load = Load::listening(PORT, OVERLOAD);
        load.go();
        terminal.start("");
        terminal.press(&["C-z"]);
        terminal.shows("Stopped");
        assert_eq!(terminal.tmux.is_taken().unwrap(), (false, false));
        // The rest of the command line was executed when the tool stopped.
        terminal.tmux.line("fg; echo ended with $?").unwrap();
        terminal.shows("Listeners by");
        wait_until("the screen", LIMIT, || Ok(terminal.tmux.is_taken()? == (true, true))).unwrap();
        terminal.press(&["q"]);
        // Nothing may have happened before it was stopped.
        terminal.assert_shown("Summary of", 0);
    });
}

/// A recording of a real run of two seconds.
const RECORDING: &str =
    include_str!("../../../backlog-user/src/commands/replay/fixtures/overload.jsonl");

#[test]
fn a_recording_is_played_stopped_and_sought() {
    with_terminal(|terminal| {
        let file = scratch("run.jsonl");
        fs::write(&file, RECORDING).unwrap();
        let page = scratch("page.html");
        let (tool, file_text, page_text) = (tool(), file.display(), page.display());
        let line = format!(
            "{} replay {file_text} --tui --speed 0.02 --report {page_text}; echo ended with $?",
            tool.display()
        );
        terminal.tmux.line(&line).unwrap();
        let first = terminal.shows("0:00 of 0:02 x0.02");
        assert!(first.contains("no listener yet"), "{first}");
        assert_eq!(terminal.tmux.is_taken().unwrap(), (true, true));
        terminal.press(&["Space"]);
        terminal.shows("0:00 of 0:02 STOPPED");
        // Seeking by 10 s goes beyond the end.
        terminal.press(&["Right"]);
        let end = terminal.shows("0:02 of 0:02 END");
        assert!(end.contains("21 drops") || end.contains("0 listeners"), "{end}");
        terminal.press(&["Left"]);
        let again = terminal.shows("0:00 of 0:02 STOPPED");
        assert!(again.contains("no listener yet") && again.contains("0 drops"), "{again}");
        terminal.press(&["+"]);
        terminal.press(&["Space"]);
        terminal.shows("x0.04");
        terminal.press(&["?"]);
        terminal.shows("double speed, half speed");
        // Separately, since Escape followed by a key means Alt and the key.
        terminal.press(&["Escape"]);
        terminal.shows("Listeners by");
        terminal.press(&["0"]);
        terminal.shows("0:02 of 0:02 END");
        // It stays until a key ends it. Drops were repeated once, not twice.
        terminal.press(&["Tab", "Tab"]);
        let drops = terminal.shows("accept_queue_full_");
        assert!(!page.exists(), "{drops}");
        terminal.press(&["q"]);
        terminal.assert_shown("[::1]:8000  limit 1", 0);
        let history = terminal.tmux.history().unwrap();
        assert!(history.contains("drops        21 packets of 7 clients"), "{history}");
        assert!(history.contains("no kprobe: this kernel has no kprobes"), "{history}");
        assert!(fs::read_to_string(&page).unwrap().contains("21 packets of 7 clients"));
        // Quit in the middle: the summary still covers the whole run, also for a pipe.
        terminal.tmux.line("clear").unwrap();
        terminal.tmux.clear_history().unwrap();
        let line = format!(
            "cat {file_text} | {} replay - --tui --speed 0.02; echo ended with $?",
            tool.display()
        );
        terminal.tmux.line(&line).unwrap();
        terminal.shows("0:00 of 0:02 x0.02");
        terminal.press(&["C-c"]);
        terminal.assert_shown("[::1]:8000  limit 1", 0);
        for path in [file, page] {
            fs::remove_file(path).unwrap();
        }
    });
}

#[test]
fn without_a_terminal_it_says_what_would_do() {
    in_guest_once(|| {
        for (arguments, cure) in
            [(&["--tui"][..], "without --tui"), (&["--tui", "-o", "json"], "leave one of them out")]
        {
            let output = Command::new(tool()).args(arguments).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{words}");
            assert!(words.contains(cure), "{words}");
        }
    });
}
