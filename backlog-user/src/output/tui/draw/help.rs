//! The help pane, which lists the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::theme::Theme;
use super::text::{put, title};

/// Each key, and what it does.
const KEYS: [(&str, &str); 15] = [
    ("q, Ctrl-C", "end the run; the summary follows on the normal screen"),
    ("up, down, j, k", "another listener; or scroll drops and notices"),
    ("PgUp, PgDn", "ten further"),
    ("Home, g", "the top: the first listener stays selected"),
    ("End, G", "the last"),
    ("s, S", "sort by the next column, by the previous one"),
    ("r", "reverse the order"),
    ("/", "filter by text: address, process, unit, cgroup"),
    ("Tab", "the next pane: listeners, histograms, drops, notices"),
    ("Enter, Esc", "maximise the pane (in the list: the listener), and back"),
    ("w", "time span of the plot"),
    ("y", "scale the plot to the peak, or to the limit"),
    ("Ctrl-L", "redraw"),
    ("Ctrl-Z", "suspend (the shell's fg resumes)"),
    ("?, h", "this"),
];

/// Keys of a live run only.
const RUN: [(&str, &str); 1] = [("p", "pause or resume the display; tracing continues")];

/// Keys of a replay only.
const RECORDING: [(&str, &str); 3] = [
    ("space, p", "pause and resume playback"),
    ("left, right", "10 s back, 10 s further"),
    ("+, -, 0", "double speed, half speed, as fast as possible"),
];

/// Draws the help.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, recording: bool, theme: Theme) {
    let area = title(buffer, area, "Keys (any closes this)", true, theme);
    let more: &[_] = if recording { &RECORDING } else { &RUN };
    let all = KEYS.iter().chain(more);
    for (y, (keys, what)) in (area.y..area.bottom()).zip(all) {
        put(buffer, (area.x + 1, y), area.right(), keys, theme.title(false));
        put(buffer, (area.x + 17, y), area.right(), what, Style::new());
    }
    let legend = [
        "plot: solid is the depth at the end of an interval, light the deepest in it,",
        "x a moment with a drop; a bar that crosses the line was above the limit",
    ];
    let y = area.y + u16::try_from(KEYS.len() + more.len()).unwrap_or(0) + 1;
    for (y, line) in (y..area.bottom()).zip(legend) {
        put(buffer, (area.x + 1, y), area.right(), line, theme.aside());
    }
}
