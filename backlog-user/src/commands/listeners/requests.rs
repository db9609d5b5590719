//! Assigns pending handshakes to the SYN queues of listeners. The kernel reports only the
//! destination of a handshake, so the assignment is certain only if a single listener matches.
//! Pure.

use std::collections::HashMap;

use backlog_core::aggregate::registry::SockDiagListener;

use crate::host::sock_diag::Request;

/// The lengths of SYN queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// The length for each listener; None if a handshake may belong to it or to another one.
    pub(crate) of: Vec<Option<u32>>,
    /// Handshakes that match no listener, or more than one.
    pub(crate) unassigned: u32,
}

/// Counts them. `listed` must be all listeners of the namespace.
pub(crate) fn assign(listed: &[SockDiagListener], requests: &[Request]) -> Lengths {
    let mut by_port: HashMap<u16, Vec<usize>> = HashMap::new();
    for (index, listed) in listed.iter().enumerate() {
        by_port.entry(listed.local.port()).or_default().push(index);
    }
    let mut lengths = Lengths { of: vec![Some(0); listed.len()], unassigned: 0 };
    for request in requests {
        let of_port = by_port.get(&request.local.port()).into_iter().flatten().copied();
        let takers: Vec<usize> = of_port.filter(|index| takes(&listed[*index], request)).collect();
        if let [only] = takers.as_slice() {
            lengths.of[*only] = lengths.of[*only].map(|length| length + 1);
            continue;
        }
        lengths.unassigned += 1;
        for index in takers {
            lengths.of[index] = None;
        }
    }
    lengths
}

/// Could this handshake belong to this listener? The kernel chose the best match at the time, but a
/// better one may have been opened since.
fn takes(listed: &SockDiagListener, request: &Request) -> bool {
    let (bound, wanted) = (listed.local.ip(), request.local.ip());
    let address = if bound.is_unspecified() {
        bound.is_ipv4() == wanted.is_ipv4() || bound.is_ipv6() && listed.v6_only != Some(true)
    } else {
        bound == wanted
    };
    let interface = listed.interface == 0 || listed.interface == request.interface;
    address && interface
}

#[cfg(test)]
mod tests {
    use super::assign;
    use crate::commands::listeners::tests::listed;
    use crate::host::sock_diag::Request;

    fn requests<const N: usize>(locals: [&str; N]) -> [Request; N] {
        locals.map(|local| Request { local: local.parse().unwrap(), interface: 0 })
    }

    #[test]
    fn one_listener_of_a_port_has_all_of_it() {
        let all = [listed("0.0.0.0:80"), listed("10.0.0.1:81"), listed("[::1]:80")];
        let lengths = assign(&all, &requests(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81"]));
        assert_eq!((lengths.of, lengths.unassigned), (vec![Some(2), Some(1), Some(0)], 0));
    }

    #[test]
    fn where_two_could_have_it_neither_is_said_to() {
        let all = [listed("0.0.0.0:80"), listed("10.0.0.1:80"), listed("0.0.0.0:81")];
        let mine = assign(&all, &requests(["10.0.0.2:80"]));
        assert_eq!((mine.of, mine.unassigned), (vec![Some(1), Some(0), Some(0)], 0));
        let either = assign(&all, &requests(["10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80"]));
        assert_eq!((either.of, either.unassigned), (vec![None, None, Some(0)], 1));
        let members = [listed("0.0.0.0:80"), listed("0.0.0.0:80")];
        assert_eq!(assign(&members, &requests(["10.0.0.2:80"])).of, [None, None]);
        assert_eq!(assign(&members, &[]).of, [Some(0), Some(0)]);
    }

    #[test]
    fn a_dual_stack_listener_takes_both_families() {
        let mut dual = listed("[::]:80");
        let both = requests(["10.0.0.1:80", "[fd00::1]:80"]);
        assert_eq!(assign(&[dual.clone()], &both).of, [Some(2)]);
        dual.v6_only = Some(true);
        let lengths = assign(&[dual], &both);
        assert_eq!((lengths.of, lengths.unassigned), (vec![Some(1)], 1));
    }

    #[test]
    fn a_listener_of_an_interface_takes_that_one_s() {
        let mut bound = listed("0.0.0.0:80");
        bound.interface = 3;
        let mut both = requests(["10.0.0.1:80", "10.0.0.1:80"]);
        both[0].interface = 3;
        let lengths = assign(&[bound], &both);
        assert_eq!((lengths.of, lengths.unassigned), (vec![Some(1)], 1));
    }
}
