//! Mutates JSON lines so that they stay valid JSON.

use fastrand::Rng;
use serde_json::{Number, Value};

/// Numbers at which arithmetic overflows, or almost does.
const NUMBERS: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    999_999_999,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Strings that outputs must escape, and addresses.
const STRINGS: [&str; 8] = [
    "",
    "\u{1b}[2J\u{9b}\u{202e}\u{2028}\n",
    "<script>",
    "=1+1",
    "[::]:0",
    "0.0.0.0:65535",
    "[::ffff:1.2.3.4]:80",
    "accept_queue_full_syn",
];

/// Makes one to four changes; None if these bytes are not text.
pub(crate) fn mutate_lines(text: &[u8], seed: u32) -> Option<Vec<u8>> {
    let rng = &mut Rng::with_seed(u64::from(seed));
    let text = str::from_utf8(text).ok()?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..rng.usize(1..=4) {
        let count = lines.len();
        let at = (count > 0).then(|| rng.usize(..count))?;
        match rng.u32(..8) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(rng.usize(..=count), lines[at].clone()),
            2 => lines.swap(at, rng.usize(..count)),
            _ => {
                let Ok(mut line) = serde_json::from_str(&lines[at]) else { continue };
                let other = serde_json::from_str(&lines[rng.usize(..count)]).unwrap_or(Value::Null);
                change(&mut line, &other, rng);
                lines[at] = line.to_string();
            }
        }
    }
    let mut text = lines.join("\n").into_bytes();
    text.push(b'\n');
    Some(text)
}

/// Changes a value somewhere within this one.
fn change(value: &mut Value, other: &Value, rng: &mut Rng) {
    // Descend more often than not.
    if rng.u32(..8) > 0 {
        let within = match value {
            Value::Array(all) => choose(all.iter_mut(), rng),
            Value::Object(all) => choose(all.values_mut(), rng),
            _ => None,
        };
        if let Some(within) = within {
            return change(within, other, rng);
        }
    }
    *value = match (rng.u32(..8), &*value) {
        (0, _) => part(other, rng).clone(),
        (1, Value::Array(all)) if !all.is_empty() => {
            let mut all = all.clone();
            all.push(all[rng.usize(..all.len())].clone());
            all.into()
        }
        (1, Value::Object(all)) => {
            let left_out = rng.usize(..=all.len());
            let rest = all.iter().enumerate().filter(|(place, _)| *place != left_out);
            Value::Object(rest.map(|(_, (key, one))| (key.clone(), one.clone())).collect())
        }
        (2, _) => Value::Null,
        (_, Value::Number(number)) => number_near(number, rng),
        (_, Value::String(_)) => STRINGS[rng.usize(..STRINGS.len())].into(),
        (_, Value::Bool(known)) => (!known).into(),
        _ => NUMBERS[rng.usize(..NUMBERS.len())].into(),
    };
}

fn number_near(number: &Number, rng: &mut Rng) -> Value {
    let known = number.as_u64().unwrap_or(0);
    match rng.u32(..6) {
        0 => known.wrapping_add(1).into(),
        1 => known.wrapping_sub(1).into(),
        2 => known.wrapping_mul(rng.u64(..1000)).into(),
        3 => (-1_i64).into(),
        _ => NUMBERS[rng.usize(..NUMBERS.len())].into(),
    }
}

/// A random value within this one.
fn part<'a>(value: &'a Value, rng: &mut Rng) -> &'a Value {
    let within = match value {
        Value::Array(all) => choose(all.iter(), rng),
        Value::Object(all) => choose(all.values(), rng),
        _ => None,
    };
    match within {
        Some(within) if rng.u32(..4) > 0 => part(within, rng),
        _ => value,
    }
}

fn choose<T>(mut all: impl ExactSizeIterator<Item = T>, rng: &mut Rng) -> Option<T> {
    let count = all.len();
    (count > 0).then(|| all.nth(rng.usize(..count)))?
}
