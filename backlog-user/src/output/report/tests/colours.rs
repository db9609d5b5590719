//! Tests that the contrast of each colour on each background is sufficient in light and dark mode,
//! as computed by WCAG 2 from the style sheet.

use std::collections::BTreeMap;

const STYLE: &str = include_str!("../report.css");

/// The variables of the nth `:root`: light, dark, paper.
fn scheme(nth: usize) -> BTreeMap<&'static str, [f64; 3]> {
    let block = STYLE.split(":root {").nth(nth + 1).unwrap().split('}').next().unwrap();
    let pairs = block.split(';').filter_map(|line| line.trim().split_once(':'));
    let variables = pairs.map(|(name, value)| (name.trim(), rgb(value.trim())));
    variables.collect()
}

fn rgb(text: &str) -> [f64; 3] {
    let number = u32::from_str_radix(text.strip_prefix('#').unwrap(), 16).unwrap();
    [16, 8, 0].map(|shift| f64::from((number >> shift) & 255) / 255.0)
}

fn luminance(color: [f64; 3]) -> f64 {
    let linear = |part: f64| {
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = color.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn the_formula_is_the_known_one() {
    assert!((contrast(rgb("#000000"), rgb("#ffffff")) - 21.0).abs() < 1e-9);
    assert!((contrast(rgb("#767676"), rgb("#ffffff")) - 4.54).abs() < 0.01);
}

#[test]
fn every_colour_can_be_read_in_every_scheme() {
    for nth in 0..3 {
        let scheme = scheme(nth);
        for ground in ["--bg", "--panel"] {
            for ink in ["--ink", "--soft", "--value", "--limit", "--bad", "--good", "--link"] {
                let contrast = contrast(scheme[ink], scheme[ground]);
                assert!(contrast >= 4.5, "scheme {nth}: {ink} on {ground}: {contrast:.2}");
            }
        }
    }
    // No other rule sets a colour.
    let rules =
        STYLE.split(":root {").map(|text| text.split_once('}').map_or(text, |(_, rest)| rest));
    for rule in rules {
        assert!(!rule.contains('#') && !rule.contains("rgb"), "{rule}");
    }
}
