//! What images are called: `NAME`, or `NAME@VERSION`.
use std::fmt;
use std::str::FromStr;

use super::ImageError;

/// An image's name, and perhaps one of its versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    /// The name that `(from NAME)` has.
    pub name: String,
    /// The version; the one that the name means if `None`.
    pub version: Option<String>,
}

impl ImageName {
    /// The same image in this version.
    ///
    /// # Errors
    /// It is not a version.
    pub fn at(&self, version: &str) -> Result<Self, ImageError> {
        check(version).map_err(|why| ImageError::Name { name: version.to_owned(), why })?;
        Ok(Self { name: self.name.clone(), version: Some(version.to_owned()) })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

impl FromStr for ImageName {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let (name, version) = text.split_once('@').map_or((text, None), |(name, v)| (name, Some(v)));
        let checked = [Some(name), version].into_iter().flatten().try_for_each(check);
        checked.map_err(|why| ImageError::Name { name: text.to_owned(), why })?;
        Ok(Self { name: name.to_owned(), version: version.map(str::to_owned) })
    }
}

/// One of the two parts. What begins with a dot is ours, or hidden.
fn check(part: &str) -> Result<(), &'static str> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    match part {
        "" => Err("a name and a version must not be empty"),
        _ if part.starts_with(['.', '-']) => Err("a name and a version must not begin with '.' or '-'"),
        _ if !part.chars().all(known) => {
            Err("a name and a version hold only letters, digits, '.', '_', '-' and '+'")
        }
        _ if part.len() > 100 => Err("a name and a version have 100 letters at most"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_a_version() {
        let of = |name: &str, version: Option<&str>| ImageName {
            name: name.to_owned(),
            version: version.map(str::to_owned),
        };
        assert_eq!("macos-homebrew".parse::<ImageName>().unwrap(), of("macos-homebrew", None));
        let image = of("ocaml-4.14", Some("2026-11"));
        assert_eq!("ocaml-4.14@2026-11".parse::<ImageName>().unwrap(), image);
        assert_eq!(image.to_string(), "ocaml-4.14@2026-11");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "@", "a@", "@b", "a/b", "..", "a@..", ".a", "a@b@c", "-a", "a b", "é", "a\n", "a@/"]
        {
            assert!(text.parse::<ImageName>().is_err(), "{text:?}");
        }
    }
}
