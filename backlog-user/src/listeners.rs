//! Which sockets of a network namespace listen now, with the depth and limit of their
//! queues: what `ss -ltnm` asks the kernel (`sock_diag`).

use anyhow::{Context as _, Result, anyhow, bail};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};

use crate::event::plain;
use crate::registry::Listed;

/// The TCP listeners of this thread's namespace.
pub(crate) fn dump(netns: u32) -> Result<Vec<Listed>> {
    let mut found = Vec::new();
    for family in [AF_INET, AF_INET6] {
        dump_family(netns, family, &mut found)?;
    }
    Ok(found)
}

fn dump_family(netns: u32, family: u8, found: &mut Vec<Listed>) -> Result<()> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).context("opening a netlink socket")?;
    socket.bind_auto().context("binding a netlink socket")?;
    socket.connect(&NetlinkAddr::new(0, 0)).context("connecting a netlink socket")?;
    socket.send(&request(family), 0).context("asking for the listening sockets")?;
    loop {
        let (bytes, _) = socket.recv_from_full().context("reading the listening sockets")?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| anyhow!("reading the listening sockets: {error}"))?;
            // Messages are padded to four bytes.
            let length = (message.header.length as usize).next_multiple_of(4).min(rest.len());
            rest = &rest[length.max(1)..];
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    found.push(listed(netns, &response));
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => {
                    let error = error.to_io();
                    if error.raw_os_error() == Some(libc::ENOENT) {
                        bail!("the kernel has no sock_diag for TCP: load the module tcp_diag");
                    }
                    return Err(error).context("the kernel refuses to list sockets");
                }
                _ => {}
            }
        }
    }
}

fn request(family: u8) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let socket_id = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::SKMEMINFO,
        states: StateFlags::LISTEN,
        socket_id,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// For a socket in LISTEN the two queue fields are depth and limit.
fn listed(netns: u32, response: &InetResponse) -> Listed {
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
    Listed {
        local: (plain(id.source_address), id.source_port).into(),
        netns,
        inode: u64::from(header.inode),
        cookie: u64::from_ne_bytes(id.cookie),
        limit: header.send_queue,
        depth: header.recv_queue,
        v6_only,
        sk_drops,
        cgroup: None,
    }
}

#[cfg(test)]
mod tests {
    use super::dump;
    use std::net::TcpListener;

    #[test]
    fn a_listener_of_ours_is_listed() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let listed = match dump(1) {
            Ok(listed) => listed,
            // Only where the kernel lacks the module can it fail.
            Err(error) => return assert!(format!("{error:#}").contains("tcp_diag"), "{error:#}"),
        };
        let found = listed.iter().find(|listed| listed.local == local).unwrap();
        assert_eq!((found.depth, found.netns, found.sk_drops), (0, 1, Some(0)));
        assert!(found.limit > 0 && found.inode > 0 && found.cookie > 0);
    }
}
