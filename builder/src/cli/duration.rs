//! Lengths of time on the command line.
use std::time::Duration;

/// Reads `30s`, `10m`, `12h`, `7d` or `2w`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let refused = || "it must be a number and one of s, m, h, d and w, as 12h, 7d or 2w".to_owned();
    let unit = text.chars().next_back().ok_or_else(refused)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return Err(refused()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| refused())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "it is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("30s", 30), ("10m", 600), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("2w"), parse("14d"));
        for text in ["", "7", "d", "-1d", "1.5h", "7 d", "1y", "7é", "99999999999999999w"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
