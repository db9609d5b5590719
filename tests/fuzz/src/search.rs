//! The entry points that libFuzzer calls.

use std::sync::LazyLock;

use backlog_user::fuzz::Target;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

use crate::mutate::mutate_lines;

/// The variable with the name of the target.
const VARIABLE: &str = "BACKLOG_FUZZ_TARGET";

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    let Some(target) = Target::named(&name) else {
        eprintln!("backlog-fuzz: {VARIABLE}: no target is named `{name}`");
        std::process::exit(2);
    };
    target
});

fuzz_target!(|bytes: &[u8]| (TARGET.read)(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    // Half of the mutants of a recording are mutated as JSON, since blind changes mostly give
    // unreadable lines. The other half tests exactly that, and the compression.
    if TARGET.name == "recording"
        && seed % 2 == 0
        && let Some(text) = data.get(..size).and_then(|text| mutate_lines(text, seed))
        && let Some(place) = data.get_mut(..text.len().min(max_size))
    {
        place.copy_from_slice(&text[..place.len()]);
        return place.len();
    }
    fuzzer_mutate(data, size, max_size)
});
