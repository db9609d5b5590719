//! Configures network interfaces by ioctl: brings them up and sets addresses. A test guest has no
//! `ip` program, and netlink would take more code than these four calls.

use std::ffi::c_void;
use std::io::Error;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};

/// Brings an interface up.
///
/// # Errors
/// When there is no such interface, or we may not change it.
pub fn set_up(name: &str) -> Result<()> {
    change_flags(name, |flags| flags | UP).with_context(|| format!("cannot bring {name} up"))
}

/// Takes an interface down: from then on no packet arrives by it.
///
/// # Errors
/// As for [`set_up`].
pub fn set_down(name: &str) -> Result<()> {
    change_flags(name, |flags| flags & !UP).with_context(|| format!("cannot take {name} down"))
}

fn change_flags(name: &str, change: impl Fn(libc::c_short) -> libc::c_short) -> Result<()> {
    let control = control(Domain::IPV4)?;
    let mut request = request(name)?;
    ioctl(&control, libc::SIOCGIFFLAGS, &mut request)
        .with_context(|| format!("cannot read the flags of {name}"))?;
    // SAFETY: SIOCGIFFLAGS has just filled this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = change(flags);
    Ok(ioctl(&control, libc::SIOCSIFFLAGS, &mut request)?)
}

/// Gives an interface an IPv4 address and a netmask.
///
/// # Errors
/// When the kernel refuses.
pub fn set_ipv4(name: &str, address: Ipv4Addr, mask: Ipv4Addr) -> Result<()> {
    let control = control(Domain::IPV4)?;
    for (call, value) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, mask)] {
        let mut request = request(name)?;
        request.ifr_ifru.ifru_addr = sockaddr(value);
        ioctl(&control, call, &mut request)
            .with_context(|| format!("cannot give {name} the address {value}"))?;
    }
    Ok(())
}

/// Gives an interface an IPv6 address.
///
/// # Errors
/// When the kernel refuses.
pub fn add_ipv6(name: &str, address: Ipv6Addr, prefix: u32) -> Result<()> {
    let control = control(Domain::IPV6)?;
    let mut request = request(name)?;
    ioctl(&control, libc::SIOCGIFINDEX, &mut request)
        .with_context(|| format!("no interface {name}"))?;
    let mut wanted = libc::in6_ifreq {
        ifr6_addr: libc::in6_addr { s6_addr: address.octets() },
        ifr6_prefixlen: prefix,
        // SAFETY: SIOCGIFINDEX has just filled this member of the union.
        ifr6_ifindex: unsafe { request.ifr_ifru.ifru_ifindex },
    };
    ioctl(&control, libc::SIOCSIFADDR, &mut wanted)
        .with_context(|| format!("cannot give {name} the address {address}"))
}

/// An `ifreq` for the named interface; the rest is zero.
pub(crate) fn request(name: &str) -> Result<libc::ifreq> {
    // SAFETY: ifreq is integers and byte arrays: all zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: the kernel reads a C string.
    if name.len() >= request.ifr_name.len() {
        bail!("interface name {name:?} is too long");
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

/// Calls an ioctl with a structure, which must be the one that `call` uses.
pub(crate) fn ioctl<T>(
    file: &impl AsRawFd,
    call: impl TryInto<libc::Ioctl>,
    argument: &mut T,
) -> std::io::Result<()> {
    let fd: RawFd = file.as_raw_fd();
    let call = call.try_into().map_err(|_| Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: `argument` is a live structure of the type that `call` reads
    // and writes, as every caller in this crate sees to.
    match unsafe { libc::ioctl(fd, call, std::ptr::from_mut(argument).cast::<c_void>()) } {
        -1 => Err(Error::last_os_error()),
        _ => Ok(()),
    }
}

/// `IFF_UP` in the width of the flags (1 fits any).
#[expect(clippy::cast_possible_truncation, reason = "IFF_UP is 1; TryFrom is not const")]
const UP: libc::c_short = libc::IFF_UP as libc::c_short;

fn control(domain: Domain) -> Result<Socket> {
    Socket::new(domain, Type::DGRAM, None).context("cannot open a control socket")
}

fn sockaddr(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: sockaddr is integers and a byte array: all zero is valid.
    let mut plain: libc::sockaddr = unsafe { std::mem::zeroed() };
    plain.sa_family = libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default();
    // sockaddr_in: two bytes of port, then the address.
    for (to, from) in plain.sa_data[2..].iter_mut().zip(address.octets()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    plain
}
