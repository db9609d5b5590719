//! Tests the look of the screen, on a terminal in memory.

mod keys;

use std::collections::BTreeSet;

use backlog_core::event::{Call, Caller};
use backlog_core::event::{Count, DropEvent, Event, Identity, Listener, ListenerId, What};
use backlog_core::model::Model;
use backlog_ebpf::cause::Cause;
use backlog_ebpf::distribution::{DEPTHS, WAITS, bucket};
use backlog_ebpf::totals::Totals;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::detail::Detail;
use super::draw::draw;
use super::key::Key;
use super::row::Row;
use super::state::{Action, Refused, State};
use super::theme::Theme;

const SECOND: u64 = 1_000_000_000;
const COLOUR: Theme = Theme { colour: true, blocks: true };
const PLAIN: Theme = Theme { colour: false, blocks: false };

fn listener(id: u32, local: &str, limit: u32) -> Listener {
    let comm = ["gunicorn", "nginx", "postgres\u{1b}[2J"][id as usize % 3].to_owned();
    Listener {
        id: ListenerId(id),
        local: local.parse().unwrap(),
        v6_only: false,
        netns: 4_026_531_840.into(),
        inode: Some(77),
        cookie: None,
        limit,
        depth: 0,
        reuseport: Some(false),
        opened_now: false,
        sk_drops: None,
        call: Some(Call {
            asked: Some(if id == 1 { 2048 } else { 16 }),
            somaxconn: Some(limit),
            caller: Some(Caller { pid: 800 + id, comm }),
        }),
        cgroup: None,
        identity: Identity::default(),
    }
}

fn apply(model: &mut Model, time_ns: u64, what: What) {
    model.apply(&Event { time_ns, what });
}

/// One minute: the first listener overflows, the second has little to do, the third is idle.
fn run() -> (Model, State) {
    let mut model = Model::new(0);
    model.keep_timelines();
    let mut state = State::new(SECOND);
    state.system = ("6.1.0-made-up".into(), "fentry");
    let addresses =
        ["0.0.0.0:8000", "[2001:db8:85a3:8d3:1319:8a2e:370:7348]:65535", "127.0.0.1:5432"];
    for (id, address) in (1..).zip(addresses) {
        apply(&mut model, 0, What::Listener(listener(id, address, if id == 1 { 16 } else { 128 })));
        state.found(Row::of(model.get(ListenerId(id)).unwrap()));
    }
    for second in 1..=60_u64 {
        tick(&mut model, &mut state, second);
    }
    state.notice("kernel refuses fentry (lockdown); using tracepoints".into());
    (model, state)
}

/// One second: the first queue becomes deeper each second, and is full from the 50th on.
fn tick(model: &mut Model, state: &mut State, second: u64) {
    let time_ns = second * SECOND;
    let peak = if second >= 50 { 17 } else { u32::try_from(second / 4).unwrap() };
    let drops = second.saturating_sub(49);
    if drops > 0 {
        let client = format!("[2001:db8::9]:{}", 4000 + second).parse().unwrap();
        let drop = DropEvent::made_up(client, 1);
        apply(model, time_ns - SECOND / 2, What::Drop(drop));
        state.refused(Refused {
            listener: ListenerId(1),
            time_ns: time_ns - SECOND / 2,
            time: format!("22:13:{:02}.500", second - 1),
            address: "0.0.0.0:8000".into(),
            client: drop.client.to_string(),
            cause: drop.cause.name(),
            fill: "17/16".into(),
            retry: (second == 60).then(|| "1.0s".into()),
        });
    }
    for (id, each, recent_peak) in [(1, 20, peak), (2, 3, 2), (3, 0, 0)] {
        let mut totals =
            Totals { enqueued: each * second, accepted: each * second, ..Totals::default() };
        if each > 0 {
            totals.peak = if id == 1 { peak } else { 2 };
            totals.longest_ns = 300_000_000;
        }
        if id == 1 {
            totals.drops[Cause::AcceptQueueFullSyn as usize] = drops;
        }
        let waits = (0..each).map(|index| (bucket((1 << index.min(17)) + second, WAITS), 1));
        let depths = (0..each).map(|index| (bucket(index % u64::from(peak.max(1)), DEPTHS), 1));
        let count = Count {
            totals,
            recent_peak,
            recent_longest_ns: totals.longest_ns,
            waits: waits.collect(),
            depths: depths.collect(),
            accepted_ns: time_ns - 1,
            paced: 10,
            paced_ns: SECOND,
            ..Count::default()
        };
        let listener = ListenerId(id);
        apply(model, time_ns, What::Count { listener, count: Box::new(count) });
        let limit = if id == 1 { 16 } else { 128 };
        apply(model, time_ns, What::DepthSample { listener, depth: recent_peak / 2, limit });
    }
    let rows = model.tick(time_ns);
    let rows = rows.iter().map(|row| Row::after(model.get(row.listener).unwrap(), row));
    state.interval(time_ns, format!("22:14:{:02}", second % 60), rows.collect());
}

/// Presses keys and performs their actions.
fn press(state: &mut State, keys: &[Key]) {
    for key in keys {
        state.key(*key);
    }
}

fn typed(text: &str) -> Vec<Key> {
    text.chars().map(Key::Char).collect()
}

fn terminal(
    model: &Model,
    state: &mut State,
    size: (u16, u16),
    theme: Theme,
) -> Terminal<TestBackend> {
    state.look(|id| model.get(id).map(|page| Detail::of(model, page)));
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, state, theme)).unwrap();
    terminal
}

fn screen(model: &Model, state: &mut State, size: (u16, u16), theme: Theme) -> String {
    terminal(model, state, size, theme).backend().to_string()
}

const SMALL: (u16, u16) = (80, 24);

#[test]
fn small_screen() {
    let (model, mut state) = run();
    insta::assert_snapshot!(screen(&model, &mut state, SMALL, COLOUR));
}

#[test]
fn large_screen() {
    let (model, mut state) = run();
    insta::assert_snapshot!(screen(&model, &mut state, (120, 40), COLOUR));
}

#[test]
fn a_high_and_narrow_screen_has_all_panes() {
    let (model, mut state) = run();
    insta::assert_snapshot!(screen(&model, &mut state, (80, 48), COLOUR));
}

#[test]
fn without_colour_and_in_ascii() {
    let (model, mut state) = run();
    let terminal = terminal(&model, &mut state, SMALL, PLAIN);
    let text = terminal.backend().to_string();
    assert!(text.is_ascii(), "{text}");
    for cell in terminal.backend().buffer().content() {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn one_listener_alone() {
    let (model, mut state) = run();
    press(&mut state, &[Key::Enter]);
    insta::assert_snapshot!(screen(&model, &mut state, (100, 40), COLOUR));
}

#[test]
fn panes_below_the_plot() {
    let (model, mut state) = run();
    press(&mut state, &[Key::Tab, Key::Tab]);
    insta::assert_snapshot!("drops", screen(&model, &mut state, SMALL, COLOUR));
    press(&mut state, &[Key::Tab]);
    insta::assert_snapshot!("notices", screen(&model, &mut state, SMALL, COLOUR));
}

#[test]
fn help() {
    let (model, mut state) = run();
    press(&mut state, &[Key::Char('?')]);
    insta::assert_snapshot!(screen(&model, &mut state, SMALL, COLOUR));
    press(&mut state, &[Key::Escape]);
    assert!(!state.help);
}

#[test]
fn a_filter_that_is_typed() {
    let (model, mut state) = run();
    press(&mut state, &typed("/NGINX"));
    insta::assert_snapshot!(screen(&model, &mut state, SMALL, COLOUR));
    let ids = |state: &State| -> Vec<u32> { state.listed().0.iter().map(|row| row.id.0).collect() };
    assert_eq!(ids(&state), [1]);
    // While the filter is typed, keys are letters.
    press(&mut state, &typed("q"));
    assert_eq!(ids(&state), [0_u32; 0]);
    press(&mut state, &[Key::Backspace, Key::Enter]);
    assert_eq!(ids(&state), [1]);
    assert_eq!(state.key(Key::Char('q')), Action::Quit);
    press(&mut state, &[Key::Escape]);
    assert_eq!(ids(&state).len(), 3);
}

#[test]
fn nothing_yet() {
    let model = Model::new(0);
    let mut state = State::new(SECOND);
    insta::assert_snapshot!(screen(&model, &mut state, SMALL, COLOUR));
    for key in [Key::Enter, Key::Down, Key::PageUp, Key::End, Key::Tab, Key::Up] {
        state.key(key);
        screen(&model, &mut state, SMALL, COLOUR);
    }
}

#[test]
fn every_size_is_drawn_and_too_small_says_so() {
    let (model, mut state) = run();
    assert!(screen(&model, &mut state, (30, 5), COLOUR).contains("too small: 30x5"));
    for zoomed in [false, true] {
        for keys in [&[][..], &[Key::Tab], &[Key::Tab, Key::Tab], &[Key::Char('?')]] {
            press(&mut state, keys);
            for width in [1, 20, 59, 60, 61, 79, 109, 110, 300] {
                for height in [1, 2, 15, 16, 17, 23, 35, 36, 37, 100] {
                    screen(&model, &mut state, (width, height), COLOUR);
                }
            }
            press(&mut state, &[Key::Escape, Key::Escape]);
        }
        state.zoomed = !zoomed;
    }
}

/// 300 listeners; the higher the number, the fuller the queue.
fn many() -> (Model, State) {
    let mut model = Model::new(0);
    let mut state = State::new(SECOND);
    for id in 1..=300 {
        apply(&mut model, 0, What::Listener(listener(id, &format!("10.0.0.1:{}", 1000 + id), 400)));
        let level = What::DepthSample { listener: ListenerId(id), depth: id, limit: 400 };
        apply(&mut model, 0, level);
    }
    let rows = model.tick(SECOND);
    let rows = rows.iter().map(|row| Row::after(model.get(row.listener).unwrap(), row));
    state.interval(SECOND, "22:13:21".into(), rows.collect());
    (model, state)
}

#[test]
fn many_listeners_scroll() {
    let (model, mut state) = many();
    press(&mut state, &[Key::PageDown, Key::Char('j'), Key::PageDown, Key::Char('k')]);
    let text = screen(&model, &mut state, SMALL, COLOUR);
    assert!(text.contains('>') && text.contains("21 of 300"), "{text}");
    insta::assert_snapshot!(text);
    // Every listener can be selected, and is then visible.
    press(&mut state, &[Key::Home]);
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        let (rows, at) = state.listed();
        let id = rows[at].id;
        seen.insert(id.0);
        let line = format!("> 10.0.0.1:{} ", 1000 + id.0);
        let text = screen(&model, &mut state, SMALL, PLAIN);
        assert!(text.contains(&line), "{line} {text}");
        press(&mut state, &[Key::Down]);
    }
    assert_eq!(seen.len(), 300);
}

#[test]
fn names_from_outside_move_no_cursor() {
    let (model, mut state) = run();
    press(&mut state, &typed("/127"));
    let terminal = terminal(&model, &mut state, SMALL, COLOUR);
    let cells = terminal.backend().buffer().content();
    assert!(cells.iter().all(|cell| !cell.symbol().chars().any(char::is_control)));
    let text = terminal.backend().to_string();
    assert!(text.contains("gunicorn") || text.contains("postgres?[2J"), "{text}");
}

#[test]
fn an_address_is_not_cut() {
    let (model, mut state) = run();
    let text = screen(&model, &mut state, (60, 24), COLOUR);
    assert!(text.contains("[2001:db8:85a3:8d3:1319:8a2e:370:7348]:65535"), "{text}");
    assert!(text.contains("PEAK/LIM"), "{text}");
}

/// The most important facts come first: with little space, only these are shown.
#[test]
fn what_is_said_of_a_listener() {
    let (model, mut state) = run();
    screen(&model, &mut state, SMALL, COLOUR);
    let (verdict, rest) = state.detail.about.split_first().unwrap();
    assert!(verdict.starts_with("add_workers: 11 clients were refused."), "{verdict}");
    insta::assert_snapshot!(rest.join("\n"), @r"
    nginx[801], requested 2048, net.core.somaxconn=16 grants 16
    refused 11 packets of 11 clients: accept_queue_full_syn 11
    11 clients refused at least once: 0 got in later, 8 gave up, 3 may still be trying
    1200 connections queued, 1200 accepted, 8 in the queue
    ");
}

#[test]
fn what_is_full_stands_out_with_colour_and_without() {
    let (model, mut state) = run();
    for (theme, colour) in [(COLOUR, Color::Red), (PLAIN, Color::Reset)] {
        press(&mut state, &[Key::Down]);
        let terminal = terminal(&model, &mut state, SMALL, theme);
        let buffer = terminal.backend().buffer();
        let text = terminal.backend().to_string();
        let row = text.lines().position(|line| line.contains(" 17/16 ")).unwrap();
        let line = text.lines().nth(row).unwrap();
        let column = line.find("17/16").unwrap() - 1;
        let cell = &buffer[(u16::try_from(column).unwrap(), u16::try_from(row).unwrap())];
        assert_eq!((cell.symbol(), cell.fg), ("1", colour), "{line}");
        assert!(cell.modifier.contains(Modifier::BOLD));
        press(&mut state, &[Key::Home]);
    }
}
