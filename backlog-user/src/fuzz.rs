//! The fuzz targets: each reader of external bytes as a function of these bytes. A target panics if
//! the reader does, or if the result violates a promise. `cargo xtask fuzz` searches for such
//! bytes, and the host tests read all seeds and everything that was found. The tool itself does not
//! use this.

mod host;
mod recording;
mod ring;

/// A reader of external bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The target's name, which its folders of seeds and regressions share.
    pub name: &'static str,
    /// Reads the bytes.
    pub read: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 5] = [
    Target { name: "btf", read: host::btf },
    Target { name: "proc", read: host::proc },
    Target { name: "recording", read: recording::read },
    Target { name: "ring", read: ring::read },
    Target { name: "sock_diag", read: host::sock_diag },
];

impl Target {
    /// The target with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.into_iter().find(|target| target.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use std::fs;
    use std::path::Path;

    /// Reads the seeds and everything that was ever found.
    #[test]
    fn no_known_bytes_break_a_reader() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
        for target in TARGETS {
            let mut count = 0;
            for folder in ["seeds", "regressions"] {
                let folder = root.join(folder).join(target.name);
                for entry in fs::read_dir(folder).into_iter().flatten() {
                    let path = entry.unwrap().path();
                    // If it panics, the last name shows which bytes caused it.
                    println!("{}", path.display());
                    (target.read)(&fs::read(path).unwrap());
                    count += 1;
                }
            }
            assert!(count > 0, "{} has no seeds", target.name);
        }
    }
}
