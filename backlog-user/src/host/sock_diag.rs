//! Lists the listening sockets of a network namespace, with the depth and limit of their queues,
//! and the unfinished handshakes, by the kernel's `sock_diag`, as `ss -ltnm` and `ss -tn state
//! syn-recv` do.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use anyhow::{Context as _, Result, anyhow, bail};
use backlog_core::aggregate::registry::SockDiagListener;
use backlog_core::event::{Netns, plain};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};

/// A socket attribute that the netlink crate has no name for: information on its ULP.
const ULP_INFO: u16 = 19;
/// Another one: its cgroup ID.
const CGROUP_ID: u16 = 21;

/// An unfinished handshake: an entry in the SYN queue of some listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The address that the client connects to.
    pub(crate) local: SocketAddr,
    /// The index of the interface that its listener is bound to, or 0.
    pub(crate) interface: u32,
}

/// The TCP listeners in this thread's namespace.
pub(crate) fn dump(netns: Netns) -> Result<Vec<SockDiagListener>> {
    dump_with(netns, &ExtensionFlags::SKMEMINFO)
}

/// The same, with a mark on MPTCP listeners, which takes four times as many bytes.
pub(crate) fn dump_with_mptcp(netns: Netns) -> Result<Vec<SockDiagListener>> {
    dump_with(netns, &(ExtensionFlags::SKMEMINFO | ExtensionFlags::INFO))
}

fn dump_with(netns: Netns, extensions: &ExtensionFlags) -> Result<Vec<SockDiagListener>> {
    let mut found = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let question = question(family, StateFlags::LISTEN, extensions.clone());
        ask(&question, |response| found.push(listed(netns, response)))?;
    }
    Ok(found)
}

/// The entries of all SYN queues in this thread's namespace: of IPv4 listeners and, if wanted, of
/// IPv6 ones (with their IPv4 clients).
pub(crate) fn requests(ipv6: bool) -> Result<Vec<Request>> {
    let mut found = Vec::new();
    for family in [AF_INET, AF_INET6] {
        if family == AF_INET || ipv6 {
            let question = question(family, StateFlags::SYN_RECV, ExtensionFlags::SKMEMINFO);
            ask(&question, |response| found.extend(request_of(response)))?;
        }
    }
    Ok(found)
}

/// Sends a request and processes each answer.
fn ask(question: &[u8], mut each: impl FnMut(&InetResponse)) -> Result<()> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).context("opening a netlink socket")?;
    socket.bind_auto().context("binding a netlink socket")?;
    socket.connect(&NetlinkAddr::new(0, 0)).context("connecting a netlink socket")?;
    socket.send(question, 0).context("requesting the list of TCP sockets")?;
    loop {
        let (bytes, _) = socket.recv_from_full().context("reading the list of TCP sockets")?;
        if answers(&bytes, &mut each)?.is_break() {
            return Ok(());
        }
    }
}

/// Processes the answers in one datagram; breaks after the last one.
fn answers(mut rest: &[u8], mut each: impl FnMut(&InetResponse)) -> Result<ControlFlow<()>> {
    while !rest.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
            .map_err(|error| anyhow!("reading the list of TCP sockets: {error}"))?;
        // Messages are padded to four bytes.
        let length = (message.header.length as usize).next_multiple_of(4).min(rest.len());
        rest = &rest[length.max(1)..];
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                each(&response);
            }
            NetlinkPayload::Done(_) => return Ok(ControlFlow::Break(())),
            NetlinkPayload::Error(error) => {
                // The crate's own conversion overflows on the lowest number.
                let number = error.code.map_or(0, |code| code.get().saturating_neg());
                let error = io::Error::from_raw_os_error(number);
                if number == libc::ENOENT {
                    bail!("the kernel has no sock_diag for TCP: load the module tcp_diag");
                }
                return Err(error).context("the kernel refuses to list sockets");
            }
            _ => {}
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Parses the answers in a datagram both as listeners and as requests.
#[cfg(feature = "bench")]
pub(crate) fn read(datagram: &[u8]) -> Result<(Vec<SockDiagListener>, Vec<Request>)> {
    let (mut listeners, mut requests) = (Vec::new(), Vec::new());
    let _ = answers(datagram, |response| {
        listeners.push(listed(1.into(), response));
        requests.extend(request_of(response));
    })?;
    Ok((listeners, requests))
}

/// Builds the request for the TCP sockets of a family in these states.
fn question(family: u8, states: StateFlags, extensions: ExtensionFlags) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let socket_id = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
    let request = InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// A Fast Open child is in the same state, but it is a full socket and in no SYN queue. Only full
/// sockets report memory.
fn request_of(response: &InetResponse) -> Option<Request> {
    let id = &response.header.socket_id;
    let whole = response.nlas.iter().any(|nla| matches!(nla, Nla::MemInfo(_)));
    let local = (plain(id.source_address), id.source_port).into();
    (!whole).then_some(Request { local, interface: id.interface_id })
}

/// A socket attribute that the netlink crate has no name for.
fn attribute(response: &InetResponse, kind: u16) -> Option<Vec<u8>> {
    response.nlas.iter().find_map(|nla| match nla {
        Nla::Other(other) if other.kind() == kind => {
            let mut value = vec![0; other.value_len()];
            other.emit_value(&mut value);
            Some(value)
        }
        _ => None,
    })
}

/// For a socket in LISTEN, the two queue fields are the depth and the limit.
fn listed(netns: Netns, response: &InetResponse) -> SockDiagListener {
    let header = &response.header;
    let id = &header.socket_id;
    let v6_only = response.nlas.iter().find_map(|nla| match nla {
        Nla::SkV6Only(only) => Some(*only),
        _ => None,
    });
    let sk_drops = response.nlas.iter().find_map(|nla| match nla {
        Nla::MemInfo(memory) => Some(memory.drops),
        _ => None,
    });
    SockDiagListener {
        local: (plain(id.source_address), id.source_port).into(),
        netns,
        inode: u64::from(header.inode),
        cookie: u64::from_ne_bytes(id.cookie),
        limit: header.send_queue,
        depth: header.recv_queue,
        v6_only,
        sk_drops,
        uid: header.uid,
        interface: id.interface_id,
        cgroup_id: attribute(response, CGROUP_ID)
            .and_then(|value| Some(u64::from_ne_bytes(value.try_into().ok()?))),
        mptcp: attribute(response, ULP_INFO).is_some_and(|value| names_mptcp(&value)),
    }
}

/// The first attribute in a ULP's information is its name.
fn names_mptcp(value: &[u8]) -> bool {
    value.get(size_of::<libc::nlattr>()..).is_some_and(|name| name.starts_with(b"mptcp\0"))
}

#[cfg(test)]
mod tests {
    use super::{dump, dump_with_mptcp, names_mptcp};
    use socket2::{Domain, Type};
    use std::net::{SocketAddr, TcpListener};

    #[test]
    fn a_listener_of_ours_is_listed() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let listed = match dump(1.into()) {
            Ok(listed) => listed,
            // It fails only on kernels without the module.
            Err(error) => return assert!(format!("{error:#}").contains("tcp_diag"), "{error:#}"),
        };
        let found = listed.iter().find(|listed| listed.local == local).unwrap();
        assert_eq!((found.depth, found.netns, found.sk_drops), (0, 1.into(), Some(0)));
        assert!(found.limit > 0 && found.inode > 0 && found.cookie > 0);
        // SAFETY: takes nothing and cannot fail.
        let user = unsafe { libc::geteuid() };
        assert_eq!((found.uid, found.interface, found.mptcp), (user, 0, false));
        assert!(dump_with_mptcp(1.into()).unwrap().contains(found));
    }

    #[test]
    fn an_mptcp_listener_is_told_from_others() {
        let mptcp = socket2::Protocol::MPTCP;
        let opened = socket2::Socket::new(Domain::IPV4, Type::STREAM, Some(mptcp));
        let Ok(socket) = opened else {
            println!("not tested: this machine's kernel has no MPTCP");
            return;
        };
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        socket.listen(1).unwrap();
        let local = socket.local_addr().unwrap().as_socket().unwrap();
        let all = dump_with_mptcp(1.into()).unwrap();
        assert!(all.iter().any(|listed| listed.local == local && listed.mptcp));
    }

    #[test]
    fn the_name_of_a_ulp_is_an_attribute() {
        assert!(names_mptcp(b"\x0a\0\x01\0mptcp\0\0\0"));
        assert!(!names_mptcp(b"\x08\0\x01\0tls\0"));
        assert!(!names_mptcp(b""));
    }
}
