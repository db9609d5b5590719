//! Takes the picture of `--report`: the top of a real report in a browser, of a server that is
//! overloaded for a while, in a network namespace of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::apart::{self, End};
use crate::{native, paths, process};

/// The file of the picture.
const PICTURE: &str = "docs/report.png";

/// A server that keeps up until it stalls for a second, and another server.
const LOAD: &str = "backlog-load -q --port 8000 --backlog 16 --rate 110 --accept-delay 8ms \
    --clients 64 --stall 1s --stall-after 2500 --duration 45s & \
    backlog-load -q --port 8080 --backlog 128 --rate 250 --accept-delay 2ms --clients 16 \
    --duration 45s & wait";

/// The time limit; normally it takes 45 seconds.
const LIMIT: Duration = Duration::from_mins(3);

/// The visible part of the page in pixels.
const SIZE: &str = "--window-size=1100,1990";

/// Takes the picture.
pub(super) fn take(tool: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let page = folder.path().join("report.html");
    trace(tool, &page)?;
    let taken = folder.path().join("report.png");
    let mut browser = Command::new("chromium");
    // As root, the browser has no sandbox; it only opens our own page.
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", SIZE]);
    browser.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    browser.arg(format!("--screenshot={}", taken.display()));
    browser.arg(format!("file://{}", page.display()));
    process::run(&mut browser)?;
    super::shrink(&taken, &paths::root().join(PICTURE))
}

/// Runs the tool, which writes the report.
fn trace(tool: &Path, page: &Path) -> Result<()> {
    let _alone = native::alone()?;
    let mut command = Command::new(tool);
    command.args(["--port", "8000,8080", "--utc", "--cmd", LOAD, "--report"]).arg(page);
    // The load program is next to the tool.
    if let Some(folder) = tool.parent() {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", folder.display()));
    }
    let (mut out, mut err) = (native::file()?, native::file()?);
    command.stdout(native::copy(&out)?).stderr(native::copy(&err)?);
    process::announce(&command);
    match apart::run(&mut command, LIMIT)? {
        End::Status(status) if status.success() && page.is_file() => Ok(()),
        End::Status(status) => {
            let (out, err) = (native::text(&mut out)?, native::text(&mut err)?);
            bail!("{status}: {}\n{out}{err}", process::line(&command))
        }
        End::TimedOut => bail!("no end within {} s: {}", LIMIT.as_secs(), process::line(&command)),
    }
}
