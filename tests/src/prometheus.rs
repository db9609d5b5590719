//! A real Prometheus that scrapes a service, and its promtool. `BACKLOG_PROMETHEUS` names
//! the folder with both; without it they are on the path.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::clock::wait_until;
use crate::service;

/// The environment variable with the folder of the programs.
pub const VARIABLE: &str = "BACKLOG_PROMETHEUS";

/// A program of that folder or of the path; none: it is not here.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os(VARIABLE).into_iter().chain(env::var_os("PATH"));
    let folders: Vec<PathBuf> =
        folders.flat_map(|all| env::split_paths(&all).collect::<Vec<_>>()).collect();
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.exists())
}

/// Runs promtool with this on its stdin.
///
/// # Errors
/// When it is not here or does not run.
pub fn promtool(arguments: &[&str], stdin: &str) -> Result<Output> {
    let path = program("promtool").context("no promtool")?;
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("promtool")?;
    child.stdin.take().context("no stdin")?.write_all(stdin.as_bytes())?;
    Ok(child.wait_with_output()?)
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Prometheus {
    /// Starts it in a folder of its own, with a scrape of this target each 250 ms and these rules.
    ///
    /// # Errors
    /// When it is not here, or is not ready in time.
    pub fn start(
        folder: &Path,
        target: SocketAddr,
        rules: Option<&Path>,
        limit: Duration,
    ) -> Result<Self> {
        let path = program("prometheus").context("no prometheus")?;
        fs::create_dir_all(folder)?;
        let rules = rules.map(|path| path.display().to_string()).into_iter().collect::<Vec<_>>();
        // JSON is YAML.
        let config = serde_json::json!({
            "global": {
                "scrape_interval": "250ms", "scrape_timeout": "250ms",
                "evaluation_interval": "250ms",
            },
            "rule_files": rules,
            "scrape_configs": [{
                "job_name": "backlog-trace",
                "static_configs": [{ "targets": [target.to_string()] }],
            }],
        });
        let file = folder.join("prometheus.yml");
        fs::write(&file, config.to_string())?;
        // The port is free until it is taken again, a moment later.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = fs::File::create(folder.join("log"))?;
        let child = Command::new(path)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("prometheus")?;
        let mut prometheus = Self { child, address, folder: folder.to_owned() };
        let ready = wait_until("Prometheus", limit, || {
            if let Some(status) = prometheus.child.try_wait()? {
                bail!("it ended with {status}");
            }
            Ok(service::get(address, "/-/ready", "").is_ok_and(|reply| reply.status == 200))
        });
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        ready.with_context(log).map(|()| prometheus)
    }

    /// The values of an instant query, each with its labels.
    ///
    /// # Errors
    /// When it fails.
    pub fn query(&self, query: &str) -> Result<Vec<(Value, f64)>> {
        let value = |result: &Value| {
            let value = result["value"][1].as_str().and_then(|text| text.parse().ok());
            Some((result["metric"].clone(), value?))
        };
        let results = results(self.address, query)?;
        results.iter().map(|result| value(result).context("no value")).collect()
    }

    /// The samples that a query of a range selects (`up[5m]`), with the labels of each series.
    ///
    /// # Errors
    /// When it fails.
    pub fn samples(&self, query: &str) -> Result<Vec<(Value, Vec<f64>)>> {
        let samples = |result: &Value| {
            let pairs = result["values"].as_array()?.iter();
            let values = pairs.map(|pair| pair[1].as_str()?.parse().ok());
            Some((result["metric"].clone(), values.collect::<Option<_>>()?))
        };
        let results = results(self.address, query)?;
        results.iter().map(|result| samples(result).context("no samples")).collect()
    }

    /// The alerts that fire for a port; empty: those of the tracer itself.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn firing(&self, port: &str) -> Result<Vec<String>> {
        let query = format!("ALERTS{{alertstate=\"firing\",port=\"{port}\"}}");
        let alerts = self.query(&query)?.into_iter();
        Ok(alerts
            .filter_map(|(labels, _)| Some(labels["alertname"].as_str()?.to_owned()))
            .collect())
    }
}

/// The result of an instant query to a server with the API of Prometheus.
pub(crate) fn results(address: SocketAddr, query: &str) -> Result<Vec<Value>> {
    let mut escaped = String::new();
    for byte in query.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    let path = format!("/api/v1/query?query={escaped}");
    let reply = service::get(address, &path, "")?;
    ensure!(reply.status == 200, "{query}: {}", reply.body);
    let answer: Value = serde_json::from_str(&reply.body)?;
    Ok(answer["data"]["result"].as_array().context("no result")?.clone())
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already, and the folder is of no use without it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
