//! A tun device: packets written to it arrive in the kernel as if from a network, and packets that
//! the kernel sends there can be read. Removed when dropped.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::client::{NET_V4, NET_V6};
use crate::clock::wait_until;
use crate::{interface, socket};

const DEVICE: &str = "/dev/net/tun";
const NAME: &str = "backlog0";
/// The addresses in the calling thread's namespace; the flags are in column five.
const IPV6_ADDRESSES: &str = "/proc/thread-self/net/if_inet6";
/// From the kernel's `if_addr.h`.
const IFA_F_TENTATIVE: u32 = 0x40;
/// The largest packet: more than the default MTU of a tun device.
const LARGEST: usize = 2048;

/// An open device, which is up and has the server's addresses.
#[derive(Debug)]
pub(crate) struct Tun(File);

impl Tun {
    /// Creates one in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self> {
        make_node()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(DEVICE)
            .with_context(|| format!("cannot open {DEVICE} (is the module tun loaded?)"))?;
        let mut request = interface::request(NAME)?;
        let flags = libc::IFF_TUN | libc::IFF_NO_PI;
        request.ifr_ifru.ifru_flags = flags.try_into().context("flags of TUNSETIFF")?;
        interface::ioctl(&file, libc::TUNSETIFF, &mut request)
            .with_context(|| format!("cannot make the interface {NAME}"))?;
        let (address, mask) = NET_V4;
        interface::set_ipv4(NAME, address, mask)?;
        interface::set_up(NAME)?;
        // After "up", which would remove the address again. If IPv6 is missing, only those who need
        // it fail, when they bind.
        let (address, prefix) = NET_V6;
        if Path::new(IPV6_ADDRESSES).exists() {
            interface::add_ipv6(NAME, address, prefix)?;
            await_usable()?;
        }
        Ok(Self(file))
    }

    /// Makes a packet arrive.
    pub(super) fn send(&mut self, packet: &[u8]) -> Result<()> {
        let sent = self.0.write(packet).context("cannot write to the tun")?;
        if sent != packet.len() {
            bail!("the tun took {sent} of {} bytes", packet.len());
        }
        Ok(())
    }

    /// The next packet that the kernel sends, waiting at most `limit`.
    pub(crate) fn receive(&mut self, limit: Duration) -> Result<Option<Vec<u8>>> {
        if !socket::readable(&self.0, limit).context("poll")? {
            return Ok(None);
        }
        let mut packet = vec![0; LARGEST];
        match self.0.read(&mut packet) {
            Ok(length) => {
                packet.truncate(length);
                Ok(Some(packet))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).context("cannot read from the tun"),
        }
    }
}

/// An IPv6 address is "tentative" until a work queue has processed it, even without neighbours, and
/// cannot be bound before that.
fn await_usable() -> Result<()> {
    wait_until("the IPv6 address to be usable", Duration::from_secs(5), || {
        let all = std::fs::read_to_string(IPV6_ADDRESSES)?;
        let ours = all.lines().filter(|line| line.ends_with(NAME));
        let flags = ours.filter_map(|line| line.split_whitespace().nth(4));
        Ok(flags
            .filter_map(|hex| u32::from_str_radix(hex, 16).ok())
            .all(|flags| flags & IFA_F_TENTATIVE == 0))
    })
}

/// Creates the device node of the driver, which a guest without udev lacks.
fn make_node() -> Result<()> {
    let path = Path::new(DEVICE);
    if path.exists() {
        return Ok(());
    }
    std::fs::create_dir_all("/dev/net").context("cannot create /dev/net")?;
    let name = CString::new(DEVICE).context("a path with a zero byte")?;
    // SAFETY: `name` is a C string that outlives the call.
    let done = unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(10, 200)) };
    if done != 0 && !path.exists() {
        return Err(std::io::Error::last_os_error())
            .with_context(|| format!("cannot create the node {DEVICE}"));
    }
    Ok(())
}
