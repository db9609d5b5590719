//! What is fuzzed: each reader of bytes from outside, as a function of these bytes. It panics if the
//! reader does, or if its result breaks a promise. `cargo xtask fuzz` searches for such bytes; the
//! host tests read all seeds and all bytes that were found. No part of the tool.

mod host;
mod recording;
mod ring;

/// A reader of bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also of the folders of its seeds and regressions.
    pub name: &'static str,
    /// Reads these bytes.
    pub read: fn(&[u8]),
}

/// All of them.
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

    /// The seeds, and everything that was found once.
    #[test]
    fn no_known_bytes_break_a_reader() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
        for target in TARGETS {
            let mut count = 0;
            for folder in ["seeds", "regressions"] {
                let folder = root.join(folder).join(target.name);
                for entry in fs::read_dir(folder).into_iter().flatten() {
                    let path = entry.unwrap().path();
                    // The name of the last one tells which bytes the panic is about.
                    println!("{}", path.display());
                    (target.read)(&fs::read(path).unwrap());
                    count += 1;
                }
            }
            assert!(count > 0, "{} has no seeds", target.name);
        }
    }
}
