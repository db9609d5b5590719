//! Strings from outside: names, command lines, paths, texts of a recording. Anyone may have chosen
//! them, so none of their characters may control a terminal or change how the text next to it
//! reads.
//!
//! Outputs keep these strings unchanged, and JSON prints them whole. They are made harmless where
//! text leaves the program, once per exit: `output/wrap.rs` (table and summary),
//! `output/text_block.rs` (`listeners`, `doctor`), `output/csv.rs`, `output/json/values.rs`,
//! `output/report/page.rs`, `output/tui/draw.rs` and `notice.rs`. A new output writes through one
//! of these, so it cannot forget. Only line breaks must be replaced earlier, by [`safe`]: at the
//! exit they cannot be distinguished from the tool's own.

use std::borrow::Cow;

/// Whether a terminal or a browser obeys or hides the character instead of showing it: controls
/// (C0, DEL, C1), line and paragraph separators, and characters without width, such as direction
/// marks, joiners, fillers, tags, and variation selectors.
#[must_use]
pub fn is_active(char: char) -> bool {
    if matches!(char, ' '..='~') {
        return false;
    }
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{70f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
            | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A string from outside as part of a line: active characters and line breaks become `?`.
#[must_use]
pub fn safe(text: &str) -> String {
    text.chars().map(|char| if is_active(char) { '?' } else { char }).collect()
}

/// Like [`safe`], for text that is about to leave the program: line breaks stay.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    let acts = |char| char != '\n' && is_active(char);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|char| if acts(char) { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::{harmless, is_active, safe};

    #[test]
    fn a_name_moves_no_cursor() {
        assert_eq!(safe("a\u{1b}[2Jb\nc"), "a?[2Jb?c");
        assert_eq!(safe("cod\u{202e}exe"), "cod?exe");
        assert_eq!(harmless("a\tb\nc\u{9b}2J\u{2028}"), "a?b\nc?2J?");
        assert!(matches!(harmless("a\nb"), std::borrow::Cow::Borrowed("a\nb")));
    }

    #[test]
    fn each_kind_is_active_and_letters_are_not() {
        for range in [
            '\0'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{202a}'..='\u{202e}',
            '\u{2066}'..='\u{2069}',
            '\u{200b}'..='\u{200f}',
            '\u{2028}'..='\u{2029}',
            '\u{61c}'..='\u{61c}',
            '\u{fe00}'..='\u{fe0f}',
            '\u{feff}'..='\u{feff}',
            '\u{e0100}'..='\u{e01ef}',
            '\u{e0001}'..='\u{e007f}',
        ] {
            assert!(range.clone().all(is_active), "{range:?}");
        }
        let shown = "aZ ~\u{a0}äß–≥…中\u{fffd}é\u{301}🦀";
        assert!(!shown.contains(is_active));
    }
}
