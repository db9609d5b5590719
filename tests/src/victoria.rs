//! Runs a real `VictoriaMetrics`, which accepts OTLP, and queries it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::monitoring::{Server, program};
use crate::service;

/// The name of the program.
pub const PROGRAM: &str = "victoria-metrics";

/// A running one.
#[derive(Debug)]
pub struct Victoria(Server);

impl Victoria {
    /// Starts it at this address, in a folder of its own.
    ///
    /// # Errors
    /// When it is not installed, or is not ready in time.
    pub fn start(folder: &Path, address: SocketAddr, limit: Duration) -> Result<Self> {
        let path = program(PROGRAM).context("no VictoriaMetrics")?;
        fs::create_dir_all(folder)?;
        let mut command = Command::new(path);
        command
            .arg(format!("-httpListenAddr={address}"))
            .arg(format!("-storageDataPath={}", folder.join("data").display()))
            // Makes new data visible immediately.
            .arg("-search.latencyOffset=0s")
            .arg("-memory.allowedBytes=128MiB");
        Server::start(&mut command, (address, "/health"), folder, limit).map(Self)
    }

    /// The address that it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The values of an instant query, each with its labels.
    ///
    /// # Errors
    /// When it fails.
    pub fn query(&self, query: &str) -> Result<Vec<(Value, f64)>> {
        // Data is written a second or two later; this makes it searchable.
        service::get(self.address(), "/internal/force_flush", "")?;
        self.0.query(query)
    }
}
