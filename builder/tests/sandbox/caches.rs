//! Caches are shown inside the home and the prefix, and nowhere else.
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use obuilder::sandbox::{SandboxError, Status};

use crate::fixture::{Fixture, fixture};

fn with_cache(f: &Fixture, target: &str, script: &str) -> (String, Result<Status, SandboxError>) {
    let cache = f.dir.path().join("cache");
    fs::create_dir_all(&cache).unwrap();
    let mut command = f.command(script);
    command.caches = vec![(cache, target.into())];
    f.run(&command)
}

#[test]
fn a_cache_behind_a_link_that_leads_out_of_the_home_is_refused() {
    let Some(f) = fixture(61_746) else { return };
    for goal in ["/proc", "/etc", "../..", "/"] {
        let link = f.rootfs.join("link");
        symlink(goal, &link).unwrap();
        let (_, ended) = with_cache(&f, "/link", "true");
        assert_eq!(
            ended.unwrap_err().to_string(),
            format!(
                "cannot show a cache at {}: a link leads out of the home and the prefix there",
                f.home.join("link").display()
            )
        );
        fs::remove_file(link).unwrap();
    }
    f.assert_nothing_is_left();
}

#[test]
fn a_cache_is_shown_in_home_and_prefix_also_behind_a_link_that_stays_there() {
    let Some(f) = fixture(61_747) else { return };
    symlink("local/var", f.rootfs.join("link")).unwrap();
    fs::create_dir(f.rootfs.join("local/var")).unwrap();
    let script = format!("echo kept > {}/var/file && cat ~/link/file", f.prefix.display());
    let (output, ended) = with_cache(&f, "/local/var", &script);
    assert_eq!((output.as_str(), ended.unwrap()), ("kept\n", Status::Exited(0)));
    let (output, ended) = with_cache(&f, "/link", "cat local/var/file");
    assert_eq!((output.as_str(), ended.unwrap()), ("kept\n", Status::Exited(0)));
    assert!(!Path::new(&f.rootfs.join("local/var/file")).exists());
    f.assert_nothing_is_left();
}
