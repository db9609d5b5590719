//! Takes the pictures of the page of `serve`: a real page of a server that is overloaded for a
//! while, in a network namespace of its own, in light and dark mode, and with the width of a phone.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use backlog_tests::browser::Browser;
use backlog_tests::netns;
use backlog_tests::service::Service;

use crate::{native, paths, process};

/// A server that keeps up until it stalls for a second, and two other servers.
const LOADS: [&str; 3] = [
    "--port 8000 --backlog 16 --rate 110 --accept-delay 8ms --clients 64 --stall 1s \
     --stall-after 2500 --duration 50s",
    "--port 8080 --backlog 128 --rate 250 --accept-delay 2ms --clients 16 --duration 50s",
    "--port 8443 --backlog 64 --rate 15 --duration 50s",
];

/// True once the page shows 40 s of the load, by its own clock, with drops.
const SCENE: &str = "document.querySelector('#drops b')
    && page.points.length > 0 && page.points.at(-1)[0] - page.points[0][0] > 40_000";

/// The button of the listener that stalls.
const STALLS: &str = "[...document.querySelectorAll('#rows button')]
    .find(one => one.textContent.endsWith(':8000'))";

/// How long the service may take to become ready.
const LIMIT: Duration = Duration::from_secs(30);

/// The pictures: file name, light or dark, and width in pixels.
const PICTURES: [(&str, &str, u32); 3] = [
    ("docs/page.png", "light", 1100),
    ("docs/page-dark.png", "dark", 1100),
    ("docs/page-phone.png", "light", 390),
];

/// Takes the pictures.
pub(super) fn take(tool: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let _alone = native::alone()?;
    netns::fresh(|| scene(tool, folder.path()))?
}

fn scene(tool: &Path, folder: &Path) -> Result<()> {
    let file = folder.join("token");
    let mut command = Command::new(tool);
    command.args(["serve", "--netns", "/proc/self/ns/net", "--token-file"]).arg(&file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    process::announce(&command);
    let service = Service::spawn(&mut command, LIMIT)?;
    let token = fs::read_to_string(&file).context("the service wrote no token")?;
    let mut browser = Browser::start().context("no chromium: run cargo xtask setup")?;
    let mut loads = Loads::default();
    for load in LOADS {
        let mut command = Command::new(tool.with_file_name("backlog-load"));
        command.arg("-q").args(load.split_whitespace()).stdout(Stdio::null());
        process::announce(&command);
        loads.0.push(command.spawn().context("cannot start backlog-load")?);
    }
    browser.open(&format!("http://{}/?token={}", service.address(), token.trim_end()));
    // The stalled listener stays selected, although it is not always the fullest.
    browser.until(STALLS);
    browser.ask(&format!("{STALLS}.click()"));
    browser.ask("document.querySelector('#windows button').click()");
    browser.until(SCENE);
    for (name, scheme, width) in PICTURES {
        browser.media("screen", scheme);
        browser.width(width);
        // Wait until it is redrawn in its new size.
        browser
            .ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
        let large = folder.join("large.png");
        fs::write(&large, browser.picture()).context("cannot write a picture")?;
        super::shrink(&large, &paths::root().join(name))?;
    }
    Ok(())
}

/// Programs that are killed at the end.
#[derive(Default)]
struct Loads(Vec<Child>);

impl Drop for Loads {
    fn drop(&mut self) {
        for load in &mut self.0 {
            // It may have ended by itself.
            let _ = load.kill();
            let _ = load.wait();
        }
    }
}
