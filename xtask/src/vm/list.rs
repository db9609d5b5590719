//! `cargo xtask vm --list`: lists the kernels of the matrix and their current versions.

use anyhow::Result;

use crate::kernels::{Kernels, MATRIX};

/// Prints a line for each series.
pub(crate) fn command() -> Result<u8> {
    let kernels = Kernels::open()?;
    println!("{:<7} {:<18} {:<18} {:<5} package", "series", "version", "suite", "here");
    for series in MATRIX {
        match kernels.choose(series)? {
            Some(choice) => println!(
                "{series:<7} {:<18} {:<18} {:<5} {}",
                choice.version,
                choice.suite,
                if kernels.is_here(&choice) { "yes" } else { "no" },
                choice.packages.join(" ")
            ),
            None => println!("{series:<7} missing: no suite lists it"),
        }
    }
    Ok(0)
}
