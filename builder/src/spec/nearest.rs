//! "Did you mean …?": the known word nearest to one that was mistyped.

/// The one of `known` at most two edits away from `word`, if there is one; the nearest, then the first.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let near = |k: &'k str| (distance(word, k), k);
    known
        .into_iter()
        .map(near)
        .filter(|(d, k)| *d <= 2 && *d < k.chars().count())
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Insertions, deletions and replacements that make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_different_word_is_not() {
        let ops = ["comment", "workdir", "shell", "run", "copy", "user", "env"];
        for (word, meant) in [
            ("RUN", None),
            ("rum", Some("run")),
            ("wrokdir", Some("workdir")),
            ("frobnicate", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, ops), meant, "{word}");
        }
    }
}
