//! Counts the requests in the SYN queues, as /proc lists them.

use std::fs;

use anyhow::{Context, Result};

/// The state of a request in the column `st`: `SYN_RECV`.
const SYN_RECV: &str = "03";

/// The number of half-open requests at a port, in the calling thread's namespace. (Those of IPv4
/// clients of an IPv6 listener are in the file of IPv4.)
///
/// # Errors
/// When /proc is not mounted.
pub fn at_port(port: u16) -> Result<u64> {
    let mut count = 0;
    for file in ["tcp", "tcp6"] {
        let path = format!("/proc/thread-self/net/{file}");
        match fs::read_to_string(&path) {
            Ok(text) => count += count_in(&text, port),
            // The kernel has no IPv6.
            Err(error) if file == "tcp6" && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
        }
    }
    Ok(count)
}

/// `sl local_address rem_address st ...`, addresses and ports in hex.
fn count_in(text: &str, port: u16) -> u64 {
    let port = format!(":{port:04X}");
    let ours = text.lines().skip(1).filter(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let local = columns.next().is_some_and(|local| local.ends_with(&port));
        local && columns.nth(1) == Some(SYN_RECV)
    });
    ours.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_at_the_port_count() {
        let text = "  sl  local_address rem_address   st tx_queue\n\
                    0: 0109090A:1F40 00000000:0000 0A 00000000:00000000\n\
                    1: 0109090A:1F40 0A09090A:0FA0 03 00000000:00000000\n\
                    2: 0109090A:1F41 0B09090A:0FA1 03 00000000:00000000\n\
                    3: 0109090A:1F40 0C09090A:0FA2 01 00000000:00000000\n";
        assert_eq!(count_in(text, 8000), 1);
        assert_eq!(count_in("", 8000), 0);
        assert_eq!(at_port(0).unwrap(), 0);
    }
}
