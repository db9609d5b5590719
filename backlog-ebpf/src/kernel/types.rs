//! Types for the kernel's pointers, so that a request cannot be passed as a socket. Nothing here
//! dereferences them: `read` does, at offsets that the loader found in the running kernel's BTF.

/// `struct sock`, and what begins with it: `inet_connection_sock`, `tcp_sock`, `mptcp_sock`.
pub(crate) enum Sock {}
/// `struct request_sock`, and what begins with it: `inet_request_sock`, `tcp_request_sock`.
pub(crate) enum Request {}
/// `struct sk_buff`.
pub(crate) enum SkBuff {}
/// `struct socket`.
pub(crate) enum Socket {}
/// `struct net`.
pub(crate) enum Net {}
/// `struct timer_list`.
pub(crate) enum Timer {}
/// `struct task_struct`.
pub(crate) enum Task {}
/// `struct pt_regs`.
pub(crate) enum Regs {}
/// `struct file`.
pub(crate) enum File {}
/// `struct io_kiocb`.
pub(crate) enum UringRequest {}
/// `struct io_uring_cqe`.
pub(crate) enum UringCompletion {}
/// `struct cgroup`.
pub(crate) enum Cgroup {}
/// `struct kernfs_node`.
pub(crate) enum Node {}

/// `TCP_ESTABLISHED` of `include/net/tcp_states.h`.
pub(crate) const TCP_ESTABLISHED: u8 = 1;
/// `TCP_SYN_RECV` of the same.
pub(crate) const TCP_SYN_RECV: u8 = 3;
/// `TCP_CLOSE` of the same.
pub(crate) const TCP_CLOSE: u8 = 7;

/// `TCP_CLOSE_WAIT` of the same.
pub(crate) const TCP_CLOSE_WAIT: u8 = 8;
/// `TCP_LISTEN` of the same.
pub(crate) const TCP_LISTEN: u8 = 10;
/// `TCP_NEW_SYN_RECV` of the same: a request, not yet a socket.
pub(crate) const TCP_NEW_SYN_RECV: u8 = 12;
/// `IPPROTO_ICMP` of `include/uapi/linux/in.h`.
pub(crate) const IPPROTO_ICMP: u16 = 1;
/// `IPPROTO_ICMPV6` of `include/uapi/linux/in6.h`.
pub(crate) const IPPROTO_ICMPV6: u16 = 58;
/// `IPPROTO_TCP` of `include/uapi/linux/in.h`.
pub(crate) const IPPROTO_TCP: u16 = 6;
/// `IPPROTO_MPTCP` of `include/uapi/linux/in.h`.
pub(crate) const IPPROTO_MPTCP: u16 = 262;
/// `ETH_P_IP` as it stands in `skb->protocol`, big-endian.
pub(crate) const ETH_P_IP_BE: u16 = 0x0800_u16.to_be();
/// The bit of FIN in the byte of TCP flags.
pub(crate) const TCP_FIN: u32 = 0x01;
/// The bit of SYN in the byte of TCP flags.
pub(crate) const TCP_SYN: u32 = 0x02;
/// The bit of ACK in the byte of TCP flags.
pub(crate) const TCP_ACK: u32 = 0x10;
