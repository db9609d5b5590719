//! Decodes bytes from the ring buffer. Pure; any bytes give a record or an error.
//!
//! A later version may append fields to a record: of a record that is too long, only the known
//! length is read.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use backlog_ebpf::record::{ASKED, Admitted, Dequeued, Drop, Endpoint, Header, Kind, Listener};
use backlog_ebpf::{AF_INET, AF_INET6};
use bytes::Buf;
use thiserror::Error;

use crate::event::{Call, Caller, plain};

/// A record, copied out of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// [`Kind::Drop`]
    Drop(Drop),
    /// [`Kind::Opened`]
    Opened(Listener),
    /// [`Kind::Closed`]
    Closed(Listener),
    /// [`Kind::Limit`]
    Limit(Listener),
    /// [`Kind::Admitted`]
    Admitted(Admitted),
    /// [`Kind::Dequeued`]
    Dequeued(Dequeued),
}

/// Why bytes cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The record is truncated.
    #[error("a record of {got} bytes is shorter than its {needed}")]
    Short {
        /// Its length.
        got: usize,
        /// The length of its kind.
        needed: usize,
    },
    /// Its kind is unknown.
    #[error("a record of kind {0}, which this version does not know")]
    UnknownKind(u16),
    /// Its address family is unknown.
    #[error("address family {0}, which is neither IPv4 nor IPv6")]
    UnknownFamily(u16),
}

/// Decodes one record.
///
/// # Errors
/// If it is truncated, or has an unknown kind or address family.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let mut rest = bytes;
    need(rest, size_of::<Header>())?;
    let header = header(&mut rest);
    let kind = Kind::from_wire(header.kind).ok_or(DecodeError::UnknownKind(header.kind))?;
    match kind {
        Kind::Drop => refusal(header, rest).map(Record::Drop),
        Kind::Opened => listener(header, rest).map(Record::Opened),
        Kind::Closed => listener(header, rest).map(Record::Closed),
        Kind::Limit => listener(header, rest).map(Record::Limit),
        Kind::Admitted => admitted(header, rest).map(Record::Admitted),
        Kind::Dequeued => dequeued(header, rest).map(Record::Dequeued),
    }
}

/// An endpoint as an address; an IPv4-mapped one becomes IPv4.
///
/// # Errors
/// If its family is neither IPv4 nor IPv6.
pub fn address(endpoint: &Endpoint) -> Result<SocketAddr, DecodeError> {
    let Endpoint { addr, port, family } = *endpoint;
    let ip = match family {
        AF_INET => IpAddr::V4(Ipv4Addr::new(addr[0], addr[1], addr[2], addr[3])),
        AF_INET6 => plain(IpAddr::V6(Ipv6Addr::from(addr))),
        other => return Err(DecodeError::UnknownFamily(other)),
    };
    Ok(SocketAddr::new(ip, port))
}

fn need(bytes: &[u8], needed: usize) -> Result<(), DecodeError> {
    if bytes.len() < needed {
        return Err(DecodeError::Short { got: bytes.len(), needed });
    }
    Ok(())
}

fn header(bytes: &mut &[u8]) -> Header {
    Header {
        kind: bytes.get_u16_ne(),
        size: bytes.get_u16_ne(),
        cpu: bytes.get_u32_ne(),
        slot: bytes.get_u32_ne(),
        pad: bytes.get_u32_ne(),
        time_ns: bytes.get_u64_ne(),
    }
}

fn endpoint(bytes: &mut &[u8]) -> Endpoint {
    let mut addr = [0; 16];
    bytes.copy_to_slice(&mut addr);
    Endpoint { addr, port: bytes.get_u16_ne(), family: bytes.get_u16_ne() }
}

fn refusal(header: Header, mut bytes: &[u8]) -> Result<Drop, DecodeError> {
    need(bytes, size_of::<Drop>() - size_of::<Header>())?;
    Ok(Drop {
        header,
        cause: bytes.get_u16_ne(),
        flags: bytes.get_u16_ne(),
        isn: bytes.get_u32_ne(),
        depth: bytes.get_u32_ne(),
        limit: bytes.get_u32_ne(),
        syn_queue: bytes.get_u32_ne(),
        trough: bytes.get_u32_ne(),
        client: endpoint(&mut bytes),
        arrived: bytes.get_u32_ne(),
        free_ns: bytes.get_u64_ne(),
        accepted_ns: bytes.get_u64_ne(),
        filled_ns: bytes.get_u64_ne(),
        paced_ns: bytes.get_u64_ne(),
        stalled_ns: bytes.get_u64_ne(),
        paced: bytes.get_u32_ne(),
        records_suppressed: bytes.get_u32_ne(),
        suppressed_clients: bytes.get_u32_ne(),
        suppressed_retries: bytes.get_u32_ne(),
    })
}

fn admitted(header: Header, mut bytes: &[u8]) -> Result<Admitted, DecodeError> {
    need(bytes, size_of::<Admitted>() - size_of::<Header>())?;
    Ok(Admitted {
        header,
        isn: bytes.get_u32_ne(),
        depth: bytes.get_u32_ne(),
        client: endpoint(&mut bytes),
        trough: bytes.get_u32_ne(),
        free_ns: bytes.get_u64_ne(),
        paced_ns: bytes.get_u64_ne(),
        paced: bytes.get_u32_ne(),
        arrived: bytes.get_u32_ne(),
    })
}

fn dequeued(header: Header, mut bytes: &[u8]) -> Result<Dequeued, DecodeError> {
    need(bytes, size_of::<Dequeued>() - size_of::<Header>())?;
    Ok(Dequeued {
        header,
        isn: bytes.get_u32_ne(),
        leaving: bytes.get_u32_ne(),
        client: endpoint(&mut bytes),
        pad: bytes.get_u32_ne(),
    })
}

fn listener(header: Header, mut bytes: &[u8]) -> Result<Listener, DecodeError> {
    need(bytes, size_of::<Listener>() - size_of::<Header>())?;
    Ok(Listener {
        header,
        sk: bytes.get_u64_ne(),
        inode: bytes.get_u64_ne(),
        cookie: bytes.get_u64_ne(),
        netns: bytes.get_u32_ne(),
        depth: bytes.get_u32_ne(),
        limit: bytes.get_u32_ne(),
        flags: bytes.get_u32_ne(),
        local: endpoint(&mut bytes),
        sk_drops: bytes.get_u32_ne(),
        syn_queue: bytes.get_u32_ne(),
        was: bytes.get_u32_ne(),
        cgroup: bytes.get_u64_ne(),
        comm: name(&mut bytes),
        caller: bytes.get_u32_ne(),
        asked: bytes.get_i32_ne(),
        somaxconn: bytes.get_u32_ne(),
        identity: bytes.get_u32_ne(),
    })
}

fn name(bytes: &mut &[u8]) -> [u8; 16] {
    let mut name = [0; 16];
    bytes.copy_to_slice(&mut name);
    name
}

/// A thread's name in the kernel's form: up to the first zero.
#[must_use]
pub fn comm(bytes: &[u8; 16]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// The listen call in a record, if it has one.
#[must_use]
pub fn call(wire: &Listener) -> Option<Call> {
    let caller = (wire.caller != 0).then(|| Caller { pid: wire.caller, comm: comm(&wire.comm) })?;
    Some(Call {
        asked: (wire.flags & ASKED != 0).then_some(wire.asked),
        somaxconn: (wire.somaxconn != 0).then_some(wire.somaxconn),
        caller: Some(caller),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire<T: Copy>(record: &T) -> Vec<u8> {
        let start = std::ptr::from_ref(record).cast::<u8>();
        // SAFETY: the records are repr(C), of integers, without implicit padding
        // (their layout asserts say so), so every byte is initialised.
        unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
    }

    prop_compose! {
        fn any_endpoint()(addr: [u8; 16], port: u16, family: u16) -> Endpoint {
            Endpoint { addr, port, family }
        }
    }

    prop_compose! {
        fn any_header(kind: Kind)(cpu: u32, slot: u32, pad: u32, time_ns: u64, size: u16) -> Header {
            Header { kind: kind as u16, size, cpu, slot, pad, time_ns }
        }
    }

    prop_compose! {
        fn any_drop()(header in any_header(Kind::Drop), client in any_endpoint(),
            [cause, flags]: [u16; 2],
            [isn, depth, limit, syn_queue, trough]: [u32; 5],
            [arrived, paced]: [u32; 2],
            [records_suppressed, suppressed_clients, suppressed_retries]: [u32; 3],
            [free_ns, accepted_ns, filled_ns, paced_ns, stalled_ns]: [u64; 5]) -> Drop {
            Drop {
                header, cause, isn, depth, limit, syn_queue, trough, client, arrived, free_ns,
                accepted_ns, filled_ns, paced_ns, stalled_ns, paced, records_suppressed, flags,
                suppressed_clients, suppressed_retries,
            }
        }
    }

    prop_compose! {
        fn any_admitted()(header in any_header(Kind::Admitted), client in any_endpoint(),
            [isn, depth, trough, paced, arrived]: [u32; 5], free_ns: u64, paced_ns: u64,
        ) -> Admitted {
            Admitted { header, isn, depth, client, trough, free_ns, paced_ns, paced, arrived }
        }
    }

    prop_compose! {
        fn any_dequeued()(header in any_header(Kind::Dequeued), client in any_endpoint(),
            isn: u32, leaving: u32, pad: u32) -> Dequeued {
            Dequeued { header, isn, leaving, client, pad }
        }
    }

    prop_compose! {
        fn any_listener()(header in any_header(Kind::Opened), local in any_endpoint(), sk: u64, inode: u64,
            cookie: u64, netns: u32, depth: u32, limit: u32, flags: u32,
            [sk_drops, syn_queue, was, caller, somaxconn, identity]: [u32; 6], cgroup: u64,
            comm: [u8; 16], asked: i32) -> Listener {
            Listener {
                header, sk, inode, cookie, netns, depth, limit, flags, local, sk_drops, syn_queue, was,
                cgroup, comm, caller, asked, somaxconn, identity,
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_an_error(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }

        #[test]
        fn any_kind_with_any_rest_gives_a_record_or_an_error(kind in 0_u16..8, rest: Vec<u8>) {
            let mut bytes = kind.to_ne_bytes().to_vec();
            bytes.extend(rest);
            let _ = decode(&bytes);
        }

        #[test]
        fn what_the_kernel_writes_is_what_is_read(
            drop in any_drop(), listener in any_listener(), admitted in any_admitted(),
            dequeued in any_dequeued(), longer in 0_usize..9,
        ) {
            for (mut bytes, record) in [
                (wire(&drop), Record::Drop(drop)),
                (wire(&listener), Record::Opened(listener)),
                (wire(&admitted), Record::Admitted(admitted)),
                (wire(&dequeued), Record::Dequeued(dequeued)),
            ] {
                let short = &bytes[..bytes.len() - 1];
                let is_short = matches!(decode(short), Err(DecodeError::Short { .. }));
                prop_assert!(is_short);
                bytes.extend(vec![0xa5; longer]);
                prop_assert_eq!(decode(&bytes), Ok(record));
            }
        }
    }

    #[test]
    fn unknown_kinds_are_named() {
        let header = Header { kind: 99, ..Header::default() };
        assert_eq!(decode(&wire(&header)), Err(DecodeError::UnknownKind(99)));
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let mut addr = [0; 16];
        addr[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 9]);
        let endpoint = Endpoint { addr, port: 4000, family: AF_INET6 };
        assert_eq!(address(&endpoint), Ok("10.0.0.9:4000".parse().unwrap()));
        let endpoint = Endpoint { family: 1, ..endpoint };
        assert_eq!(address(&endpoint), Err(DecodeError::UnknownFamily(1)));
    }
}
