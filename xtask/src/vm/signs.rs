//! Parses what the guest reports: the lines on the status port, and signs of a crashed kernel on
//! the console. Pure.

/// A line of init.sh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The command is about to run.
    Started,
    /// The command ended.
    Ended {
        status: u8,
        /// The number of bytes sent through the stdout and stderr ports, if the kernel reports it.
        sent: [Option<u64>; 2],
    },
}

impl Report {
    /// Parses a line; None if it is not from init.sh.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim_end_matches(['\r', '\n']).split(' ');
        match words.next()? {
            "started" => words.next().is_none().then_some(Self::Started),
            "status" => Some(Self::Ended {
                status: words.next()?.parse().ok()?,
                sent: [(); 2].map(|()| words.next().and_then(|word| word.parse().ok())),
            }),
            _ => None,
        }
    }
}

/// Does this console line show a crash, so that no test result can be trusted?
pub(crate) fn is_crash(line: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "Kernel panic",
        "BUG:",
        "Oops",
        "kernel BUG at",
        "soft lockup",
        "general protection fault",
        "int3: 0000",
    ];
    SIGNS.iter().any(|sign| line.contains(sign))
        || (line.contains("rcu: INFO: rcu_") && line.contains("detected") && line.contains("stall"))
}

/// Is QEMU the cause of this crash? Linux patches its code by means of int3. QEMU 7.2 with a thread
/// per CPU may execute such an int3 from an outdated translation (seen once in some 60 boots).
pub(crate) fn is_emulators_fault(line: &str) -> bool {
    line.contains("int3: 0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(Report::parse("started\n"), Some(Report::Started));
        let ended = |status, sent| Some(Report::Ended { status, sent });
        assert_eq!(Report::parse("status 7 12 5\n"), ended(7, [Some(12), Some(5)]));
        assert_eq!(Report::parse("status 137  5\r\n"), ended(137, [None, Some(5)]));
        assert_eq!(Report::parse("status 0\n"), ended(0, [None, None]));
        for wrong in ["", "status", "status x 1 2", "status 256 1 2", "started up", "noise"] {
            assert_eq!(Report::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn crash_signs() {
        for line in [
            "[    5.1] Kernel panic - not syncing: sysrq triggered crash",
            "[    5.1] BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "[    5.1] Oops: 0002 [#1] SMP PTI",
            "[   26.0] rcu: INFO: rcu_sched self-detected stall on CPU",
            "[   26.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "[   26.0] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [sh:99]",
        ] {
            assert!(is_crash(line), "{line}");
        }
        for line in [
            "[    0.1] rcu: Hierarchical RCU implementation.",
            "[    0.1] Kernel command line: console=ttyS0 oops=panic panic=-1",
            "[    0.1] BERT: [Hardware Error]: Skipped",
            "[    0.3] rcu: INFO: rcu_sched started",
        ] {
            assert!(!is_crash(line), "{line}");
        }
    }
}
