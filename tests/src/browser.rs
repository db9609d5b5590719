//! A headless Chromium, controlled by the `DevTools` protocol: JSON messages, each ended by a zero
//! byte, over its file descriptors 3 and 4. Knows nothing about the page.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test's helper fails by a panic, as the test itself does"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A busy machine may take its time.
const PATIENCE: Duration = Duration::from_mins(2);

/// Width of the window, unless another one is set.
const WIDTH: u32 = 1100;

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    to: ChildStdin,
    messages: Receiver<Value>,
    /// Events that it has sent.
    events: Vec<Value>,
    asked: u64,
    session: Option<String>,
    /// Its settings and caches, which are deleted with it.
    _profile: TempDir,
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let all = std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    all.into_iter().find(|file| file.is_file())
}

impl Browser {
    /// Starts a browser, if this machine has one.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = chromium()?;
        let profile = tempfile::tempdir().unwrap();
        // Without unsafe code, only a shell can give a child descriptors 3 and 4.
        let script = "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2";
        let mut process = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(program)
            .args(["--headless", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run"])
            // As root, the browser has no sandbox; it only opens our own page.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = process.stdin.take().unwrap();
        let from = process.stdout.take().unwrap();
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(from).split(0) {
                let Ok(message) = message else { break };
                let value = serde_json::from_slice(&message).unwrap();
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            process,
            to,
            messages,
            events: Vec::new(),
            asked: 0,
            session: None,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &target);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.width(WIDTH);
        Some(browser)
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
        }
    }

    /// The value of an expression.
    pub fn ask(&mut self, expression: &str) -> Value {
        let question =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &question);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Emulates a medium (`screen` or `print`) and a colour scheme (`light` or `dark`).
    pub fn media(&mut self, media: &str, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"media": media, "features": features}));
    }

    /// Sets the width of the window.
    pub fn width(&mut self, width: u32) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Waits until an expression is true, in the page's own time.
    pub fn until(&mut self, expression: &str) {
        let limit = PATIENCE.as_millis();
        let wait = format!(
            "new Promise((done, late) => {{
                const end = Date.now() + {limit};
                const look = () => ({expression}) ? done(true)
                    : Date.now() > end ? late(new Error(document.body.innerText))
                    : setTimeout(look, 100);
                look();
            }})"
        );
        self.ask(&wait);
    }

    /// A picture of the whole page.
    pub fn picture(&mut self) -> Vec<u8> {
        let how = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.call("Page.captureScreenshot", &how);
        BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// The roles and names that a screen reader finds.
    pub fn roles(&mut self) -> Vec<String> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let nodes = tree["nodes"].as_array().unwrap().iter();
        nodes.filter_map(|node| node["role"]["value"].as_str().map(str::to_owned)).collect()
    }

    /// Errors and warnings, anything that a script printed, and windows that it opened.
    pub fn complaints(&mut self) -> Vec<String> {
        self.settle();
        let bad = |event: &&Value| match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown"
            | "Runtime.consoleAPICalled"
            | "Page.javascriptDialogOpening"
            | "Page.windowOpen" => true,
            "Log.entryAdded" => event["params"]["entry"]["level"] != "verbose",
            _ => false,
        };
        self.events.iter().filter(bad).map(Value::to_string).collect()
    }

    /// The URLs of everything that was loaded.
    pub fn fetched(&mut self) -> Vec<String> {
        self.settle();
        let sent = |event: &&Value| event["method"] == "Network.requestWillBeSent";
        let url = |event: &Value| event["params"]["request"]["url"].to_string();
        self.events.iter().filter(sent).map(url).collect()
    }

    /// Waits for an answer, which arrives after all pending events.
    fn settle(&mut self) {
        self.ask("new Promise(done => requestAnimationFrame(() => setTimeout(done)))");
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        loop {
            let answer = self.next();
            if answer["id"] == self.asked {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn next(&mut self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("the browser has ended, or does not answer")
    }
}

impl Drop for Browser {
    /// Its child processes end with the first one.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
