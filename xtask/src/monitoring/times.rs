//! Durations in rules as parameters: a rule contains `$5m` for a duration and `#5m` for the same in
//! seconds, and `--scale` divides both. A test that overloads a server then waits for seconds
//! instead of minutes, with the rules that users load.

use anyhow::{Result, bail};

/// The divisor of all durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale(u32);

impl Scale {
    /// The original durations.
    pub(crate) const ONE: Self = Self(1);

    /// A divisor; zero is an error.
    pub(crate) fn new(scale: u32) -> Result<Self> {
        if scale == 0 {
            bail!("--scale 0 leaves no time at all; give 1 or more");
        }
        Ok(Self(scale))
    }

    /// Formats a duration for Prometheus.
    pub(crate) fn duration(self, seconds: u32) -> String {
        let millis = self.millis(seconds);
        let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let unit = units.into_iter().find(|(unit, _)| millis.is_multiple_of(*unit));
        unit.map_or_else(
            || format!("{millis}ms"),
            |(unit, name)| format!("{}{name}", millis / unit),
        )
    }

    /// Replaces `$5m` and `#5m`. Anything else is kept, such as `$labels` and `$1`.
    pub(crate) fn fill(self, template: &str) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['$', '#']) {
            let (before, from) = rest.split_at(at);
            text.push_str(before);
            let (sign, after) = from.split_at(1);
            if let Some((seconds, length)) = parse(after) {
                let number = f64::from(self.millis(seconds)) / 1_000.0;
                let filled = if sign == "$" { self.duration(seconds) } else { number.to_string() };
                text.push_str(&filled);
                rest = after.get(length..).unwrap_or_default();
            } else {
                text.push_str(sign);
                rest = after;
            }
        }
        text + rest
    }

    fn millis(self, seconds: u32) -> u32 {
        // Prometheus has no shorter duration.
        (seconds * 1_000 / self.0).max(1)
    }
}

/// The seconds of a duration at the beginning of a text, and its length. `1]` has no unit.
fn parse(text: &str) -> Option<(u32, usize)> {
    let digits = text.find(|char: char| !char.is_ascii_digit())?;
    let unit = match text.as_bytes().get(digits)? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        _ => return None,
    };
    let count: u32 = text.get(..digits)?.parse().ok()?;
    Some((count * unit, digits + 1))
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn durations_shrink_by_the_scale() {
        let template = "rate(x[$5m]) > #1h and y[$10m:$30s]";
        assert_eq!(Scale::ONE.fill(template), "rate(x[5m]) > 3600 and y[10m:30s]");
        let scale = Scale::new(60).unwrap();
        assert_eq!(scale.fill(template), "rate(x[5s]) > 60 and y[10s:500ms]");
        assert_eq!(scale.fill("#15s"), "0.25");
    }

    #[test]
    fn what_is_no_duration_stays() {
        let template = r#"{{ reReplaceAll "(a)" "[$1]" $labels.address }} # 5 $ "#;
        assert_eq!(Scale::new(60).unwrap().fill(template), template);
    }

    #[test]
    fn a_scale_of_zero_is_refused() {
        assert!(Scale::new(0).is_err());
    }
}
