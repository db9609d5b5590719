//! The checked-in numbers of instructions that the verifier has processed in each program:
//! tests/instructions.json, written by `cargo xtask backends`. A program that grows by a jump in
//! some kernel comes close to the verifier's limit, or does more work per packet than before.

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::paths;
pub(crate) use program::programs;

/// The file, below the workspace's root.
pub(crate) const FILE: &str = "tests/instructions.json";
/// The task that updates the file.
const ACCEPT: &str = "cargo xtask backends --instructions";

/// A program may grow by a tenth, and in any case by this many instructions.
const SLACK: u64 = 100;

/// Programs and their instruction counts; None if the kernel does not report them.
pub(crate) type Walked = BTreeMap<String, Option<u64>>;

/// Parses the output of the tool's `--check-programs`, among other lines.
pub(crate) fn parse(output: &str) -> Walked {
    programs(output).into_iter().map(|program| (program.name, program.walked)).collect()
}

/// The message if the file does not exist.
pub(crate) fn missing() -> String {
    format!("no {FILE}: what the verifier walked is not compared (to write it: {ACCEPT})")
}

/// The numbers of one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbers {
    version: String,
    walked: BTreeMap<String, u64>,
}

/// The content of the file, by kernel series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instructions(BTreeMap<String, Numbers>);

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// A message for each program that has grown by a jump.
    pub(crate) jumps: Vec<String>,
    /// What could not be compared.
    pub(crate) unknown: Option<String>,
}

impl Instructions {
    /// The checked-in numbers; None if the file does not exist.
    pub(crate) fn read() -> Result<Option<Self>> {
        let text = match fs::read_to_string(path()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {FILE}")),
        };
        Self::from_json(&text).with_context(|| format!("cannot read {FILE}")).map(Some)
    }

    /// Writes the file.
    pub(crate) fn write(&self) -> Result<()> {
        fs::write(path(), self.to_json()?).with_context(|| format!("cannot write {FILE}"))
    }

    /// Replaces the numbers of a kernel's series. A kernel that reports none is left out.
    pub(crate) fn put(&mut self, series: &str, version: &str, walked: &Walked) {
        let walked = told(walked);
        if walked.is_empty() {
            self.0.remove(series);
        } else {
            self.0.insert(series.to_owned(), Numbers { version: version.to_owned(), walked });
        }
    }

    /// Compares a kernel's numbers with the checked-in ones.
    pub(crate) fn compare(&self, series: &str, version: &str, walked: &Walked) -> Found {
        let walked = told(walked);
        let mut found = Found::default();
        if walked.is_empty() {
            return found;
        }
        let not_here = |what: &str| {
            Some(format!("kernel {series} ({version}): not in {FILE}, not compared: {what}"))
        };
        let known = match self.0.get(series) {
            Some(known) if known.version == version => known,
            Some(known) => {
                found.unknown = not_here(&format!("this version ({} is there)", known.version));
                return found;
            }
            None => {
                found.unknown = not_here("this kernel");
                return found;
            }
        };
        let mut strange = Vec::new();
        for (program, now) in &walked {
            match known.walked.get(program) {
                None => strange.push(program.as_str()),
                Some(was) if is_jump(*was, *now) => found.jumps.push(format!(
                    "{program} in kernel {series}: the verifier walked {now} instructions, \
                     {was} before (if it must be: {ACCEPT} --kernel {series})"
                )),
                Some(_) => {}
            }
        }
        if !strange.is_empty() {
            found.unknown = not_here(&strange.join(", "));
        }
        found
    }

    fn from_json(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let kernels = value.as_object().context("not an object")?;
        let numbers = kernels.iter().map(|(series, numbers)| {
            let of = |key| numbers.get(key).with_context(|| format!("{series} has no {key}"));
            let version = of("version")?.as_str().context("a version is a text")?.to_owned();
            let walked = of("walked")?.as_object().context("walked is an object")?;
            let walked = walked.iter().map(|(program, walked)| {
                let walked = walked.as_u64().with_context(|| format!("{program}: no number"))?;
                Ok((program.clone(), walked))
            });
            Ok((series.clone(), Numbers { version, walked: walked.collect::<Result<_>>()? }))
        });
        Ok(Self(numbers.collect::<Result<_>>()?))
    }

    fn to_json(&self) -> Result<String> {
        let kernels = self.0.iter().map(|(series, Numbers { version, walked })| {
            (series.clone(), json!({"version": version, "walked": walked}))
        });
        let value = Value::Object(kernels.collect());
        Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
    }
}

fn path() -> PathBuf {
    paths::root().join(FILE)
}

fn told(walked: &Walked) -> BTreeMap<String, u64> {
    walked.iter().filter_map(|(program, walked)| Some((program.clone(), (*walked)?))).collect()
}

fn is_jump(was: u64, now: u64) -> bool {
    let grown = now.saturating_sub(was);
    grown > SLACK && grown.saturating_mul(10) > was
}

#[cfg(test)]
mod tests {
    use super::{Instructions, Walked, is_jump};

    fn walked(numbers: &[(&str, u64)]) -> Walked {
        numbers.iter().map(|(program, walked)| ((*program).to_owned(), Some(*walked))).collect()
    }

    #[test]
    fn a_jump_is_more_than_a_tenth_and_more_than_the_slack() {
        assert!(!is_jump(2000, 2200) && is_jump(2000, 2201));
        assert!(!is_jump(50, 150) && is_jump(50, 151));
        assert!(!is_jump(2000, 10));
    }

    #[test]
    fn the_file_reads_as_it_was_written() {
        let mut known = Instructions::default();
        known.put("6.1", "6.1.9", &walked(&[("fe_syn", 7), ("fx_syn", 8)]));
        known.put("5.10", "5.10.9", &[("fe_syn".to_owned(), None)].into());
        let text = known.to_json().unwrap();
        assert_eq!(Instructions::from_json(&text).unwrap(), known);
        assert!(!text.contains("5.10"), "{text}");
        assert!(Instructions::from_json("{\"6.1\":{}}").is_err());
    }

    #[test]
    fn a_jump_names_all_that_matters() {
        let mut known = Instructions::default();
        known.put("6.1", "6.1.9", &walked(&[("fe_syn", 1000), ("fx_syn", 1000)]));
        let now = walked(&[("fe_syn", 1101), ("fx_syn", 1100), ("fe_new", 9)]);
        let found = known.compare("6.1", "6.1.9", &now);
        assert_eq!(
            found.jumps,
            ["fe_syn in kernel 6.1: the verifier walked 1101 instructions, 1000 before \
              (if it must be: cargo xtask backends --instructions --kernel 6.1)"]
        );
        assert!(found.unknown.is_some_and(|line| line.ends_with("fe_new")));
        // Another version is reported, but does not fail.
        let found = known.compare("6.1", "6.1.10", &now);
        assert!(found.jumps.is_empty() && found.unknown.is_some());
        assert!(known.compare("7.x", "7.1", &now).unknown.is_some());
        assert_eq!(known.compare("7.x", "7.1", &Walked::new()), super::Found::default());
    }
}
