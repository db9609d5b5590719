//! Shows a recording on the full screen, at a speed that keys control. The loop handles the wall
//! clock, the keys and the signals; `pace` tracks the position in the run, `seekable` the
//! recording.

use std::future::pending;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::pace::Pace;
use super::seekable::{Playback, SeekableRecording};
use super::{beside, judge_by, page_file};
use crate::cli::options::OptionsError;
use crate::cli::{Output, ReplayArgs};
use crate::commands::show::{self, OutputOptions};
use crate::commands::trace::signals::Signals;
use crate::commands::trace::written;
use crate::exit::Outcome;
use crate::notice::{self, notice};
use crate::outlet::{OnStall, Outlet, Target};
use crate::output::Flow;
use crate::output::outputs::Outputs;
use crate::output::playing::Playing;
use crate::output::sink::{Now, Sink as _, Update};
use crate::output::tui::inputs::Input;
use crate::output::tui::{Tui, screen};

/// The playback time between two checks for keys.
const BATCH: Duration = Duration::from_millis(50);

/// The interval at which the position is updated, with or without events.
const TICK: Duration = Duration::from_secs(1);

/// After a longer suspension, playback continues where it stopped.
const LONGEST: Duration = Duration::from_secs(2);

/// Plays the recording until the user quits.
pub(super) fn run(args: &ReplayArgs, every: Option<Duration>) -> Result<Outcome> {
    let ReplayArgs { output, utc, quiet, verbose, speed, .. } = *args;
    if output != Output::Table {
        return Err(OptionsError::TuiIsNoJson.into());
    }
    if !(speed.is_finite() && speed >= 0.0) {
        bail!("--speed: {speed} is not a speed: give 1, 10 or 0.5, or 0 for as fast as possible");
    }
    screen::check(std::env::var("TERM").ok().as_deref())?;
    let page = page_file::beside(args.report.as_deref(), &args.file)?;
    let mut recording = SeekableRecording::open(&args.file)?;
    judge_by(&mut recording.header, args.client_timeout.as_deref())?;
    let replay = recording.header.options;
    let style = show::style(OutputOptions { output, utc, quiet, verbose, replay });
    let zone = style.zone.clone();
    notice::never_block().context("starting the thread that writes to stderr")?;
    let mut stdout = Outlet::open(Target::Stdout, OnStall::Lose)
        .context("starting the thread that writes to stdout")?;
    let tui = Tui::new(style, every.unwrap_or(recording.interval), stdout.clone());
    let mut outputs = beside(Outputs::screen(tui), page, zone, quiet);
    let remarks = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(play(&recording, every, speed, &mut outputs))?;
    for remark in remarks {
        notice(&remark);
    }
    written(Ok(Outcome::Done), stdout.finish())
}

async fn play(
    recording: &SeekableRecording,
    every: Option<Duration>,
    speed: f64,
    outputs: &mut Outputs,
) -> Result<Vec<String>> {
    let mut signals = Signals::watch(|| (), None)?;
    let mut pace = Pace::new((recording.begin_ns, recording.end_ns), speed);
    let mut playback = Playback::start(recording, every, outputs)?;
    let Some(mut inputs) = outputs.tui().and_then(Tui::inputs) else {
        bail!("no keyboard input: stdin is not a terminal")
    };
    let mut last = Instant::now();
    let (mut pressed, mut moved) = (false, false);
    loop {
        let now = Instant::now();
        pace.pass(now.duration_since(last).min(LONGEST));
        last = now;
        let mut busy = false;
        // If the user seeks several times in a row, only the last position is played.
        if !(moved && inputs.waiting()) {
            if moved {
                playback.seek(outputs, pace.at_ns())?;
                last = Instant::now();
            } else if !playback.play(outputs, pace.at_ns(), Some(now + BATCH))? {
                pace.hold(playback.reached_ns());
                busy = true;
            }
            if let Some(tui) = outputs.tui() {
                tui.played(playing(&pace, recording, busy));
                if pressed {
                    tui.input(playback.model(), Input::Draw)?;
                }
            }
            (pressed, moved) = (false, false);
        }
        outputs.update(Now { clock: playback.clock(), model: playback.model() }, &Update::Flush)?;
        let wait = if busy {
            Some(Duration::ZERO)
        } else {
            playback.due_ns().and_then(|due_ns| pace.until(due_ns)).map(|wait| wait.min(TICK))
        };
        // Let the screen and the keyboard run, at any speed.
        yield_now().await;
        tokio::select! {
            biased;
            () = signals.any() => break,
            input = inputs.next() => {
                let Some(tui) = outputs.tui() else { break };
                match tui.input(playback.model(), input)? {
                    Flow::On => {}
                    Flow::End => break,
                    Flow::Play(play) => {
                        pressed = true;
                        moved |= pace.ask(play);
                    }
                }
            }
            () = after(wait) => {}
        }
    }
    playback.finish(outputs)
}

fn playing(pace: &Pace, recording: &SeekableRecording, busy: bool) -> Playing {
    let start_ns = recording.header.meta.time_ns;
    Playing {
        at_ns: pace.at_ns().saturating_sub(start_ns),
        length_ns: recording.end_ns.saturating_sub(start_ns),
        speed: pace.speed(),
        stopped: pace.stopped(),
        ended: pace.ended() && !busy,
    }
}

async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep(wait).await,
        None => pending().await,
    }
}
