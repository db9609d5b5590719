//! Which sockets listen now, with the depth and limit of their queues: what
//! `ss -ltn` asks the kernel (`sock_diag`), in every network namespace.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

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

/// The listeners that were found, and the namespaces that could not be asked.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) listed: Vec<Listed>,
    pub(crate) failures: Vec<String>,
}

/// The inode number of the network namespace of this thread.
pub(crate) fn own_namespace() -> Option<u32> {
    inode(Path::new("/proc/thread-self/ns/net"))
}

/// Asks every network namespace that some process lives in.
pub(crate) fn everywhere() -> Listing {
    let mut listing = Listing::default();
    for (netns, path) in namespaces(Path::new("/proc")) {
        match inside(&path, move || dump(netns)) {
            Ok(listed) => listing.listed.extend(listed),
            Err(error) => listing
                .failures
                .push(format!("listeners of network namespace {netns} are not listed: {error:#}")),
        }
    }
    listing
}

/// The network namespaces of all processes by inode number, each with a path to
/// enter it by; this process's own comes by the path that always works.
fn namespaces(proc_root: &Path) -> BTreeMap<u32, PathBuf> {
    let mut found = BTreeMap::new();
    let own = proc_root.join("thread-self/ns/net");
    if let Some(inode) = inode(&own) {
        found.insert(inode, own);
    }
    for entry in fs::read_dir(proc_root).into_iter().flatten().flatten() {
        let is_process =
            entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
        if is_process {
            let path = entry.path().join("ns/net");
            if let Some(inode) = inode(&path) {
                found.entry(inode).or_insert(path);
            }
        }
    }
    found
}

fn inode(path: &Path) -> Option<u32> {
    u32::try_from(fs::metadata(path).ok()?.ino()).ok()
}

/// Runs something in another network namespace. A thread of its own enters it
/// and ends there, so that no other thread is moved.
fn inside<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let own = path.ends_with("thread-self/ns/net");
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let thread = thread::spawn(move || {
        // SAFETY: the descriptor is open; the call changes this thread only.
        if !own && unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error()).context("entering it");
        }
        work()
    });
    thread.join().map_err(|_| anyhow!("the thread that asked it died"))?
}

/// The TCP listeners of this thread's namespace.
fn dump(netns: u32) -> Result<Vec<Listed>> {
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
        extensions: ExtensionFlags::empty(),
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
    Listed {
        local: (plain(id.source_address), id.source_port).into(),
        netns,
        inode: u64::from(header.inode),
        cookie: u64::from_ne_bytes(id.cookie),
        limit: header.send_queue,
        depth: header.recv_queue,
        v6_only,
    }
}

#[cfg(test)]
mod tests {
    use super::everywhere;
    use std::net::TcpListener;

    #[test]
    fn a_listener_of_ours_is_listed() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let listing = everywhere();
        let Some(found) = listing.listed.iter().find(|listed| listed.local == local) else {
            // Only where the kernel lacks the module can it be missing.
            assert!(listing.failures.iter().any(|failure| failure.contains("tcp_diag")));
            return;
        };
        assert_eq!(found.depth, 0);
        assert!(found.limit > 0 && found.inode > 0 && found.cookie > 0);
    }
}
