//! The common part of the plots: a chart with axes, drawn by `plotters`, whose colours are replaced
//! by the variables of the style sheet, and marks with tooltips on top.

pub(super) mod bars;
pub(super) mod depth;
pub(super) mod heat;
mod ticks;

use std::io;

use maud::{Markup, PreEscaped, html};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::prelude::{RGBColor, SVGBackend, ShapeStyle};
use plotters::style::Color as _;

pub(super) use ticks::{Axis, Tick};

/// On a string canvas, only drawing outside of it can fail.
type Result<T> = std::result::Result<T, DrawingAreaErrorKind<io::Error>>;

/// A part of the canvas.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart with its axes.
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// The purpose of a colour. `plotters` only knows fixed colours, so it gets placeholders for the
/// variables of the style sheet, which differ between light, dark and paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    /// The labels of the axes.
    Words = 1,
    /// The axes and the grid.
    Grid = 2,
    /// The measured values.
    Value = 3,
}

impl Ink {
    const ALL: [Self; 3] = [Self::Words, Self::Grid, Self::Value];

    const fn color(self) -> RGBColor {
        RGBColor(0, 0, self as u8)
    }

    fn line(self, width: u32) -> ShapeStyle {
        self.color().stroke_width(width)
    }

    /// The variable in the style sheet.
    const fn variable(self) -> &'static str {
        match self {
            Self::Words => "var(--soft)",
            Self::Grid => "var(--line)",
            Self::Value => "var(--value)",
        }
    }
}

/// The title and description of a plot, for screen readers.
struct Named<'a> {
    /// An ID that is unique on the page.
    id: &'a str,
    title: &'a str,
    description: &'a str,
}

/// Draws a plot, and puts the marks on top.
fn draw(
    named: &Named<'_>,
    (width, height): (u32, u32),
    paint: impl FnOnce(&Area<'_>) -> Result<Markup>,
) -> Markup {
    let mut text = String::new();
    let painted = {
        let root = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        paint(&root).and_then(|marks| root.present().map(|()| marks))
    };
    let marks = match painted {
        Ok(marks) => marks,
        Err(error) => return html! { p.note { "This could not be drawn: " (error) } },
    };
    let Named { id, title, description } = named;
    html! {
        svg viewBox={ "0 0 " (width) " " (height) } role="img"
            aria-labelledby={ (id) "-t " (id) "-d" }
        {
            title id={ (id) "-t" } { (title) }
            desc id={ (id) "-d" } { (description) }
            (PreEscaped(themed(&text)))
            (marks)
        }
    }
}

/// The drawing without its frame, with the colours and fonts of the style sheet.
fn themed(svg: &str) -> String {
    let inner = svg.split_once('>').map_or("", |(_, inner)| inner);
    let mut inner = inner.trim().trim_end_matches("</svg>").replace(" opacity=\"1\"", "");
    for ink in Ink::ALL {
        let RGBColor(red, green, blue) = ink.color();
        inner = inner.replace(&format!("\"#{red:02X}{green:02X}{blue:02X}\""), &{
            let variable = ink.variable();
            format!("\"{variable}\"")
        });
    }
    // Remove fonts, which the style sheet sets, and line breaks, which would be text.
    let size = format!(" font-size=\"{}\"", LETTERS / 1.24);
    let mut short = String::with_capacity(inner.len());
    for line in inner.lines() {
        short.push_str(line);
    }
    for none in [" font-family=\"sans-serif\"", &size] {
        short = short.replace(none, "");
    }
    short.replace(" \"/>", "\"/>")
}

/// Space for the numbers on the left.
const LEFT: i32 = 62;
/// Space for the numbers below.
const BELOW: i32 = 26;
/// Space for half of the last number below.
const RIGHT: i32 = 28;
/// Letters of 12 pixels in the units of `plotters`, which estimates their width.
const LETTERS: f64 = 12.0;

/// A chart with axes; `numbers_below` makes space for the numbers below.
fn chart<'a>(area: &Area<'a>, x: &Axis, y: &Axis, numbers_below: bool) -> Result<Chart<'a>> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(10)
        .margin_right(RIGHT)
        .y_label_area_size(LEFT)
        .x_label_area_size(if numbers_below { BELOW } else { 0 })
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .axis_style(Ink::Grid.color())
        .bold_line_style(Ink::Grid.color())
        .label_style(("sans-serif", LETTERS, &Ink::Words.color()))
        .draw()?;
    Ok(chart)
}

#[cfg(test)]
mod tests {
    use super::{Axis, Ink, Named, chart, draw, themed};
    use maud::html;

    #[test]
    fn no_colour_of_its_own_is_left() {
        let named = Named { id: "p", title: "<t>", description: "d & d" };
        let axis = Axis::whole(7, 4);
        let svg = draw(&named, (400, 200), |area| {
            chart(area, &axis, &axis, true)?;
            Ok(html! { circle r="1" {} })
        })
        .into_string();
        assert!(svg.contains("fill=\"var(--soft)\"") && svg.contains("stroke=\"var(--line)\""));
        assert!(!svg.contains("#0") && !svg.contains("font-family"), "{svg}");
        assert!(svg.contains("&lt;t&gt;") && svg.contains("d &amp; d"));
        assert!(svg.ends_with("<circle r=\"1\"></circle></svg>"), "{svg}");
        assert_eq!(svg.matches("<svg").count(), 1);
    }

    #[test]
    fn each_ink_has_a_number_of_its_own() {
        for ink in Ink::ALL {
            let text = format!("<svg><g a=\"#0000{:02X}\"/></svg>", ink as u8);
            assert_eq!(themed(&text), format!("<g a=\"{}\"/>", ink.variable()));
        }
    }
}
