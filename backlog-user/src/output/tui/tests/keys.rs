//! Tests the effects of keys.

use super::super::row::By;
use super::super::state::Pane;
use super::*;
use crate::output::playing::{Play, Playing};

#[test]
fn the_selection_follows_the_first_until_it_is_moved() {
    let (mut model, mut state) = run();
    let selected = |state: &State| {
        let (rows, at) = state.listed();
        rows[at].id.0
    };
    assert_eq!(selected(&state), 1);
    press(&mut state, &[Key::Down]);
    assert_eq!(selected(&state), 2);
    // The selection stays with its listener, whatever the order.
    press(&mut state, &[Key::Char('r')]);
    assert_eq!((selected(&state), state.listed().1), (2, 1));
    press(&mut state, &[Key::Char('s'), Key::Char('S'), Key::Char('S')]);
    assert_eq!((state.by, selected(&state)), (By::Address, 2));
    press(&mut state, &[Key::Home]);
    assert_eq!(selected(&state), 1);
    // A closed listener is no longer in the list.
    press(&mut state, &[Key::Down, Key::Down]);
    let there = state.listed().0.len();
    let id = ListenerId(selected(&state));
    state.closed(id);
    screen(&model, &mut state, SMALL, COLOUR);
    assert_eq!(state.listed().0.len(), there - 1);
    tick(&mut model, &mut state, 61);
    assert_eq!(state.listed().0.len(), there);
}

#[test]
fn who_is_looked_at_alone_stays_when_it_closes() {
    let (model, mut state) = run();
    press(&mut state, &[Key::Enter]);
    state.look(|id| model.get(id).map(|page| Detail::of(&model, page)));
    state.closed(ListenerId(1));
    state.look(|_| None);
    assert_eq!((state.detail.id, state.detail.closed), (Some(ListenerId(1)), true));
    press(&mut state, &[Key::Escape]);
    state.look(|id| model.get(id).map(|page| Detail::of(&model, page)));
    assert_ne!(state.detail.id, Some(ListenerId(1)));
}

#[test]
fn a_pause_freezes_all_that_is_shown() {
    let (mut model, mut state) = run();
    assert_eq!(state.key(Key::Char('p')), Action::Pause);
    state.pause(model.open().map(|page| Detail::of(&model, page)));
    let before = screen(&model, &mut state, SMALL, COLOUR);
    assert!(before.contains("PAUSED"));
    for second in 61..70 {
        tick(&mut model, &mut state, second);
    }
    assert_eq!(screen(&model, &mut state, SMALL, COLOUR), before);
    // Other listeners can be selected during the pause, in their state of that time.
    press(&mut state, &[Key::Down]);
    screen(&model, &mut state, SMALL, COLOUR);
    assert_eq!(state.detail.id, Some(ListenerId(2)));
    assert!(state.detail.about.iter().any(|line| line.contains("180 connections")));
    press(&mut state, &[Key::Char('p')]);
    let after = screen(&model, &mut state, SMALL, COLOUR);
    assert!(!after.contains("PAUSED") && after.contains("22:14:09"), "{after}");
    assert!(state.detail.about.iter().any(|line| line.contains("207 connections")));
}

#[test]
fn the_plot_shows_another_time_and_another_height() {
    let (model, mut state) = run();
    assert_eq!(state.window(), (0, 60 * SECOND, "1 min"));
    press(&mut state, &[Key::Char('w')]);
    assert_eq!(state.window().2, "5 min");
    press(&mut state, &typed("wwww"));
    assert_eq!(state.window(), (50 * SECOND, 60 * SECOND, "10 s"));
    // At the second listener, two of 128 are next to nothing.
    press(&mut state, &[Key::Down, Key::Char('y')]);
    insta::assert_snapshot!(screen(&model, &mut state, SMALL, COLOUR));
}

#[test]
fn drops_scroll_and_are_bounded() {
    let (model, mut state) = run();
    press(&mut state, &[Key::Tab, Key::Tab, Key::Enter]);
    assert_eq!((state.pane, state.zoomed), (Pane::Drops, true));
    let last = screen(&model, &mut state, (100, 16), COLOUR);
    assert!(last.contains("22:13:59.500") && last.contains("again after 1.0s"), "{last}");
    let refused = state.data().drops[0].clone();
    for _ in 0..5000 {
        state.refused(refused.clone());
    }
    assert!(state.data().drops.len() <= 1000);
    press(&mut state, &[Key::Up; 2000]);
    screen(&model, &mut state, (100, 16), COLOUR);
    press(&mut state, &[Key::End]);
    assert_eq!(state.scroll, 0);
}

#[test]
fn keys_of_the_terminal_do_what_they_always_do() {
    let mut state = State::new(SECOND);
    press(&mut state, &typed("/x"));
    assert_eq!(state.key(Key::Interrupt), Action::Quit);
    assert_eq!(state.key(Key::Stop), Action::Suspend);
    assert_eq!(state.key(Key::Repaint), Action::Repaint);
    press(&mut state, &[Key::Escape, Key::Char('h')]);
    assert_eq!(state.key(Key::Char('q')), Action::Quit);
    press(&mut state, &[Key::Escape]);
    assert_eq!(state.key(Key::Char('x')), Action::Nothing);
    // These keys only work in a replay.
    for key in [Key::Char(' '), Key::Char('+'), Key::Char('-'), Key::Left, Key::Right] {
        assert_eq!(state.key(key), Action::Nothing);
    }
}

#[test]
fn keys_ask_for_what_a_recording_can_do() {
    let (model, mut state) = run();
    let playing = Playing { length_ns: 3723 * SECOND, speed: Some(0.5), ..Playing::default() };
    state.playing = Some(playing);
    for (key, play) in [
        (Key::Char(' '), Play::Stop),
        (Key::Char('p'), Play::Stop),
        (Key::Left, Play::Back),
        (Key::Right, Play::Further),
        (Key::Char('+'), Play::Faster),
        (Key::Char('='), Play::Faster),
        (Key::Char('-'), Play::Slower),
        (Key::Char('0'), Play::Fastest),
    ] {
        assert_eq!(state.key(key), Action::Play(play));
    }
    let text = screen(&model, &mut state, SMALL, COLOUR);
    assert!(text.contains("  0:00 of 1:02:03 x0.5  3 listeners") && text.contains("left/right"));
    // A number is shown completely or not at all.
    state.playing = Some(Playing { ended: true, ..playing });
    let text = screen(&model, &mut state, (60, 24), COLOUR);
    let top = text.lines().next().unwrap().trim_end_matches('"').trim_end();
    assert!(top.ends_with("1:02:03 END  3 listeners"), "{top}");
    // While a filter is typed, they are letters.
    press(&mut state, &typed("/ 0-"));
    assert_eq!(state.filter, " 0-");
    press(&mut state, &[Key::Escape, Key::Char('?')]);
    insta::assert_snapshot!("help_of_a_recording", screen(&model, &mut state, SMALL, COLOUR));
    // Any key closes the help first.
    assert_eq!(state.key(Key::Left), Action::Draw);
    assert_eq!(state.key(Key::Char('q')), Action::Quit);
}

#[test]
fn nothing_that_has_happened_is_no_plot_that_is_not_kept() {
    let (mut model, mut state) = (Model::new(0), State::new(SECOND));
    apply(&mut model, 0, What::Listener(listener(1, "0.0.0.0:8000", 16)));
    state.found(Row::of(model.get(ListenerId(1)).unwrap()));
    assert!(screen(&model, &mut state, SMALL, COLOUR).contains("too many listeners"));
    model.keep_timelines();
    let text = screen(&model, &mut state, SMALL, COLOUR);
    assert!(text.contains("16│") && !text.contains("too many listeners"), "{text}");
}

#[test]
fn all_is_told_again_and_what_keys_have_done_stays() {
    let (model, mut state) = run();
    press(&mut state, &typed("/nginx"));
    press(&mut state, &[Key::Enter, Key::Char('s')]);
    state.pause(model.open().map(|page| Detail::of(&model, page)));
    state.again();
    assert!(!state.paused() && state.notices.is_empty() && state.data().drops.is_empty());
    assert_eq!((state.by, state.filter.as_str()), (By::Use.further(1), "nginx"));
    let text = screen(&model, &mut state, SMALL, COLOUR);
    assert!(text.contains("0 drops") && text.contains("no listener matches"), "{text}");
}
