//! Identifies a network namespace from its creation to its end.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A network namespace. The kernel reuses its inode number as soon as it ends, so it is identified
/// by that number and the lower half of its cookie, or if the kernel has no cookie, a random number
/// that the kernel assigns. A recording stores both as one number, which is the inode number if
/// nothing else is known.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Netns(u64);

impl Netns {
    /// Combines both numbers. An identity of zero means unknown.
    #[must_use]
    pub fn new(inode: u32, identity: u32) -> Self {
        Self(u64::from(identity) << 32 | u64::from(inode))
    }

    /// Its inode number, which earlier namespaces may have had.
    #[must_use]
    pub fn inode(self) -> u32 {
        low(self.0)
    }

    /// Distinguishes it from others with its inode number; none: unknown.
    #[must_use]
    pub fn identity(self) -> Option<u32> {
        let identity = (self.0 >> 32) as u32;
        (identity != 0).then_some(identity)
    }

    /// Whether both may be the same namespace, as far as is known.
    #[must_use]
    pub fn may_be(self, other: Self) -> bool {
        let known = self.identity().zip(other.identity());
        self.inode() == other.inode() && known.is_none_or(|(one, other)| one == other)
    }

    /// The next one in the order of namespaces.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Both as one number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// The lower half of a number.
#[must_use]
pub fn low(number: u64) -> u32 {
    let [first, second, third, fourth, ..] = number.to_le_bytes();
    u32::from_le_bytes([first, second, third, fourth])
}

impl From<u32> for Netns {
    fn from(inode: u32) -> Self {
        Self::new(inode, 0)
    }
}

impl fmt::Display for Netns {
    /// The inode number, which is all that other tools show.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inode().fmt(to)
    }
}

#[cfg(test)]
mod tests {
    use super::Netns;

    #[test]
    fn two_with_one_inode_are_two_and_look_alike() {
        let (first, second) = (Netns::new(4_026_532_177, 7), Netns::new(4_026_532_177, 9));
        assert_ne!(first, second);
        assert_eq!(
            (first.to_string(), second.to_string()),
            ("4026532177".into(), "4026532177".into())
        );
        assert_eq!((second.inode(), second.identity()), (4_026_532_177, Some(9)));
        assert!(!first.may_be(second) && first.may_be(Netns::from(first.inode())));
        let old: Netns = serde_json::from_str("4026532177").unwrap();
        assert_eq!((old, old.identity()), (Netns::from(4_026_532_177), None));
        let kept = serde_json::to_string(&second).unwrap();
        assert_eq!(serde_json::from_str::<Netns>(&kept).unwrap(), second);
    }
}
