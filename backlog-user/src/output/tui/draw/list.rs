//! The list of listeners. If there is no space for all columns, the least important ones are left
//! out; addresses are not cut.

use backlog_core::text::format::{duration, rate};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::row::{By, Row};
use super::super::state::{Pane, State};
use super::super::theme::Theme;
use super::text::{put, put_right, title};

/// A column: its content, width, and rank. The highest ranks are left out first.
struct Column {
    by: Option<By>,
    name: &'static str,
    width: u16,
    rank: u8,
    text: fn(&Row) -> String,
}

const fn column(
    by: Option<By>,
    name: &'static str,
    width: u16,
    rank: u8,
    text: fn(&Row) -> String,
) -> Column {
    Column { by, name, width, rank, text }
}

fn wait(row: &Row, pick: fn(&backlog_core::model::interval::Waits) -> u64) -> String {
    row.wait.as_ref().map_or("-".into(), |waits| duration(pick(waits)))
}

/// The columns after the address and the owner.
const COLUMNS: [Column; 10] = [
    column(Some(By::Depth), "DEPTH", 5, 3, |row| row.depth.to_string()),
    column(None, "PEAK/LIM", 9, 0, |row| format!("{}/{}", row.peak, row.limit)),
    column(Some(By::Use), "USE%", 5, 1, |row| row.percent.to_string()),
    column(Some(By::Arrivals), "CONN/s", 6, 5, |row| rate(row.arrivals)),
    column(None, "ACC/s", 6, 6, |row| rate(row.accepts)),
    column(None, "P50", 5, 8, |row| wait(row, |waits| waits.p50)),
    column(Some(By::Wait), "P99", 5, 4, |row| wait(row, |waits| waits.p99)),
    column(None, "MAX", 5, 9, |row| wait(row, |waits| waits.max)),
    column(None, "DROP", 5, 7, |row| row.dropped.to_string()),
    column(Some(By::Drops), "DROPS", 7, 2, |row| row.drops.to_string()),
];

/// The minimum and maximum width of the owner column.
const OWNER: (u16, u16) = (12, 32);
/// The minimum width of the address column: every IPv4 address fits.
const ADDRESS: u16 = 21;
/// The width of the mark of the selected row and the space after it.
const MARK: u16 = 2;

/// Draws the list.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, state: &State, theme: Theme) {
    let (rows, at) = state.listed();
    let name = format!(
        "Listeners by {}{}{}",
        state.by.name(),
        if state.reversed { ", reversed" } else { "" },
        if state.filter.is_empty() {
            String::new()
        } else {
            format!(", {} of {} with /{}", rows.len(), state.data().rows.len(), state.filter)
        },
    );
    let top = area.y;
    let area = title(buffer, area, &name, state.pane == Pane::Listeners, theme);
    let room = usize::from(area.height.saturating_sub(1));
    if rows.len() > room && room > 0 {
        put_right(
            buffer,
            area.right(),
            top,
            &format!(" {} of {}", at + 1, rows.len()),
            theme.aside(),
        );
    }
    // Keep the selected row in the middle, unless it is near either end.
    let first = at.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
    let seen: Vec<&Row> = rows.iter().skip(first).take(room).copied().collect();
    let places = Places::of(&seen, area.width);
    heading(buffer, area, &places, state, theme);
    if rows.is_empty() {
        let text = if state.filter.is_empty() {
            "no listener yet: waiting for one"
        } else {
            "no listener matches: Esc clears the filter"
        };
        put(buffer, (area.x + MARK, area.y + 1), area.right(), text, theme.aside());
    }
    for (index, row) in seen.iter().enumerate() {
        let y = area.y + 1 + u16::try_from(index).unwrap_or(0);
        line(buffer, Rect { y, height: 1, ..area }, &places, row, theme);
        if first + index == at {
            put(buffer, (area.x, y), area.right(), ">", Style::new());
            buffer.set_style(Rect { y, height: 1, ..area }, theme.selected());
        }
    }
}

/// The width of each column; None if it is left out.
struct Places {
    address: u16,
    owner: u16,
    columns: [bool; COLUMNS.len()],
}

impl Places {
    fn of(rows: &[&Row], width: u16) -> Self {
        let longest = rows.iter().map(|row| row.address.chars().count()).max().unwrap_or(0);
        let address = u16::try_from(longest).unwrap_or(u16::MAX).max(ADDRESS);
        let mut left = width.saturating_sub(MARK + address);
        let mut columns = [false; COLUMNS.len()];
        let mut owner = 0;
        let mut ranked: Vec<usize> = (0..COLUMNS.len()).collect();
        ranked.sort_unstable_by_key(|index| COLUMNS[*index].rank);
        for index in ranked {
            let Column { width, rank, .. } = COLUMNS[index];
            // The owner is more important than the rates.
            if rank == 6 && left > OWNER.0 {
                owner = OWNER.0;
                left -= OWNER.0 + 1;
            }
            if left <= width {
                break;
            }
            columns[index] = true;
            left -= width + 1;
        }
        if owner == 0 && left > OWNER.0 {
            owner = OWNER.0;
            left -= OWNER.0 + 1;
        }
        let more = if owner > 0 { left.min(OWNER.1 - OWNER.0) } else { 0 };
        Self { address, owner: owner + more, columns }
    }
}

/// An owner that fits the column: its name may be cut, but its pid must not be.
fn fitted(owner: &str, width: usize) -> String {
    let length = owner.chars().count();
    match owner.rfind('[') {
        Some(at) if length > width => {
            let (name, number) = owner.split_at(at);
            let left = width.saturating_sub(number.chars().count() + 1);
            let name: String = name.chars().take(left).collect();
            format!("{name}~{number}")
        }
        _ => owner.to_owned(),
    }
}

fn heading(buffer: &mut Buffer, area: Rect, places: &Places, state: &State, theme: Theme) {
    let style = |by: Option<By>| {
        if by == Some(state.by) { theme.title(true) } else { theme.title(false) }
    };
    let mut x = area.x + MARK;
    let end = area.right();
    put(buffer, (x, area.y), end, "LISTENER", style(Some(By::Address)));
    x += places.address + 1;
    if places.owner > 0 {
        put(buffer, (x, area.y), end, "OWNER", theme.title(false));
        x += places.owner + 1;
    }
    for (column, _) in COLUMNS.iter().zip(places.columns).filter(|(_, shown)| *shown) {
        x += column.width;
        put_right(buffer, x.min(end), area.y, column.name, style(column.by));
        x += 1;
    }
}

fn line(buffer: &mut Buffer, area: Rect, places: &Places, row: &Row, theme: Theme) {
    let mut x = area.x + MARK;
    let end = area.right();
    put(buffer, (x, area.y), end, &row.address, Style::new());
    x += places.address + 1;
    if places.owner > 0 {
        let owner = fitted(&row.owner, places.owner.into());
        put(buffer, (x, area.y), end.min(x + places.owner), &owner, Style::new());
        x += places.owner + 1;
    }
    for (column, _) in COLUMNS.iter().zip(places.columns).filter(|(_, shown)| *shown) {
        x += column.width;
        let style = match column.name {
            "PEAK/LIM" | "USE%" if row.peak > row.limit => theme.alarm(),
            "PEAK/LIM" | "USE%" if row.percent >= 80 => theme.warning(),
            "DROP" | "DROPS" if row.dropped > 0 => theme.alarm(),
            "DROPS" if row.drops > 0 => theme.warning(),
            _ => Style::new(),
        };
        put_right(buffer, x.min(end), area.y, &(column.text)(row), style);
        x += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::fitted;

    #[test]
    fn the_number_of_a_process_is_not_cut() {
        assert_eq!(fitted("nginx[812] +3", 13), "nginx[812] +3");
        assert_eq!(fitted("postgres[4194303] +3", 16), "pos~[4194303] +3");
        assert_eq!(fitted("a[b[12]", 6), "a~[12]");
    }
}
