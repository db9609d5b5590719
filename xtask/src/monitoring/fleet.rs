//! `cargo xtask fleet`: measures what a fleet of hosts costs one real Prometheus, which scrapes
//! stand-ins for them with the checked-in rules. Writes docs/measured/FLEET.md.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Params, ask, files, standin, tools};
use crate::{pages, process};

/// The page with the results.
const PAGE: &str = "docs/measured/FLEET.md";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Hosts to scrape; give it several times for several rows
    #[arg(long, value_name = "N", default_values_t = [100, 1000])]
    hosts: Vec<u32>,
    /// Listeners of each host
    #[arg(long, value_name = "N", default_value_t = 20)]
    listeners: u32,
    /// Minutes of scraping for each row
    #[arg(long, value_name = "N", default_value_t = 5)]
    minutes: u64,
    /// Print the page and do not write it
    #[arg(long)]
    print: bool,
}

/// A row: Prometheus's own metrics at the end, and its memory according to the kernel.
struct Row {
    hosts: u32,
    listeners: u32,
    up: f64,
    series: f64,
    samples: f64,
    resident: u64,
    peak: u64,
    cpu: f64,
    rules: f64,
}

/// Measures with each number of hosts.
pub(crate) fn command(args: &Args) -> Result<u8> {
    let mut rows = Vec::new();
    for &hosts in &args.hosts {
        rows.push(measure(hosts, args)?);
    }
    let prometheus = tools::obtain("prometheus")?;
    let version = process::capture(Command::new(prometheus).arg("--version"))?;
    let version = version.split_whitespace().nth(2).unwrap_or("of unknown version").to_owned();
    pages::publish(PAGE, &page(&rows, &version, args.minutes), args.print)?;
    Ok(0)
}

fn measure(hosts: u32, args: &Args) -> Result<Row> {
    let folder = tempfile::tempdir().context("cannot create a folder")?;
    let standin = standin::start(args.listeners)?;
    let port = free_port()?;
    for (name, text) in files(&Params::default())? {
        if let Some(name) = name.strip_prefix("prometheus/") {
            write(folder.path(), name, &text)?;
        }
    }
    write(folder.path(), "prometheus.yml", &config(hosts, standin))?;
    process::say(&format!(
        "{hosts} hosts, {} listeners each, for {} min",
        args.listeners, args.minutes
    ));
    let begin = Instant::now();
    let prometheus = Prometheus::start(folder.path(), port)?;
    thread::sleep(Duration::from_secs(args.minutes * 60));
    let ask = |query: &str| ask::value(&url(port), query);
    let own = own_metrics(port)?;
    let (resident, peak) = memory(prometheus.child.id())?;
    let seconds = begin.elapsed().as_secs_f64();
    let row = Row {
        hosts,
        listeners: args.listeners,
        up: ask("sum(max_over_time(up{job=\"backlog-trace\"}[2m]))")?,
        series: highest(&own, "prometheus_tsdb_head_series"),
        samples: highest(&own, "prometheus_tsdb_head_samples_appended_total") / seconds,
        resident,
        peak,
        cpu: highest(&own, "process_cpu_seconds_total") / seconds,
        rules: highest(&own, "prometheus_rule_group_last_duration_seconds"),
    };
    process::say(self::row(&row).trim());
    // The dashboards of a host and of a listener show only one.
    let empty = ask::dashboards(&url(port), "host0")?;
    if !empty.is_empty() {
        bail!("queries of dashboards without a series: {}", empty.join("; "));
    }
    Ok(row)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let file = folder.join(name);
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// A port that is currently free.
fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    Ok(listener.local_addr().context("cannot read the port")?.port())
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The configuration: all hosts share an address, and each has a path that becomes its name.
fn config(hosts: u32, standin: u16) -> String {
    let groups: Vec<String> = (0..hosts)
        .map(|host| {
            format!(
                "  - targets: ['127.0.0.1:{standin}']\n    labels: {{__metrics_path__: /{host}/metrics, instance: 'host{host}'}}\n"
            )
        })
        .collect();
    format!(
        "global: {{scrape_interval: 15s, evaluation_interval: 15s}}
rule_files: [{}]
scrape_configs:
- job_name: backlog-trace
  static_configs:
{}",
        super::RULES,
        groups.concat()
    )
}

/// A running Prometheus, which is killed on drop.
struct Prometheus {
    child: Child,
}

impl Prometheus {
    fn start(folder: &Path, port: u16) -> Result<Self> {
        let log = File::create(folder.join("log")).context("cannot create its log")?;
        let mut command = Command::new(tools::obtain("prometheus")?);
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        process::announce(&command);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start prometheus")?;
        let mut prometheus = Self { child };
        let deadline = Instant::now() + Duration::from_mins(1);
        while ask::value(&url(port), "vector(1)").is_err() {
            if prometheus.child.try_wait().context("cannot wait for prometheus")?.is_some()
                || Instant::now() > deadline
            {
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                bail!("prometheus does not answer: {log}");
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(prometheus)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The metrics of Prometheus on itself, without a scrape.
fn own_metrics(port: u16) -> Result<String> {
    let what = "cannot read the metrics of prometheus";
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context(what)?;
    client.set_read_timeout(Some(Duration::from_mins(1))).context(what)?;
    client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").context(what)?;
    let mut text = String::new();
    client.read_to_string(&mut text).context(what)?;
    Ok(text)
}

/// The highest value of a metric.
fn highest(metrics: &str, name: &str) -> f64 {
    let series = metrics.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with([' ', '{']))
    });
    let values = series.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok());
    values.fold(0.0, f64::max)
}

/// Resident memory of a process in KiB: current and peak.
fn memory(pid: u32) -> Result<(u64, u64)> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        value.with_context(|| format!("no {name} in {file}"))
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

fn page(rows: &[Row], version: &str, minutes: u64) -> String {
    let lines: String = rows.iter().map(row).collect();
    format!(
        "# A fleet in one Prometheus, measured

`cargo xtask fleet` wrote this page. Prometheus {version} scraped stand-ins for the hosts for {minutes} minutes,
every 15 s, with the rules of packaging/prometheus. The stand-ins export every metric of
`backlog-trace serve`, with the labels of ordinary listeners; all ran on one machine with 2 CPUs.

| hosts | answered | listeners each | series | samples/s | memory MiB | at most MiB | KiB per series | CPUs | slowest rule group |
|---|---|---|---|---|---|---|---|---|---|
{lines}
Memory is that of the Prometheus process (VmRSS, VmHWM); it holds the samples of two to three hours before
it writes them to disk, and each adds a byte or two. CPUs is the CPU time by the time of the run. Other
work ran on the machine, so the time of the slowest rule group is an upper bound.
"
    )
}

fn row(row: &Row) -> String {
    let mib = |kib: u64| kib / 1024;
    format!(
        "| {} | {} | {} | {} | {:.0} | {} | {} | {:.1} | {:.2} | {:.1} s |\n",
        row.hosts,
        row.up,
        row.listeners,
        row.series,
        row.samples,
        mib(row.resident),
        mib(row.peak),
        row.resident as f64 / row.series,
        row.cpu,
        row.rules,
    )
}
