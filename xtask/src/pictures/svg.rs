//! Draws a screen as SVG. Runs of cells are placed at their columns, whichever font is used.

use std::fmt::Write as _;

use super::cells::{Look, Run};

/// The size of a cell, in pixels.
const CELL: (usize, usize) = (8, 17);
const MARGIN: usize = 10;
const BACKGROUND: &str = "#14181d";
const TEXT: &str = "#d8dee6";

/// The 16 colours of a terminal, on a dark background.
const COLOURS: [&str; 16] = [
    "#14181d", "#ff6b6b", "#7fd38a", "#e8c15a", "#6aa9ff", "#d58bdd", "#4fc3c8", "#d8dee6",
    "#8794a3", "#ff8e8e", "#a3e3ab", "#f2d68a", "#95c2ff", "#e3aee9", "#7fd9dd", "#ffffff",
];

/// Draws the lines of a screen with this size.
pub(super) fn render(lines: &[Vec<Run>], (columns, rows): (u16, u16)) -> String {
    let width = usize::from(columns) * CELL.0 + 2 * MARGIN;
    let height = usize::from(rows) * CELL.1 + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" \
         font-size=\"13\">\n<title>backlog-trace --tui</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    for (row, runs) in lines.iter().enumerate() {
        for run in runs {
            draw(&mut svg, row, run);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, row: usize, run: &Run) {
    let Look { colour, bold, reversed } = run.look;
    let ink = colour.and_then(|colour| COLOURS.get(usize::from(colour))).copied().unwrap_or(TEXT);
    let (x, y) = (MARGIN + run.column * CELL.0, MARGIN + row * CELL.1);
    let width = run.text.chars().count() * CELL.0;
    if reversed {
        let height = CELL.1;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{ink}\"/>"
        );
    }
    if run.text.trim().is_empty() {
        return;
    }
    let ink = if reversed { BACKGROUND } else { ink };
    let weight = if bold { " font-weight=\"bold\"" } else { "" };
    let text = run.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let baseline = y + CELL.1 - 4;
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{baseline}\" textLength=\"{width}\" fill=\"{ink}\"{weight} \
         xml:space=\"preserve\">{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::super::cells;
    use super::render;

    #[test]
    fn what_is_on_the_screen_is_text() {
        let svg = render(&cells::parse("a <b>\n\u{1b}[7m> c"), (80, 24));
        assert!(svg.contains(">a &lt;b&gt;</text>"), "{svg}");
        assert!(svg.contains("<rect x=\"10\" y=\"27\" width=\"24\""), "{svg}");
    }
}
