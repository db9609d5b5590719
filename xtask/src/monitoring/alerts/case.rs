//! The cases of unit tests: series, and the alerts that they should fire.

/// The labels of a series or alert in addition to `job` and `instance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::monitoring) enum Subject {
    /// nginx at 0.0.0.0:80.
    Web,
    /// gunicorn at [::]:8000.
    Api,
    /// The same service on a second host.
    ApiElsewhere,
    /// That service on all its hosts.
    ApiService,
    /// A listener whose process is unknown.
    Nameless,
    /// The sum of the listeners beyond the series limit.
    Other,
    /// The host as a whole.
    Host,
    /// A second host.
    SecondHost,
}

impl Subject {
    /// The labels, sorted by name.
    pub(in crate::monitoring) const fn labels(self) -> &'static [(&'static str, &'static str)] {
        const JOB: (&str, &str) = ("job", "backlog-trace");
        const NODE: (&str, &str) = ("instance", "node1:9469");
        const HERE: (&str, &str) = ("netns", "host");
        match self {
            Self::Web => {
                &[("address", "0.0.0.0"), NODE, JOB, HERE, ("port", "80"), ("process", "nginx")]
            }
            Self::Api => {
                &[("address", "::"), NODE, JOB, HERE, ("port", "8000"), ("process", "gunicorn")]
            }
            Self::ApiElsewhere => &[
                ("address", "10.0.0.2"),
                ("instance", "node2:9469"),
                JOB,
                HERE,
                ("port", "8000"),
                ("process", "gunicorn"),
            ],
            Self::ApiService => &[JOB, ("port", "8000"), ("process", "gunicorn")],
            Self::Nameless => {
                &[("address", "10.0.0.1"), NODE, JOB, HERE, ("port", "7"), ("process", "")]
            }
            Self::Other => &[
                ("address", "other"),
                NODE,
                JOB,
                ("netns", "other"),
                ("port", "other"),
                ("process", "other"),
            ],
            Self::Host => &[NODE, JOB],
            Self::SecondHost => &[("instance", "node2:9469"), JOB],
        }
    }
}

/// A series in the notation of promtool.
pub(in crate::monitoring) struct Series {
    pub(in crate::monitoring) metric: &'static str,
    pub(in crate::monitoring) subject: Subject,
    /// Further labels, as in a query.
    pub(in crate::monitoring) more: &'static [(&'static str, &'static str)],
    pub(in crate::monitoring) values: &'static str,
}

/// A firing alert, with its value as the summary shows it.
pub(in crate::monitoring) struct Fired {
    pub(in crate::monitoring) subject: Subject,
    pub(in crate::monitoring) more: &'static [(&'static str, &'static str)],
    pub(in crate::monitoring) value: &'static str,
}

/// The alerts that fire at a time; empty for none.
pub(in crate::monitoring) struct At {
    pub(in crate::monitoring) time: &'static str,
    pub(in crate::monitoring) fires: &'static [Fired],
}

/// A test case.
pub(in crate::monitoring) struct Case {
    pub(in crate::monitoring) name: &'static str,
    pub(in crate::monitoring) interval: &'static str,
    pub(in crate::monitoring) input: &'static [Series],
    pub(in crate::monitoring) expect: &'static [At],
}

/// A series without further labels.
pub(in crate::monitoring) const fn series(
    subject: Subject,
    metric: &'static str,
    values: &'static str,
) -> Series {
    Series { metric, subject, more: &[], values }
}

/// A series with further labels.
pub(in crate::monitoring) const fn series_of(
    subject: Subject,
    metric: &'static str,
    more: &'static [(&'static str, &'static str)],
    values: &'static str,
) -> Series {
    Series { metric, subject, more, values }
}

/// An alert without further labels.
pub(super) const fn fires(subject: Subject, value: &'static str) -> Fired {
    Fired { subject, more: &[], value }
}

/// The alerts that fire at a time.
pub(super) const fn at(time: &'static str, fires: &'static [Fired]) -> At {
    At { time, fires }
}
