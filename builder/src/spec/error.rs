//! What is wrong with a spec, and where.
use std::fmt;

/// How many characters of a line are shown at most.
const WIDTH: usize = 120;

/// A fault in a spec's text.
///
/// Its display is one line; [`SpecError::excerpt`] adds the offending line with a caret under the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// Byte offset in the text.
    pub at: usize,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    place: Option<Place>,
}

/// A place in a text, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    text: String,
}

impl SpecError {
    /// A fault at byte offset `at`.
    pub fn at(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None, place: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Looks the place up in the text it was found in.
    #[must_use]
    pub fn located_in(mut self, text: &[u8]) -> Self {
        self.place = Some(Place::find(text, self.at));
        self
    }

    /// Line and column, both from 1; columns count characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.as_ref().map(|place| (place.line, place.column))
    }

    /// The offending line, or what of a long one is around the place, and under it a caret at the place.
    pub fn excerpt(&self) -> Option<String> {
        let place = self.place.as_ref()?;
        let margin = format!("{} | ", place.line);
        let (shown, before) = place.window();
        let blanks = " ".repeat(margin.len() + before);
        Some(format!("{margin}{shown}\n{blanks}^"))
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "line {}, column {}: ", place.line, place.column)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for SpecError {}

impl Place {
    fn find(text: &[u8], at: usize) -> Self {
        let at = at.min(text.len());
        let start = text[..at].iter().rposition(|&b| b == b'\n').map_or(0, |nl| nl + 1);
        let end = text[start..].iter().position(|&b| b == b'\n').map_or(text.len(), |len| start + len);
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(['\t', '\r'], " ");
        Self {
            line: text[..start].iter().filter(|&&b| b == b'\n').count() + 1,
            column: shown(&text[start..at]).chars().count() + 1,
            text: shown(&text[start..end]).trim_end().to_owned(),
        }
    }

    /// What is shown of the line, and how many characters of that are before the place.
    fn window(&self) -> (String, usize) {
        let (length, before) = (self.text.chars().count(), self.column - 1);
        if length <= WIDTH {
            return (self.text.clone(), before);
        }
        let from = before.saturating_sub(WIDTH / 2).min(length - WIDTH);
        let part: String = self.text.chars().skip(from).take(WIDTH).collect();
        let start = if from > 0 { "…" } else { "" };
        let end = if from + WIDTH < length { "…" } else { "" };
        (format!("{start}{part}{end}"), before - from + start.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place_whatever_the_bytes_before_it() {
        let text = "(a\n\té (oops)\nb)";
        let at = text.find("(oops").unwrap();
        let error = SpecError::at(at, "bad").located_in(text.as_bytes());
        assert_eq!(error.to_string(), "line 2, column 4: bad");
        assert_eq!(error.excerpt().unwrap(), "2 |  é (oops)\n       ^");
    }

    #[test]
    fn of_a_long_line_the_part_around_the_place_is_shown() {
        let text = format!("{}(oops){}", "x".repeat(500), "y".repeat(500));
        let excerpt = SpecError::at(500, "bad").located_in(text.as_bytes()).excerpt().unwrap();
        let (line, caret) = excerpt.split_once('\n').unwrap();
        assert_eq!(line, format!("1 | …{}(oops){}…", "x".repeat(60), "y".repeat(54)));
        assert_eq!(caret.chars().count() - 1, line.chars().position(|c| c == '(').unwrap());
        let ends = [(0, "1 | xxx", "x…"), (1006, "1 | …y", "yyy")];
        for (at, start, end) in ends {
            let excerpt = SpecError::at(at, "bad").located_in(text.as_bytes()).excerpt().unwrap();
            let line = excerpt.lines().next().unwrap();
            assert!(line.starts_with(start) && line.ends_with(end), "{excerpt}");
        }
    }

    #[test]
    fn a_place_past_the_end_is_the_end() {
        let error = SpecError::at(99, "unfinished").located_in(b"(a");
        assert_eq!(error.position(), Some((1, 3)));
    }
}
