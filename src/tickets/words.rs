//! Text into the words that the search index holds; the same function for what is indexed and what is asked.
//!
//! The index then folds case and diacritics and stems English endings by itself. What is done here is what its
//! tokenizer cannot: scripts written without spaces are cut into single characters, so that a phrase of them is
//! a substring search, and marks that readers of Arabic leave out are dropped.

/// Marks drawn on a letter; the index drops them.
pub(super) fn is_combining_diacritic(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Vowel signs and the stretching stroke, which Arabic is written with or without.
fn is_arabic_mark(c: char) -> bool {
    matches!(c, '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}')
}

/// Letters of scripts that put no space between words: Chinese, Japanese, Thai, Lao, Burmese, Khmer.
fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{0e01}'..='\u{0eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3041}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3134f}')
}

/// The words of a text, in order. A word holds letters, digits and marks only: no quotes, no operators, none
/// of the private-use characters by which the index tells its own words apart.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if is_arabic_mark(c) {
            continue;
        }
        let in_word = c.is_alphanumeric() || is_combining_diacritic(c);
        if !in_word || stands_alone(c) {
            take(&mut word, &mut words);
        }
        if in_word {
            word.push(c);
        }
        if stands_alone(c) {
            take(&mut word, &mut words);
        }
    }
    take(&mut word, &mut words);
    words
}

fn take(word: &mut String, words: &mut Vec<String>) {
    // A lone mark would leave the index's tokenizer nothing.
    if word.chars().any(char::is_alphanumeric) {
        words.push(std::mem::take(word));
    }
    word.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_at_everything_that_is_no_letter_or_digit() {
        let cases: [(&str, &[&str]); 8] = [
            ("Printer on floor 3 is offline!", &["Printer", "on", "floor", "3", "is", "offline"]),
            ("can't e-mail foo_bar", &["can", "t", "e", "mail", "foo", "bar"]),
            ("Drucker für Büro", &["Drucker", "für", "Büro"]),
            ("cafe\u{301} noir", &["cafe\u{301}", "noir"]),
            ("ログイン不可 VPN", &["ロ", "グ", "イ", "ン", "不", "可", "VPN"]),
            ("مُحَمَّد", &["محمد"]),
            ("\"a\" OR b* NOT {c}:d\u{e000}e", &["a", "OR", "b", "NOT", "c", "d", "e"]),
            ("🖨️ — \u{301}", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_word_never_holds_what_the_index_would_read_as_syntax(text in "\\PC{0,60}") {
            for word in words(&text) {
                prop_assert!(word.chars().all(|c| c.is_alphanumeric() || is_combining_diacritic(c)), "{}", word);
            }
        }
    }
}
