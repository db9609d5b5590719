//! Parses the guest tests' output for the tables: lines `ROW {...}` among others. Pure.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A line for the tables.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    /// A cause or side event in one scenario.
    Cause {
        /// The name in the tool's output.
        name: String,
        /// The number that was provoked, and the counts of the kernel and the tool.
        counts: Counts,
    },
    /// A scenario that this kernel cannot run.
    Absent {
        /// The name of the cause that it provokes.
        name: String,
        /// Why not.
        why: String,
    },
    /// A counter under a load.
    Load {
        /// The counter's name.
        name: String,
        /// The counts of the load, the kernel and the tool.
        counts: Counts,
    },
}

/// Three counts of the same events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// The number of packets or clients that provoked it; None if it is unknown.
    pub(super) provoked: Option<u64>,
    /// The kernel's count; None if it has no counter for this.
    pub(super) kernel: Option<u64>,
    /// The tool's count.
    pub(super) seen: u64,
}

impl Counts {
    /// Adds the counts of another scenario.
    pub(super) fn add(&mut self, other: Self) {
        let both = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
        self.provoked = both(self.provoked, other.provoked);
        self.kernel = both(self.kernel, other.kernel);
        self.seen += other.seen;
    }

    /// Are the known counts equal?
    pub(super) fn agree(self) -> bool {
        [self.provoked, self.kernel].into_iter().flatten().all(|count| count == self.seen)
    }
}

/// Parses the rows in a guest's output.
pub(super) fn parse(output: &str) -> Result<Vec<Row>> {
    let lines = output.lines().filter_map(|line| line.split_once("ROW ").map(|(_, json)| json));
    lines.map(|json| row(json).with_context(|| format!("not a row: {json}"))).collect()
}

fn row(json: &str) -> Result<Row> {
    let value: Value = serde_json::from_str(json)?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let name = text("name").context("no name")?;
    if let Some(why) = text("absent") {
        return Ok(Row::Absent { name, why });
    }
    let counts = Counts {
        provoked: number("provoked"),
        kernel: number("kernel"),
        seen: number("seen").context("nothing seen")?,
    };
    let load = value.get("load").and_then(Value::as_bool).unwrap_or(false);
    Ok(if load { Row::Load { name, counts } } else { Row::Cause { name, counts } })
}

#[cfg(test)]
mod tests {
    use super::{Counts, Row, parse};

    #[test]
    fn rows_are_found_among_other_lines() {
        let output = "test guest::causes ... ROW {\"name\":\"other\",\"provoked\":3,\"kernel\":3,\"seen\":3}\n\
             noise\n\
             ROW {\"name\":\"migrated\",\"absent\":\"before 5.14\"}\n\
             ROW {\"load\":true,\"name\":\"ListenDrops\",\"kernel\":3,\"seen\":3}\n";
        let rows = parse(output).unwrap();
        let counts = Counts { provoked: Some(3), kernel: Some(3), seen: 3 };
        assert!(counts.agree());
        assert_eq!(rows[0], Row::Cause { name: "other".into(), counts });
        assert_eq!(rows[1], Row::Absent { name: "migrated".into(), why: "before 5.14".into() });
        assert!(
            matches!(&rows[2], Row::Load { name, counts } if name == "ListenDrops" && counts.agree())
        );
        assert!(parse("ROW {}").is_err());
    }

    #[test]
    fn who_does_not_know_does_not_disagree() {
        let mut counts = Counts { provoked: Some(1), kernel: None, seen: 1 };
        assert!(counts.agree());
        counts.add(Counts { provoked: Some(2), kernel: Some(2), seen: 1 });
        assert_eq!(counts, Counts { provoked: Some(3), kernel: None, seen: 2 });
        assert!(!counts.agree());
    }
}
