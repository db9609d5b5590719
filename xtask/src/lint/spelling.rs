//! Checks the spelling of pages, texts of `--help` and sources with the dictionary of `typos`,
//! which lists known mistakes. A word that it does not list counts as correct.

use anyhow::{Result, bail};
use typos::tokens::{Case, Identifier, Tokenizer, Word};
use typos::{Dictionary, Status};
use unicase::UniCase;

use super::text::{self, Text};

/// Words that the dictionary lists as mistakes: names of crates, programs and kernel fields, and
/// options that tests mistype on purpose.
const RIGHT: [&str; 9] =
    ["flate", "inh", "listners", "mke", "nd", "ratatui", "reprot", "ser", "wrk"];

/// Fails if a text contains a misspelt word.
pub(super) fn check() -> Result<()> {
    let mut wrong = Vec::new();
    let mut texts = text::pages()?;
    texts.extend(text::sources()?);
    for Text { name, content } in texts {
        wrong.extend(mistakes(&content).into_iter().map(|mistake| format!("\n  {name}:{mistake}")));
    }
    if !wrong.is_empty() {
        bail!("spelling (xtask/src/lint/spelling.rs lists exceptions):{}", wrong.concat());
    }
    Ok(())
}

/// The mistakes in a text: line, word, and correction.
fn mistakes(text: &str) -> Vec<String> {
    let tokenizer = Tokenizer::new();
    typos::check_str(text, &tokenizer, &Known)
        .map(|typo| {
            let line =
                1 + text.bytes().take(typo.byte_offset).filter(|&byte| byte == b'\n').count();
            let meant = match &typo.corrections {
                Status::Corrections(words) => words.join(", "),
                Status::Invalid | Status::Valid => "?".to_owned(),
            };
            format!("{line}: {} ({meant})", typo.typo)
        })
        .collect()
}

/// The dictionary of `typos`.
struct Known;

impl Dictionary for Known {
    fn correct_ident<'s>(&'s self, _: Identifier<'_>) -> Option<Status<'s>> {
        None
    }

    fn correct_word<'s>(&'s self, word: Word<'_>) -> Option<Status<'s>> {
        let token = word.token();
        if word.case() == Case::None || RIGHT.contains(&token.to_lowercase().as_str()) {
            return None;
        }
        let corrections = typos_dict::WORD.find(&UniCase::new(token))?;
        Some(Status::Corrections(corrections.iter().map(|&word| word.into()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::mistakes;

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_is_meant() {
        // Split, so that the check does not find it here.
        let text = ["A queue is fu", "ll.\nIt occ", "ured."].concat();
        assert_eq!(mistakes(&text), [["2: occ", "ured (occurred)"].concat()]);
    }

    #[test]
    fn words_of_an_identifier_count_each() {
        let text = ["let the_rec", "ieved_one = 1;"].concat();
        assert_eq!(mistakes(&text).len(), 1);
        assert_eq!(mistakes("let sk_drops = tcp_conn_request(0x1f);"), [""; 0]);
    }
}
