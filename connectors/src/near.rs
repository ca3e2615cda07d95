//! The known word a misspelt one was probably meant to be.

/// Of `known`, the word nearest to `word` in edits, if it is near enough to be meant.
#[must_use]
pub(crate) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let allowed = 1 + word.len() / 4;
    known
        .map(|candidate| (edits(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements that make one of the other (Levenshtein).
fn edits(word: &[char], candidate: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (index, letter) in candidate.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, other) in word.iter().enumerate() {
            let replaced = diagonal + usize::from(*other != letter);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[word.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["interval", "register", "power"];
        assert_eq!(nearest("registr", known.into_iter()), Some("register"));
        assert_eq!(nearest("Power", known.into_iter()), Some("power"));
        assert_eq!(nearest("cumulative", known.into_iter()), None);
    }
}
