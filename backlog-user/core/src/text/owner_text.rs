//! The owner of a listener and its requested backlog, as text.

use std::fmt::Write as _;

pub use super::outside::safe;
use crate::event::{Call, Listener};
use crate::owner::{Container, Owner};

/// A string from outside as a CSV field that a spreadsheet does not take for a formula.
pub fn outside(value: Option<&String>) -> String {
    let text = value.map_or_else(String::new, |value| safe(value));
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

/// `nginx[812] +3`: the main process, and the number of other processes that hold the socket.
#[must_use]
pub fn process(listener: &Listener) -> Option<String> {
    let process = listener.process()?;
    let mut text = safe(&process.to_string());
    let others =
        listener.identity.owner.as_ref().map_or(0, |owner| owner.processes.saturating_sub(1));
    if others > 0 {
        let _ = write!(text, " +{others}");
    }
    Some(text)
}

/// Like [`process`], as one ASCII word for a column: `nginx[812]+3`, or `-` if unknown.
#[must_use]
pub fn process_word(listener: &Listener) -> String {
    let Some(text) = process(listener) else { return "-".to_owned() };
    let words = text.replace(" +", "+");
    words.chars().map(|char| if char.is_ascii_graphic() { char } else { '?' }).collect()
}

/// User, unit and container, as far as known.
pub fn home(owner: &Owner) -> Vec<String> {
    let main = &owner.main;
    let user = main.user.as_deref().map_or_else(|| format!("uid {}", main.uid), safe);
    let mut words = vec![user];
    words.extend(owner.unit.as_deref().map(safe));
    if let Some(Container { runtime, id, pod }) = &owner.container {
        // A long hexadecimal id is recognised by its first digits; a name stays whole.
        let is_number = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let short = if is_number { id.get(..12).unwrap_or(id) } else { id };
        let runtime = safe(runtime.as_deref().unwrap_or("container"));
        let mut text = format!("{runtime} {}", safe(short));
        if let Some(pod) = pod {
            let _ = write!(text, " of pod {}", safe(pod));
        }
        words.push(text);
    }
    words
}

/// `gunicorn[812] requested 2048, net.core.somaxconn=128 grants 128`, if less was granted.
#[must_use]
pub fn cut(call: &Call, granted: u32) -> Option<String> {
    let asked = call.asked.filter(|_| call.is_cut(granted))?;
    let who = call
        .caller
        .as_ref()
        .map_or_else(|| "a process".to_owned(), |caller| safe(&caller.to_string()));
    let asked = if asked < 0 { format!("{asked} (the maximum)") } else { asked.to_string() };
    Some(format!("{who} requested {asked}, net.core.somaxconn={granted} grants {granted}"))
}

#[cfg(test)]
mod tests {
    use super::cut;
    use crate::event::{Call, Caller};

    fn call(asked: i32) -> Call {
        let caller = Some(Caller { pid: 812, comm: "gunicorn".into() });
        Call { asked: Some(asked), somaxconn: Some(128), caller }
    }

    #[test]
    fn what_was_cut_is_told_with_both_numbers() {
        assert_eq!(
            cut(&call(2048), 128).unwrap(),
            "gunicorn[812] requested 2048, net.core.somaxconn=128 grants 128"
        );
        assert!(cut(&call(-1), 128).unwrap().contains("-1 (the maximum)"));
        assert_eq!(cut(&call(128), 128), None);
        assert_eq!(cut(&Call { asked: None, ..call(0) }, 128), None);
    }
}
