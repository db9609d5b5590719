//! The placeholders of annotations. Each has a template, which Prometheus fills in when an alert
//! fires, and a text that a unit test expects.

use super::Params;

/// The template for a listener, with brackets around an IPv6 address, and a substitute for an
/// unknown process.
const LISTENER: &str = r#"{{ or $labels.process "a listener" }} at {{ reReplaceAll "(.*:.*)" "[$1]" $labels.address }}:{{ $labels.port }} on {{ $labels.instance }}"#;

/// The placeholders for the value of the alert.
const VALUES: [(&str, &str); 3] = [
    ("{value}", "{{ $value | humanize }}"),
    ("{percent}", "{{ $value | humanizePercentage }}"),
    ("{duration}", "{{ $value | humanizeDuration }}"),
];

/// The placeholders for labels.
const LABELS: [&str; 4] = ["instance", "netns", "counter", "how"];

/// The annotation with templates for Prometheus.
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

/// The expected annotation of an alert with these labels and this value.
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

/// Replaces durations and the client timeout, which also appear in expressions.
pub(super) fn parameters(text: &str, params: &Params) -> String {
    params.scale.fill(&text.replace("{timeout}", params.timeout_bound))
}

/// The annotation in plain words, for documentation.
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
