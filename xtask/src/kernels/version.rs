//! Compares Debian versions (deb-version(7)), and finds the series of a version. Pure.

use std::cmp::Ordering;

/// Compares two Debian versions as dpkg does.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, upstream_a, revision_a) = split(a);
    let (epoch_b, upstream_b, revision_b) = split(b);
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| compare_part(upstream_a, upstream_b))
        .then_with(|| compare_part(revision_a, revision_b))
}

/// The upstream part: `6.1.192` of `6.1.192-2`.
pub(crate) fn upstream(version: &str) -> &str {
    split(version).1
}

/// Does an upstream version belong to a series such as `6.1`, `7.x` or `newest`? A full version is
/// a series of its own.
pub(crate) fn in_series(upstream: &str, series: &str) -> bool {
    if series == "newest" {
        return true;
    }
    let series = series.strip_suffix(".x").unwrap_or(series);
    upstream.strip_prefix(series).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn split(version: &str) -> (u32, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch.parse().unwrap_or(0), upstream, revision)
}

/// Compares alternately a run of non-digits, in which `~` sorts before the end and letters before
/// other characters, and a number.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = a.split_at(a.find(is_digit).unwrap_or(a.len()));
        let (text_b, rest_b) = b.split_at(b.find(is_digit).unwrap_or(b.len()));
        let longest = text_a.len().max(text_b.len());
        let ranks = |text: &str| -> Vec<i32> {
            let bytes = text.bytes().map(Some);
            bytes.chain(std::iter::repeat(None)).take(longest + 1).map(rank).collect()
        };
        let (number_a, next_a) = rest_a.split_at(end_of_number(rest_a));
        let (number_b, next_b) = rest_b.split_at(end_of_number(rest_b));
        let order =
            ranks(text_a).cmp(&ranks(text_b)).then_with(|| number(number_a).cmp(&number(number_b)));
        if order.is_ne() {
            return order;
        }
        (a, b) = (next_a, next_b);
    }
    Ordering::Equal
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn end_of_number(text: &str) -> usize {
    text.find(|c| !is_digit(c)).unwrap_or(text.len())
}

fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(0)
}

fn rank(byte: Option<u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(other) => i32::from(other) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_as_dpkg_does() {
        let rising = [
            "5.10.223-1",
            "5.10.262-1",
            "6.1.176-1~deb11u1",
            "6.1.176-1",
            "6.1.192-1",
            "6.1.192-2",
            "6.12.90-2~bpo12+1",
            "6.12.117-1~deb12u1",
            "6.12.117-1",
            "7.4~rc1-1~exp1",
            "7.4-1",
            "1:1.0-1",
        ];
        for pair in rising.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
            assert_eq!(compare(pair[0], pair[0]), Ordering::Equal);
        }
    }

    #[test]
    fn a_series_ends_at_a_dot() {
        assert!(in_series("6.1.192", "6.1"));
        assert!(!in_series("6.12.117", "6.1"));
        assert!(in_series("6.1.192", "6.1.192"));
        assert!(in_series("7.3.4", "7.x"));
        assert!(!in_series("6.18.15", "7.x"));
        assert!(in_series("5.10.262", "newest"));
        assert_eq!(upstream("7.3.4-1~bpo13+1"), "7.3.4");
    }
}
