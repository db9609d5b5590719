//! The port filter: one bit per port, tested in the kernel before anything is recorded. The map
//! that holds it is an array, which programs read inline with a handful of instructions.

/// Words of 64 bits in the port set.
pub const PORT_WORDS: usize = 65_536 / 64;

/// The bit of this port in the word at `port_word(port)`.
#[must_use]
#[inline]
pub const fn port_bit(port: u16) -> u64 {
    1 << (port as u64 % 64)
}

/// The index of the word that holds this port's bit.
#[must_use]
#[inline]
pub const fn port_word(port: u16) -> u32 {
    port as u32 / 64
}

#[cfg(test)]
mod tests {
    use super::{PORT_WORDS, port_bit, port_word};

    #[test]
    fn each_port_has_a_bit_of_its_own() {
        let mut words = [0_u64; PORT_WORDS];
        for port in 0..=u16::MAX {
            let word = &mut words[port_word(port) as usize];
            assert_eq!(*word & port_bit(port), 0);
            *word |= port_bit(port);
        }
        assert!(words.iter().all(|word| *word == u64::MAX));
    }
}
