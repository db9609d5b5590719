//! The checked-in cost budgets of the tracers: tests/budgets.json. Each budget limits the ratio of
//! two figures from the same kernel. If it is not met yet, the file records by kernel how far off
//! it is, and why; that must not get worse.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Part;
use super::rows::{Extra, Rows};
use crate::paths;

/// The file, below the workspace's root.
pub(super) const FILE: &str = "tests/budgets.json";

/// A recorded ratio may get worse by this factor: a figure is accurate to five instructions, a
/// twentieth of the smallest floor, and varies slightly within a kernel series.
const SLACK: f64 = 1.05;

/// All budgets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Budgets(Vec<Budget>);

/// A budget.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Budget {
    pub(super) name: String,
    /// The part of the benchmark that measures it.
    part: Part,
    /// Judge only the traced path, and not the tracer's own process?
    path_only: bool,
    /// Tracer and scenario to judge, and those to compare with.
    of: (String, String),
    to: (String, String),
    /// The maximum ratio.
    pub(super) most: f64,
    /// The ratio reached so far, by kernel series.
    known: BTreeMap<String, f64>,
    /// Why the budget is not met there.
    pub(super) why: Option<String>,
}

/// The result of a budget in one kernel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) budget: Budget,
    pub(super) series: String,
    pub(super) found: Found,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// Met, with this ratio.
    Kept(f64),
    /// Not met, as recorded.
    NotReached { ratio: f64, known: f64 },
    /// Worse than the budget or the recorded ratio.
    Broken { ratio: f64, known: Option<f64>, figures: [f64; 2] },
    /// One of the two figures was not measured, for this reason.
    Unmeasured(String),
}

impl Budgets {
    /// Reads the checked-in budgets.
    pub(super) fn read() -> Result<Self> {
        let path = paths::root().join(FILE);
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {FILE}"))?;
        Self::from_json(&text).with_context(|| format!("cannot read {FILE}"))
    }

    fn from_json(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let budgets = value.as_array().context("not a list")?;
        Ok(Self(budgets.iter().map(budget).collect::<Result<_>>()?))
    }

    /// Records the ratios that a kernel has reached.
    pub(super) fn accept(&mut self, series: &str, rows: &Rows, why: &str) {
        for budget in &mut self.0 {
            match budget.judge(series, rows) {
                Found::Kept(_) => {
                    budget.known.remove(series);
                }
                Found::NotReached { ratio, .. } | Found::Broken { ratio, .. } => {
                    // Two digits are precise enough.
                    budget.known.insert(series.to_owned(), (ratio * 100.0).ceil() / 100.0);
                    budget.why = Some(why.to_owned());
                }
                Found::Unmeasured(_) => {}
            }
            if budget.known.is_empty() {
                budget.why = None;
            }
        }
    }

    /// Writes the file.
    pub(super) fn write(&self) -> Result<()> {
        let budgets: Vec<Value> = self.0.iter().map(Budget::to_json).collect();
        let text = serde_json::to_string_pretty(&budgets)?;
        fs::write(paths::root().join(FILE), format!("{text}\n"))
            .with_context(|| format!("cannot write {FILE}"))
    }

    /// The results of a part's budgets in a kernel.
    pub(super) fn judge(&self, part: Part, series: &str, rows: &Rows) -> Vec<Verdict> {
        let judge = |budget: &Budget| Verdict {
            budget: budget.clone(),
            series: series.to_owned(),
            found: budget.judge(series, rows),
        };
        self.0.iter().filter(|budget| budget.part == part).map(judge).collect()
    }
}

fn budget(value: &Value) -> Result<Budget> {
    let text = |key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.map(str::to_owned).with_context(|| format!("a budget without {key}: {value}"))
    };
    let mut known = BTreeMap::new();
    if let Some(all) = value.get("known") {
        for (series, ratio) in all.as_object().context("known is an object")? {
            let ratio = ratio.as_f64().with_context(|| format!("{series}: no number"))?;
            known.insert(series.clone(), ratio);
        }
    }
    let why = text("why").ok();
    anyhow::ensure!(known.is_empty() || why.is_some(), "a recorded ratio needs a `why`: {value}");
    let part = match value.get("part") {
        None => Part::Cost,
        Some(part) => {
            let name = part.as_str().context("part is a text")?;
            Part::of(name).with_context(|| format!("no part {name}"))?
        }
    };
    let path_only = match value.get("of").map(Value::as_str) {
        None => false,
        Some(Some("path")) => true,
        Some(_) => anyhow::bail!("of is path, or not there: {value}"),
    };
    Ok(Budget {
        name: text("name")?,
        part,
        path_only,
        of: (text("tracer")?, text("scenario")?),
        to: (text("against")?, text("against_scenario")?),
        most: value.get("most").and_then(Value::as_f64).context("a budget without most")?,
        known,
        why,
    })
}

impl Budget {
    fn to_json(&self) -> Value {
        let Self { name, part, path_only, of, to, most, known, why } = self;
        let mut value = json!({
            "name": name,
            "tracer": of.0,
            "scenario": of.1,
            "against": to.0,
            "against_scenario": to.1,
            "most": most,
        });
        if let (Some(object), false) = (value.as_object_mut(), *part == Part::Cost) {
            object.insert("part".to_owned(), json!(part.name()));
        }
        if let (Some(object), true) = (value.as_object_mut(), *path_only) {
            object.insert("of".to_owned(), json!("path"));
        }
        if let (Some(object), Some(why)) = (value.as_object_mut(), why) {
            object.insert("known".to_owned(), json!(known));
            object.insert("why".to_owned(), json!(why));
        }
        value
    }

    fn judge(&self, series: &str, rows: &Rows) -> Found {
        let figure = |extra: Extra| if self.path_only { extra.path } else { extra.total() };
        let of = |(tracer, scenario): &(String, String)| {
            rows.extra(tracer, scenario).map(figure).ok_or_else(|| {
                let why = rows.absent(tracer).unwrap_or("not measured");
                format!("{tracer}, {scenario}: {why}")
            })
        };
        let figures = match (of(&self.of), of(&self.to)) {
            (Ok(one), Ok(other)) => [one, other],
            (Err(why), _) | (_, Err(why)) => return Found::Unmeasured(why),
        };
        // Less than one instruction counts as one, so that the ratio stays finite.
        let ratio = figures[0] / figures[1].max(1.0);
        let known = self.known.get(series).copied();
        match known {
            _ if ratio <= self.most => Found::Kept(ratio),
            Some(known) if ratio <= known * SLACK => Found::NotReached { ratio, known },
            _ => Found::Broken { ratio, known, figures },
        }
    }
}

impl Verdict {
    /// The message for a broken budget.
    pub(super) fn broken(&self) -> Option<String> {
        let Self { budget, series, found } = self;
        let Found::Broken { ratio, known, figures: [one, other] } = found else {
            return None;
        };
        let known = known.map_or(String::new(), |known| format!(", known were {known:.2}"));
        Some(format!(
            "{} in kernel {series}: {one:.0} against {other:.0} is {ratio:.2} times as much, \
             and may be {:.2}{known}",
            budget.name, budget.most
        ))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(ratio) => write!(f, "{ratio:.2}"),
            Self::NotReached { ratio, .. } => write!(f, "{ratio:.2}, not reached"),
            Self::Broken { ratio, .. } => write!(f, "**{ratio:.2}, broken**"),
            Self::Unmeasured(_) => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::OUTPUT;
    use super::*;

    fn judged(json: &str) -> Verdict {
        let budgets = Budgets::from_json(json).unwrap();
        budgets.judge(Part::Cost, "6.1", &Rows::parse(OUTPUT).unwrap()).remove(0)
    }

    fn json(most: f64, more: &str) -> String {
        format!(
            r#"[{{"name":"a connection","tracer":"backlog-trace fentry","scenario":"ipv4",
            "against":"floor","against_scenario":"ipv4","most":{most}{more}}}]"#
        )
    }

    #[test]
    fn a_ratio_is_kept_or_broken() {
        assert_eq!(judged(&json(3.0, "")).found, Found::Kept(3.0));
        let broken = judged(&json(2.5, ""));
        assert_eq!(
            broken.broken().unwrap(),
            "a connection in kernel 6.1: 1200 against 400 is 3.00 times as much, and may be 2.50"
        );
    }

    #[test]
    fn what_is_known_is_held() {
        let known = |ratio| judged(&json(2.0, &format!(r#","known":{{"6.1":{ratio}}},"why":"w""#)));
        assert_eq!(known(3.0).found, Found::NotReached { ratio: 3.0, known: 3.0 });
        assert_eq!(known(2.87).broken(), None);
        assert!(known(2.8).broken().unwrap().ends_with("may be 2.00, known were 2.80"));
        assert!(Budgets::from_json(&json(2.0, r#","known":{"6.1":3}"#)).is_err());
    }

    #[test]
    fn what_is_reached_now_can_be_accepted() {
        let mut budgets = Budgets::from_json(&json(2.0, "")).unwrap();
        let rows = Rows::parse(OUTPUT).unwrap();
        budgets.accept("6.1", &rows, "not yet");
        let found = Found::NotReached { ratio: 3.0, known: 3.0 };
        assert_eq!(budgets.judge(Part::Cost, "6.1", &rows)[0].found, found);
        let text = Value::from(budgets.0.iter().map(Budget::to_json).collect::<Vec<_>>());
        assert_eq!(Budgets::from_json(&text.to_string()).unwrap(), budgets);
        // Once the budget is met, nothing is recorded.
        budgets.0[0].most = 3.0;
        budgets.accept("6.1", &rows, "not yet");
        assert_eq!(budgets, Budgets::from_json(&json(3.0, "")).unwrap());
    }

    #[test]
    fn the_path_can_be_judged_alone() {
        let path = judged(&json(2.5, r#","of":"path""#));
        assert_eq!(path.found, Found::Kept(2.5));
        assert!(Budgets::from_json(&json(2.5, r#","of":"process""#)).is_err());
    }

    #[test]
    fn a_part_is_judged_by_its_own() {
        let of = |part: &str| Budgets::from_json(&json(3.0, part));
        let budgets = of(r#","part":"scale","of":"path""#).unwrap();
        let rows = Rows::parse(OUTPUT).unwrap();
        assert_eq!(budgets.judge(Part::Cost, "6.1", &rows), []);
        assert_eq!(budgets.judge(Part::Scale, "6.1", &rows)[0].found, Found::Kept(2.5));
        let text = Value::from(budgets.0.iter().map(Budget::to_json).collect::<Vec<_>>());
        assert_eq!(Budgets::from_json(&text.to_string()).unwrap(), budgets);
        assert!(of(r#","part":"speed""#).is_err());
    }

    #[test]
    fn what_was_not_measured_is_told() {
        let text = json(2.0, "").replace("floor", "tcpsynbl (bcc)");
        let Found::Unmeasured(why) = judged(&text).found else { panic!() };
        assert_eq!(why, "tcpsynbl (bcc), ipv4: no headers");
    }

    #[test]
    fn the_budgets_checked_in_can_be_read() {
        assert!(!Budgets::read().unwrap().0.is_empty());
    }
}
