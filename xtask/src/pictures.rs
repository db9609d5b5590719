//! `cargo xtask pictures`: takes pictures for docs/ while a server is overloaded: the screen of
//! `--tui` in a real terminal, and the pages of `--report` and of `serve`. It needs a kernel that
//! permits tracing on this machine, and changes nothing else.

mod cells;
mod page;
mod report;
mod svg;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::build;
use crate::native;
use crate::{apart, pages, paths, process, setup};

/// The arguments of `pictures`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only print the page
    #[arg(long)]
    print: bool,
    /// Pictures of this binary, with backlog-load next to it (default: a release build)
    #[arg(long, value_name = "FILE")]
    tool: Option<PathBuf>,
    /// Take only these pictures
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    part: Vec<Part>,
}

/// The kinds of pictures.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The page of `--report`
    Report,
    /// The page of `serve`
    Page,
    /// The screen of `--tui`
    Tui,
}

impl Part {
    const ALL: [Self; 3] = [Self::Report, Self::Page, Self::Tui];
}

/// The page with the picture as text, between two marks.
const PAGE: &str = "docs/TUI.md";
const SVG: &str = "docs/tui.svg";
const BEGIN: &str = "<!-- written by cargo xtask pictures -->\n";
const END: &str = "<!-- end -->\n";

/// A server that keeps up until it stalls for half a second, and two other servers.
const LOAD: &str = "backlog-load -q --port 8000 --backlog 16 --rate 110 --accept-delay 8ms \
    --clients 64 --stall 500ms --stall-after 3000 --duration 90s & \
    backlog-load -q --port 8080 --backlog 128 --rate 250 --accept-delay 2ms --clients 16 \
    --duration 90s & \
    backlog-load -q --port 8443 --backlog 64 --rate 15 --duration 90s & wait";

/// How long the load runs before the picture is taken; the stall is in the middle.
const SCENE: Duration = Duration::from_secs(50);
/// How long the tool may take to redraw after a change of size.
const SETTLE: Duration = Duration::from_secs(2);
/// The time limit of everything else.
const LIMIT: Duration = Duration::from_secs(30);

const LARGE: (u16, u16) = (112, 40);
const SMALL: (u16, u16) = (80, 24);

/// The number of colours in a picture of a page, which has few except for antialiasing.
const COLOURS: &str = "64";

/// The maximum size of a picture, so that pages load fast.
const MOST_BYTES: u64 = 200_000;

/// Takes the pictures.
pub(crate) fn command(args: &Args) -> Result<u8> {
    setup::ensure()?;
    let tool = match &args.tool {
        Some(tool) => tool.clone(),
        None => build::tool(&build::checked_programs()?.0)?.to_owned(),
    };
    let tool = tool.as_path();
    native::look(tool, None).context("the pictures are taken in this machine's kernel")?;
    let takes = |part| args.part.contains(&part);
    if takes(Part::Report) && !args.print {
        report::take(tool)?;
    }
    if takes(Part::Page) && !args.print {
        page::take(tool)?;
    }
    if takes(Part::Tui) {
        screen(tool, args.print)?;
    }
    Ok(0)
}

/// Takes the pictures of the screen.
fn screen(tool: &Path, print: bool) -> Result<()> {
    let _alone = native::alone()?;
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let terminal = Terminal { socket: folder.path().join("tmux") };
    terminal.open(tool)?;
    process::say(&format!("watching for {} s", SCENE.as_secs()));
    thread::sleep(SCENE);
    let large = terminal.screen(&["-e"])?;
    terminal.resize(SMALL)?;
    thread::sleep(SETTLE);
    let small = terminal.screen(&[])?;
    ensure!(small.contains("Listeners by"), "it has stopped tracing:\n{small}");
    terminal.run("send-keys", &["q"])?;
    let page = page(&small)?;
    if !print {
        let file = paths::root().join(SVG);
        let picture = svg::render(&cells::parse(&large), LARGE);
        fs::write(&file, picture).with_context(|| format!("cannot write {}", file.display()))?;
        process::say(&format!("written: {SVG}"));
    }
    pages::publish(PAGE, &page, print)
}

/// Shrinks a picture for a page.
fn shrink(taken: &Path, to: &Path) -> Result<()> {
    let mut pngquant = Command::new("pngquant");
    pngquant.args(["--force", "--strip", COLOURS, "--output"]).arg(to).arg(taken);
    process::run(&mut pngquant)?;
    let bytes = fs::metadata(to).context("pngquant wrote nothing")?.len();
    ensure!(bytes < MOST_BYTES, "{} has {bytes} bytes: show less of the page", to.display());
    process::say(&format!("written: {} ({bytes} bytes)", to.display()));
    Ok(())
}

/// The page with this screen in place of the old one.
fn page(screen: &str) -> Result<String> {
    let file = paths::root().join(PAGE);
    let page =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else { bail!("{PAGE} has no place for a screen") };
    Ok(format!("{before}{BEGIN}```\n{}\n```\n{END}{after}", screen.trim_end()))
}

/// tmux on a socket of its own.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Starts it with the tool inside, in a network namespace of its own.
    fn open(&self, tool: &Path) -> Result<()> {
        let mut command = self.command("new-session");
        let (columns, rows) = LARGE;
        command.args(["-d", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        // The load program is next to the tool.
        if let Some(folder) = tool.parent() {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", folder.display()));
        }
        command.arg(tool).args(["--tui", "--port", "8000,8080,8443", "--cmd", LOAD]);
        apart::own_network(&mut command);
        process::run(&mut command)?;
        let looks = Duration::from_millis(200);
        let mut waited = Duration::ZERO;
        while !self.screen(&[])?.contains("8443") {
            ensure!(waited < LIMIT, "nothing to see:\n{}", self.screen(&[])?);
            thread::sleep(looks);
            waited += looks;
        }
        Ok(())
    }

    fn command(&self, task: &str) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).arg(task);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").env_remove("NO_COLOR");
        command
    }

    fn run(&self, task: &str, arguments: &[&str]) -> Result<String> {
        process::capture(self.command(task).args(arguments))
    }

    fn screen(&self, more: &[&str]) -> Result<String> {
        self.run("capture-pane", &[&["-p"], more].concat())
    }

    fn resize(&self, (columns, rows): (u16, u16)) -> Result<()> {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.run("resize-window", &["-x", &columns, "-y", &rows]).map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Everything may have ended by itself.
        let _ = self.command("kill-server").stderr(Stdio::null()).status();
    }
}
