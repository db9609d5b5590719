//! Renders histograms in the layout of bcc, as plain ASCII in 80 columns.

use std::fmt::Write as _;

use backlog_core::model::distribution::Bucket;

/// A row: the range of a bucket, and its count.
pub(crate) struct Row {
    /// For example `17 -> 32`.
    pub(crate) range: String,
    pub(crate) count: u64,
}

/// The number of stars in the fullest row.
const WIDTH: u64 = 40;

/// Converts buckets to rows by powers of two.
pub(crate) fn rows(buckets: &[Bucket]) -> Vec<Row> {
    buckets
        .iter()
        .map(|bucket| Row {
            range: format!("{} -> {}", bucket.low, bucket.high),
            count: bucket.count,
        })
        .collect()
}

/// Renders a histogram; empty if there are no rows.
pub(crate) fn render(unit: &str, rows: &[Row]) -> String {
    let mut text = String::new();
    let most = rows.iter().map(|row| row.count).max().unwrap_or(0);
    if most == 0 {
        return text;
    }
    let _ = writeln!(text, "{unit:>20} : {:<9}distribution", "count");
    for Row { range, count } in rows {
        let stars = (u128::from(*count) * u128::from(WIDTH)).div_ceil(u128::from(most));
        let bar = "*".repeat(usize::try_from(stars).unwrap_or(0));
        let _ = writeln!(text, "{range:>20} : {count:<9}|{bar:<40}|");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Row, render};

    #[test]
    fn a_row_with_anything_in_it_has_a_star() {
        let rows = [("1 -> 1", 1000), ("2 -> 2", 1), ("3 -> 4", 0)]
            .map(|(range, count)| Row { range: range.into(), count });
        insta::assert_snapshot!(render("depth", &rows), @r"
                   depth : count    distribution
                  1 -> 1 : 1000     |****************************************|
                  2 -> 2 : 1        |*                                       |
                  3 -> 4 : 0        |                                        |
        ");
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(render("depth", &[]), "");
    }
}
