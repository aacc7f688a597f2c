//! What an absolute path of a spec means when the step's `/` is really the build user's home.
//!
//! The rule: `/` is the build home; a path below the build home or the prefix is itself; any other path P
//! is P below the build home. So `(copy (dst /src))` and `(workdir /src)` meet, and a spec that names the
//! home or the prefix outright gets them.
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// The two places a step calls its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Where the home of every build user appears.
    pub home: PathBuf,
    /// What shows the home's `local`, if anything does.
    pub prefix: Option<PathBuf>,
}

/// The directory of a home that the prefix shows.
pub const LOCAL: &str = "local";

impl Paths {
    /// Where the step finds `path`.
    pub fn seen_by_step(&self, path: &Path) -> PathBuf {
        let path = normalised(path);
        if self.is_own(&path) { path } else { normalised(&self.home.join(below_root(&path))) }
    }

    /// Where `path` lies in the `rootfs`, relative to it.
    pub fn in_rootfs(&self, path: &Path) -> PathBuf {
        let path = normalised(path);
        if let Ok(rest) = path.strip_prefix(&self.home) {
            return rest.to_owned();
        }
        match self.prefix.as_ref().and_then(|prefix| path.strip_prefix(prefix).ok()) {
            Some(rest) => Path::new(LOCAL).join(rest).components().collect(),
            None => below_root(&path).to_owned(),
        }
    }

    /// All places where the step finds `path`: what lies in the prefix lies in the home too.
    pub fn names_in_step(&self, path: &Path) -> Vec<PathBuf> {
        let inside = self.in_rootfs(path);
        let by_prefix = self.prefix.as_ref().zip(inside.strip_prefix(LOCAL).ok());
        let names = [self.home.join(&inside)].into_iter();
        names.chain(by_prefix.map(|(prefix, rest)| prefix.join(rest))).collect()
    }

    fn is_own(&self, path: &Path) -> bool {
        path.starts_with(&self.home) || self.prefix.as_ref().is_some_and(|prefix| path.starts_with(prefix))
    }
}

fn below_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Resolves `.` and `..` by the letters of the path; `..` stops at `/`.
fn normalised(path: &Path) -> PathBuf {
    let mut parts: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir => drop(parts.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let mut whole = PathBuf::from("/");
    whole.extend(parts);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        Paths { home: "/home/obuilder".into(), prefix: Some("/usr/local".into()) }
    }

    #[test]
    fn a_path_is_the_homes_unless_it_names_home_or_prefix() {
        let table = [
            ("/", "/home/obuilder", ""),
            ("/src", "/home/obuilder/src", "src"),
            ("/src/../a/./b/", "/home/obuilder/a/b", "a/b"),
            ("/../..", "/home/obuilder", ""),
            ("/home/obuilder", "/home/obuilder", ""),
            ("/home/obuilder/x", "/home/obuilder/x", "x"),
            ("/home/obuilder2/x", "/home/obuilder/home/obuilder2/x", "home/obuilder2/x"),
            ("/home/obuilder/../../etc", "/home/obuilder/etc", "etc"),
            ("/usr/local", "/usr/local", "local"),
            ("/usr/local/bin", "/usr/local/bin", "local/bin"),
            ("/usr/locale", "/home/obuilder/usr/locale", "usr/locale"),
        ];
        for (path, step, rootfs) in table {
            assert_eq!(paths().seen_by_step(Path::new(path)).to_str(), Some(step), "{path}");
            assert_eq!(paths().in_rootfs(Path::new(path)).to_str(), Some(rootfs), "{path}");
        }
    }

    #[test]
    fn what_lies_in_the_prefix_is_found_in_the_home_too() {
        let names = |path: &str| {
            let names = paths().names_in_step(Path::new(path)).into_iter();
            names.map(|name| name.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let both = ["/home/obuilder/local/var", "/usr/local/var"];
        assert_eq!(names("/usr/local/var"), both);
        assert_eq!(names("/home/obuilder/local/var"), both);
        assert_eq!(names("/local/var"), both);
        assert_eq!(names("/.cache"), ["/home/obuilder/.cache"]);
    }

    #[test]
    fn without_a_prefix_usr_local_is_a_directory_of_the_home() {
        let paths = Paths { prefix: None, ..paths() };
        assert_eq!(
            paths.seen_by_step(Path::new("/usr/local/bin")),
            Path::new("/home/obuilder/usr/local/bin")
        );
        assert_eq!(paths.in_rootfs(Path::new("/usr/local/bin")), Path::new("usr/local/bin"));
    }
}
