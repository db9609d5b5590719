//! A real terminal without a user: tests send keys to it and read its screen. tmux runs on a socket
//! of its own, so that no other session is affected.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::wait_until;

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A terminal with a shell, which ends when this is dropped.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Checks that tmux is installed.
    ///
    /// # Errors
    /// When it is not.
    pub fn find() -> Result<()> {
        let output = Command::new("tmux").arg("-V").stdin(Stdio::null()).output();
        let output = output.context("tmux is not here (cargo xtask setup installs it)")?;
        ensure!(output.status.success(), "tmux -V: {}", output.status);
        Ok(())
    }

    /// Opens a terminal of this size; `socket` must be an unused path.
    ///
    /// # Errors
    /// When tmux does not start.
    pub fn open(socket: &Path, (columns, rows): (u16, u16)) -> Result<Self> {
        let terminal = Self { socket: socket.to_owned() };
        let mut command = terminal.command("new-session");
        command.args(["-d", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        // A plain shell with job control, whichever shell the user has.
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

    /// Changes the size.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&self, (columns, rows): (u16, u16)) -> Result<()> {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        run(self.command("resize-window").args(["-x", &columns, "-y", &rows])).map(drop)
    }

    /// The content of the screen.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn screen(&self) -> Result<String> {
        run(self.command("capture-pane").arg("-p"))
    }

    /// The screen with the scrollback.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn history(&self) -> Result<String> {
        run(self.command("capture-pane").args(["-p", "-J", "-S", "-"]))
    }

    /// Clears the scrollback.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn clear_history(&self) -> Result<()> {
        run(&mut self.command("clear-history")).map(drop)
    }

    /// Does a program use the alternate screen, and is the cursor hidden?
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn is_taken(&self) -> Result<(bool, bool)> {
        let state = ["-p", "#{alternate_on} #{cursor_flag}"];
        let text = run(self.command("display-message").args(state))?;
        Ok((text.starts_with('1'), text.trim_end().ends_with('0')))
    }

    /// Waits until the screen satisfies a condition; the error contains the screen.
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
                // Each check starts a process.
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
        // This kills everything that runs in it.
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
