//! What the causes of drops mean, in a few words for people who see them for the first time.
//! docs/CAUSES.md says how each is known.

use backlog_ebpf::cause::Cause;

/// What was refused, and why.
pub(crate) fn of_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::AcceptQueueFullSyn => "a SYN: the accept queue was full, so the client tries again",
        Cause::AcceptQueueFullAck => {
            "the last ACK of a handshake: the accept queue was full, so the client believes that it \
             is connected until it hears otherwise"
        }
        Cause::AcceptQueueFullCookie => {
            "the last ACK of a SYN-cookie handshake: the accept queue was full; the client believes \
             that it is connected, and nothing on the server remembers it"
        }
        Cause::AcceptQueueFullReset => {
            "the last ACK of a handshake: the accept queue was full, and the client was reset \
             (tcp_abort_on_overflow)"
        }
        Cause::SynQueueFull => "a SYN: the SYN queue was full, and SYN cookies are off",
        Cause::LastQuarter => {
            "a SYN of an unknown client: the last quarter of tcp_max_syn_backlog is kept for known \
             ones, and SYN cookies are off"
        }
        Cause::NoChild => "a last ACK: no memory or no route for the connection",
        Cause::ListenerLeft => "a last ACK: the listener was closing",
        Cause::Other => "a SYN: no memory, no route to the client, a security module, or TCP-AO",
    }
}
