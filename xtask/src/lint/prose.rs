//! Checks the language of pages, texts of `--help` and comments for banned phrases (`banned.txt`).

use anyhow::{Result, bail};

use super::text::{self, STOP, Text, Word};

/// The list, one phrase per line.
const BANNED: &str = include_str!("banned.txt");

/// A banned phrase, and its line.
#[derive(Debug, PartialEq, Eq)]
struct Found<'list> {
    line: usize,
    phrase: &'list str,
}

/// Fails if a text contains a banned phrase.
pub(super) fn check() -> Result<()> {
    let list = List::of(BANNED);
    let mut wrong = Vec::new();
    let mut texts = text::pages()?;
    texts.extend(text::comments()?);
    for Text { name, content } in texts {
        let found = list.search(&content).into_iter();
        wrong.extend(found.map(|Found { line, phrase }| format!("\n  {name}:{line}: {phrase}")));
    }
    if !wrong.is_empty() {
        bail!("banned phrases (xtask/src/lint/banned.txt):{}", wrong.concat());
    }
    Ok(())
}

/// The words of a phrase, and the phrase as it is listed.
type Phrase<'list> = (Vec<String>, &'list str);

/// The parsed list.
struct List<'list> {
    banned: Vec<Phrase<'list>>,
    /// Permitted phrases that contain a banned one.
    good: Vec<Phrase<'list>>,
}

impl<'list> List<'list> {
    fn of(list: &'list str) -> Self {
        let phrases = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (good, banned): (Vec<&str>, Vec<&str>) =
            phrases.partition(|line| line.starts_with('+'));
        let parse = |phrase: &'list str| (text::words_of_line(phrase), phrase);
        Self {
            banned: banned.into_iter().map(parse).collect(),
            good: good.into_iter().map(parse).collect(),
        }
    }

    /// Finds banned phrases that are not part of a permitted one. Phrases match by words,
    /// regardless of case and line breaks; one that begins with a full stop matches at the
    /// beginning of a sentence.
    fn search(&self, text: &str) -> Vec<Found<'list>> {
        let words = text::words(text);
        let mut good = Vec::new();
        for (phrase, _) in &self.good {
            good.extend(places(&words, phrase).map(|place| place..place + phrase.len()));
        }
        let mut found = Vec::new();
        for (phrase, name) in &self.banned {
            let is_bad = |place: &usize| !good.iter().any(|range| range.contains(place));
            for place in places(&words, phrase).filter(is_bad) {
                // The full stop belongs to the sentence before.
                let first = place + usize::from(phrase.first().is_some_and(|word| word == STOP));
                found.extend(words.get(first).map(|word| Found { line: word.line, phrase: name }));
            }
        }
        found.sort_by_key(|found| found.line);
        found
    }
}

/// The positions where a phrase begins among the words.
fn places(words: &[Word], phrase: &[String]) -> impl Iterator<Item = usize> {
    let is_it = move |here: &[Word]| here.iter().zip(phrase).all(|(word, its)| word.word == *its);
    let windows = words.windows(phrase.len().max(1)).enumerate();
    windows.filter(move |(_, here)| is_it(here)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::{BANNED, Found, List};

    fn lines(text: &str, list: &str) -> Vec<usize> {
        List::of(list).search(text).into_iter().map(|Found { line, .. }| line).collect()
    }

    #[test]
    fn a_phrase_counts_as_words_across_lines() {
        let list = "# why\nis told\n\nso many";
        let text = "The user is\ntold.\n\nIt Is told, so manyfold.";
        assert_eq!(
            List::of(list).search(text),
            [Found { line: 1, phrase: "is told" }, Found { line: 4, phrase: "is told" }]
        );
    }

    #[test]
    fn a_phrase_ends_at_a_stop_and_at_a_paragraph() {
        assert_eq!(lines("What it is. No more.\n\nWhat it is\n\nno more", "is no"), [0; 0]);
    }

    #[test]
    fn a_full_stop_is_the_beginning_of_a_sentence() {
        let list = ". of a";
        assert_eq!(lines("Of a queue.\nOf a queue, and: of a", list), [1, 2]);
        assert_eq!(lines("one of a kind", list), [0; 0]);
    }

    #[test]
    fn a_part_of_a_good_phrase_is_good() {
        let list = "is no\n+ there is no\n+ is no longer";
        assert_eq!(lines("There is no drop.\nIt is no longer full.\nIt is no drop.", list), [3]);
    }

    #[test]
    fn each_phrase_of_the_list_is_found_unless_it_is_good() {
        let list = List::of(BANNED);
        assert!(list.banned.len() >= 30);
        for (_, phrase) in list.banned.iter().chain(&list.good) {
            let text = format!("ab.\n{} cd", phrase.trim_start_matches(['.', '+', ',', ' ']));
            let is_good = phrase.starts_with('+');
            // A permitted phrase that begins with a comma is only valid after a comma.
            let text = if phrase.starts_with("+ ,") { text.replace("ab.", "ab,") } else { text };
            assert_eq!(lines(&text, BANNED).is_empty(), is_good, "{phrase}");
        }
    }
}
