//! A real terminal without a user: keys are sent to it, and its screen is read. tmux runs on a
//! socket of its own, so that no other session is touched.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::wait_until;

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A terminal with a shell in it; it ends with this.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Is tmux here?
    ///
    /// # Errors
    /// When it is not.
    pub fn find() -> Result<()> {
        let output = Command::new("tmux").arg("-V").stdin(Stdio::null()).output();
        let output = output.context("tmux is not here (cargo xtask setup installs it)")?;
        ensure!(output.status.success(), "tmux -V: {}", output.status);
        Ok(())
    }

    /// Opens a terminal of this size; `socket` is a path that nobody else has.
    ///
    /// # Errors
    /// When tmux does not start.
    pub fn open(socket: &Path, (columns, rows): (u16, u16)) -> Result<Self> {
        let terminal = Self { socket: socket.to_owned() };
        let mut command = terminal.command("new-session");
        command.args(["-d", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        // A plain shell with job control, whatever the user's is.
        command.args(["env", "PS1=$ ", "ENV=", "sh", "-i"]);
        run(&mut command)?;
        Ok(terminal)
    }

    fn command(&self, task: &str) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).arg(task);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").env_remove("NO_COLOR");
        command.stdin(Stdio::null());
        command
    }

    /// Presses keys, by tmux's names for them (`q`, `Tab`, `C-z`).
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        run(self.command("send-keys").args(keys)).map(drop)
    }

    /// Types a line.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn line(&self, text: &str) -> Result<()> {
        run(self.command("send-keys").args(["-l", text]))?;
        self.press(&["Enter"])
    }

    /// Another size.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&self, (columns, rows): (u16, u16)) -> Result<()> {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        run(self.command("resize-window").args(["-x", &columns, "-y", &rows])).map(drop)
    }

    /// What is on its screen.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn screen(&self) -> Result<String> {
        run(self.command("capture-pane").arg("-p"))
    }

    /// The same with what has scrolled away.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn history(&self) -> Result<String> {
        run(self.command("capture-pane").args(["-p", "-J", "-S", "-"]))
    }

    /// Forgets what has scrolled away.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn clear_history(&self) -> Result<()> {
        run(&mut self.command("clear-history")).map(drop)
    }

    /// Is a program at work on the whole screen (the alternate one), and is the cursor hidden?
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn is_taken(&self) -> Result<(bool, bool)> {
        let state = ["-p", "#{alternate_on} #{cursor_flag}"];
        let text = run(self.command("display-message").args(state))?;
        Ok((text.starts_with('1'), text.trim_end().ends_with('0')))
    }

    /// Waits until the screen is as wanted; it is in the error.
    ///
    /// # Errors
    /// When the limit passes.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<String> {
        let mut screen = String::new();
        wait_until(what, limit, || {
            screen = self.screen()?;
            let met = wanted(&screen);
            if !met {
                // Each look is a process.
                thread::sleep(BETWEEN_LOOKS);
            }
            Ok(met)
        })
        .with_context(|| format!("on the screen:\n{screen}"))?;
        Ok(screen)
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // With all that runs in it.
        let _ = self.command("kill-server").stderr(Stdio::null()).status();
    }
}

fn run(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("cannot start {command:?}"))?;
    let words: Vec<&OsStr> = command.get_args().collect();
    ensure!(status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&stderr).trim());
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
