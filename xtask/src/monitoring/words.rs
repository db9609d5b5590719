//! The placeholders of annotations: each has a template, which Prometheus fills when an alert
//! fires, and a text that a unit test expects.

use super::Params;

/// What stands for a listener. Brackets around an IPv6 address, and words for an unknown process.
const LISTENER: &str = r#"{{ or $labels.process "a listener" }} at {{ reReplaceAll "(.*:.*)" "[$1]" $labels.address }}:{{ $labels.port }} on {{ $labels.instance }}"#;

/// Placeholders of the alert's value.
const VALUES: [(&str, &str); 3] = [
    ("{value}", "{{ $value | humanize }}"),
    ("{percent}", "{{ $value | humanizePercentage }}"),
    ("{duration}", "{{ $value | humanizeDuration }}"),
];

/// Placeholders of labels.
const LABELS: [&str; 4] = ["instance", "netns", "counter", "how"];

/// The annotation as Prometheus reads it.
pub(super) fn template(text: &str, params: &Params) -> String {
    let mut text = parameters(text, params).replace("{listener}", LISTENER);
    for (placeholder, template) in VALUES {
        text = text.replace(placeholder, template);
    }
    for label in LABELS {
        text = text.replace(&format!("{{{label}}}"), &format!("{{{{ $labels.{label} }}}}"));
    }
    text
}

/// The annotation of an alert with these labels and this value.
pub(super) fn expected(
    text: &str,
    label: impl Fn(&str) -> String,
    value: &str,
    params: &Params,
) -> String {
    let address = label("address");
    let address = if address.contains(':') { format!("[{address}]") } else { address };
    let process = match label("process") {
        process if process.is_empty() => "a listener".to_owned(),
        process => process,
    };
    let listener = format!("{process} at {address}:{} on {}", label("port"), label("instance"));
    let mut text = parameters(text, params).replace("{listener}", &listener);
    for (placeholder, _) in VALUES {
        text = text.replace(placeholder, value);
    }
    for name in LABELS {
        text = text.replace(&format!("{{{name}}}"), &label(name));
    }
    text
}

/// Durations and the client timeout, which stand in expressions too.
pub(super) fn parameters(text: &str, params: &Params) -> String {
    params.scale.fill(&text.replace("{timeout}", params.timeout_bound))
}

/// The annotation with words for its placeholders, for people.
pub(super) fn plain(text: &str, params: &Params) -> String {
    let mut text = parameters(text, params).replace("{listener}", "LISTENER");
    for (placeholder, _) in VALUES {
        text = text.replace(placeholder, if placeholder == "{percent}" { "N %" } else { "N" });
    }
    for label in LABELS {
        text = text.replace(&format!("{{{label}}}"), &label.to_uppercase());
    }
    text
}
