//! A real `VictoriaMetrics`, which takes OTLP, and how it is asked.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::clock::wait_until;
use crate::prometheus::{program, results};
use crate::service;

/// The name of the program.
pub const PROGRAM: &str = "victoria-metrics";

/// A running one.
#[derive(Debug)]
pub struct Victoria {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Victoria {
    /// Starts it at this address, in a folder of its own.
    ///
    /// # Errors
    /// When it is not here, or is not ready in time.
    pub fn start(folder: &Path, address: SocketAddr, limit: Duration) -> Result<Self> {
        let path = program(PROGRAM).context("no VictoriaMetrics")?;
        fs::create_dir_all(folder)?;
        let log = fs::File::create(folder.join("log"))?;
        let child = Command::new(path)
            .arg(format!("-httpListenAddr={address}"))
            .arg(format!("-storageDataPath={}", folder.join("data").display()))
            // What has arrived is found at once.
            .arg("-search.latencyOffset=0s")
            .arg("-memory.allowedBytes=128MiB")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context(PROGRAM)?;
        let mut victoria = Self { child, address, folder: folder.to_owned() };
        let ready = wait_until("VictoriaMetrics", limit, || {
            if let Some(status) = victoria.child.try_wait()? {
                bail!("it ended with {status}");
            }
            Ok(service::get(address, "/health", "").is_ok_and(|reply| reply.status == 200))
        });
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        ready.with_context(log).map(|()| victoria)
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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
        // Written a second or two later; this makes it searchable.
        service::get(self.address, "/internal/force_flush", "")?;
        let results = results(self.address, query)?;
        results.iter().map(|result| value(result).context("no value")).collect()
    }
}

impl Drop for Victoria {
    fn drop(&mut self) {
        // It may have ended already, and the folder is of no use without it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
