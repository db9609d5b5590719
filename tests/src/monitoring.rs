//! A monitoring server with the API of Prometheus, in a folder of its own: starts it, queries it
//! and ends it.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::clock::wait_until;
use crate::service;

/// The environment variable with the folder of the programs.
pub const VARIABLE: &str = "BACKLOG_PROMETHEUS";

/// A program in that folder or on the path; None if it is not installed.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os(VARIABLE).into_iter().chain(env::var_os("PATH"));
    let folders: Vec<PathBuf> =
        folders.flat_map(|all| env::split_paths(&all).collect::<Vec<_>>()).collect();
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.exists())
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    /// Starts the server, and waits until it answers at the path that shows that it is ready.
    ///
    /// # Errors
    /// When it does not start, ends, or is not ready in time.
    pub(crate) fn start(
        command: &mut Command,
        (address, ready): (SocketAddr, &str),
        folder: &Path,
        limit: Duration,
    ) -> Result<Self> {
        let log = fs::File::create(folder.join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut server = Self { child, address, folder: folder.to_owned() };
        let answers = wait_until("the server", limit, || {
            if let Some(status) = server.child.try_wait()? {
                bail!("it ended with {status}");
            }
            Ok(service::get(address, ready, "").is_ok_and(|reply| reply.status == 200))
        });
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        answers.with_context(log).map(|()| server)
    }

    /// The values of an instant query, each with its labels.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn query(&self, query: &str) -> Result<Vec<(Value, f64)>> {
        let value = |result: &Value| {
            let value = result["value"][1].as_str().and_then(|text| text.parse().ok());
            Some((result["metric"].clone(), value?))
        };
        let results = self.results(query)?;
        results.iter().map(|result| value(result).context("no value")).collect()
    }

    /// The result of an instant query.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn results(&self, query: &str) -> Result<Vec<Value>> {
        let mut escaped = String::new();
        for byte in query.bytes() {
            if byte.is_ascii_alphanumeric() {
                escaped.push(char::from(byte));
            } else {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
        let path = format!("/api/v1/query?query={escaped}");
        let reply = service::get(self.address, &path, "")?;
        ensure!(reply.status == 200, "{query}: {}", reply.body);
        let answer: Value = serde_json::from_str(&reply.body)?;
        Ok(answer["data"]["result"].as_array().context("no result")?.clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, and the folder is useless without it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
