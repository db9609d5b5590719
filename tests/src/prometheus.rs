//! Runs a real Prometheus that scrapes a service, and promtool.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::monitoring::{Server, program};

/// Runs promtool with this stdin.
///
/// # Errors
/// When it is not installed or does not run.
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
pub struct Prometheus(Server);

impl Prometheus {
    /// Starts Prometheus in a folder of its own, with a scrape of this target every 250 ms and
    /// these rules.
    ///
    /// # Errors
    /// When it is not installed, or is not ready in time.
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
        // The port is free until it is bound again, a moment later.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(path);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"));
        Server::start(&mut command, (address, "/-/ready"), folder, limit).map(Self)
    }

    /// The values of an instant query, each with its labels.
    ///
    /// # Errors
    /// When it fails.
    pub fn query(&self, query: &str) -> Result<Vec<(Value, f64)>> {
        self.0.query(query)
    }

    /// The samples that a range query selects (`up[5m]`), with the labels of each series.
    ///
    /// # Errors
    /// When it fails.
    pub fn samples(&self, query: &str) -> Result<Vec<(Value, Vec<f64>)>> {
        let samples = |result: &Value| {
            let pairs = result["values"].as_array()?.iter();
            let values = pairs.map(|pair| pair[1].as_str()?.parse().ok());
            Some((result["metric"].clone(), values.collect::<Option<_>>()?))
        };
        let results = self.0.results(query)?;
        results.iter().map(|result| samples(result).context("no samples")).collect()
    }

    /// The firing alerts for a port; with an empty port, those on the tracer itself.
    ///
    /// # Errors
    /// When it cannot be queried.
    pub fn firing(&self, port: &str) -> Result<Vec<String>> {
        let query = format!("ALERTS{{alertstate=\"firing\",port=\"{port}\"}}");
        let alerts = self.query(&query)?.into_iter();
        Ok(alerts
            .filter_map(|(labels, _)| Some(labels["alertname"].as_str()?.to_owned()))
            .collect())
    }
}
