//! How an event's numbers are written in a recording: by name, and without zeros. The names are the
//! kernel's, or those of the JSON lines.
//!
//! The library that both halves share does not depend on serde, so its types are serialized here.

use std::collections::BTreeMap;

use backlog_ebpf::cause::{Beside, Cause};
use backlog_ebpf::distribution::{DEPTHS, NO_TROUGH, WAITS};
use backlog_ebpf::record::Kind;
use backlog_ebpf::totals::{Epoch, Stray, Totals};
use serde::de::{Deserializer, Error, Unexpected};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::event::Moves;

/// Whether the value is omitted.
pub fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The value in a recording if nothing arrived between two events.
pub(super) fn no_trough() -> u32 {
    NO_TROUGH
}

/// Whether the value is that of [`no_trough`].
#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
pub(super) fn is_no_trough(trough: &u32) -> bool {
    *trough == NO_TROUGH
}

/// [`Totals`], field by field, without the fields that only the programs need.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Totals")]
pub(super) struct Sums {
    #[serde(default, skip_serializing_if = "is_zero")]
    enqueued: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    accepted: u64,
    #[serde(rename = "untimed", default, skip_serializing_if = "is_zero")]
    accepts_without_wait: u64,
    #[serde(rename = "untracked", default, skip_serializing_if = "is_zero")]
    pending_overflow: u64,
    #[serde(rename = "unseen", default, skip_serializing_if = "is_zero")]
    enqueue_missed: u64,
    #[serde(with = "causes", default, skip_serializing_if = "is_zero")]
    drops: [u64; Cause::COUNT],
    #[serde(rename = "uncounted", default, skip_serializing_if = "is_zero")]
    not_in_mib: u64,
    #[serde(rename = "unrecorded", default, skip_serializing_if = "is_zero")]
    records_suppressed: u64,
    #[serde(rename = "unrecorded_clients", default, skip_serializing_if = "is_zero")]
    suppressed_clients: u64,
    #[serde(rename = "unrecorded_retries", default, skip_serializing_if = "is_zero")]
    suppressed_retries: u64,
    #[serde(rename = "unfollowed", default, skip_serializing_if = "is_zero")]
    retry_table_evictions: u64,
    #[serde(with = "besides", default, skip_serializing_if = "is_zero")]
    beside: [u64; Beside::COUNT],
    #[serde(default, skip_serializing_if = "is_zero")]
    sk_drops: u64,
    #[serde(with = "kinds", default, skip_serializing_if = "is_zero")]
    lost: [u64; Kind::COUNT],
    #[serde(default, skip_serializing_if = "is_zero")]
    peak_ns: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    syn_queue_peak_ns: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    longest_ns: u64,
    #[serde(rename = "untimed_ns", default, skip_serializing_if = "is_zero")]
    longest_without_wait_ns: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    peak: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    syn_queue_peak: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    syn_needed: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    peak_filled_ns: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    peak_arrivals: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    left_after_ns: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    left_waiting: u64,
    #[serde(skip)]
    window_ns: u64,
    #[serde(skip)]
    window_used: u32,
    #[serde(skip)]
    window_clients: u32,
    #[serde(skip)]
    window_causes: u32,
    #[serde(skip)]
    epochs: [Epoch; 2],
    #[serde(skip)]
    seen_drops: u32,
}

/// Reads buckets of waits, and rejects buckets that do not exist.
pub(super) fn waits<'de, D: Deserializer<'de>>(from: D) -> Result<Moves, D::Error> {
    moves(from, WAITS)
}

/// Reads buckets of depths, like [`waits`].
pub(super) fn depths<'de, D: Deserializer<'de>>(from: D) -> Result<Moves, D::Error> {
    moves(from, DEPTHS)
}

fn moves<'de, D: Deserializer<'de>>(from: D, buckets: usize) -> Result<Moves, D::Error> {
    let moves = Moves::deserialize(from)?;
    match moves.iter().find(|(bucket, _)| *bucket as usize >= buckets) {
        Some((bucket, _)) => Err(Error::custom(format_args!("no bucket {bucket}"))),
        None => Ok(moves),
    }
}

/// [`Stray`], field by field.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Stray")]
pub struct Astray {
    no_slot: u64,
    closed: u64,
    accepts: u64,
    drops: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    hidden: u64,
}

/// Writes the values of an array that are not the default, by name.
fn named<T, N, S>(
    values: &[T],
    names: &[N],
    name: fn(N) -> &'static str,
    to: S,
) -> Result<S::Ok, S::Error>
where
    T: Default + PartialEq + Serialize,
    N: Copy,
    S: Serializer,
{
    let all = names.iter().map(|one| name(*one)).zip(values);
    to.collect_map(all.filter(|(_, value)| !is_zero(*value)))
}

/// Reads what [`named`] writes. An unknown name is an error, because its number would be lost.
fn by_name<'de, T, N, D, const COUNT: usize>(
    names: &[N],
    name: fn(N) -> &'static str,
    from: D,
) -> Result<[T; COUNT], D::Error>
where
    T: Copy + Default + Deserialize<'de>,
    N: Copy,
    D: Deserializer<'de>,
{
    let mut values = [T::default(); COUNT];
    for (key, value) in BTreeMap::<String, T>::deserialize(from)? {
        let place = names.iter().position(|one| name(*one) == key);
        match place.and_then(|place| values.get_mut(place)) {
            Some(known) => *known = value,
            None => return Err(Error::custom(format_args!("`{key}` is unknown"))),
        }
    }
    Ok(values)
}

/// Counts by [`Cause`].
mod causes {
    use super::{Cause, Deserializer, Serializer, by_name, named};

    pub(super) fn serialize<S: Serializer>(
        counts: &[u64; Cause::COUNT],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        named(counts, &Cause::ALL, Cause::name, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<[u64; Cause::COUNT], D::Error> {
        by_name(&Cause::ALL, Cause::name, from)
    }
}

/// Counts by [`Beside`].
mod besides {
    use super::{Beside, Deserializer, Serializer, by_name, named};

    pub(super) fn serialize<S: Serializer>(
        counts: &[u64; Beside::COUNT],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        named(counts, &Beside::ALL, Beside::name, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<[u64; Beside::COUNT], D::Error> {
        by_name(&Beside::ALL, Beside::name, from)
    }
}

/// Counts by [`Kind`].
mod kinds {
    use super::{Deserializer, Kind, Serializer, by_name, named};

    pub(super) fn serialize<S: Serializer>(
        counts: &[u64; Kind::COUNT],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        named(counts, &Kind::ALL, Kind::name, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<[u64; Kind::COUNT], D::Error> {
        by_name(&Kind::ALL, Kind::name, from)
    }
}

/// A reading of the kernel's counters: a range for each counter that the kernel shows.
pub(super) mod reading {
    use super::{Deserializer, Serializer, by_name, named};
    use crate::counter::{Counter, Reading};

    pub(crate) fn serialize<S: Serializer>(reading: &Reading, to: S) -> Result<S::Ok, S::Error> {
        named(reading, &Counter::ALL, Counter::name, to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Box<Reading>, D::Error> {
        by_name(&Counter::ALL, Counter::name, from).map(Box::new)
    }
}

/// A [`Cause`], by its name.
pub(super) mod cause {
    use super::{Cause, Deserialize, Deserializer, Error, Serializer, Unexpected};
    use std::borrow::Cow;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
    pub(crate) fn serialize<S: Serializer>(cause: &Cause, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(cause.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Cause, D::Error> {
        let name = Cow::<'de, str>::deserialize(from)?;
        let known = Cause::ALL.into_iter().find(|cause| cause.name() == name);
        known.ok_or_else(|| Error::invalid_value(Unexpected::Str(&name), &"the name of a cause"))
    }
}
