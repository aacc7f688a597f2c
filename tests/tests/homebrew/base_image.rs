//! Specs that begin with an image in which Homebrew is.
use std::fs;
use std::path::Path;

use obuilder_tests::Build;

use crate::brewery::Brewery;
use crate::can_brew;

#[test]
fn a_spec_installs_a_formula_in_one_step_and_uses_it_in_the_next() {
    if !can_brew() {
        return;
    }
    let brewery = Brewery::with_users(1);
    let user = brewery.user(0);
    brewery.install(user, "").done();
    let mut build = Build::new()
        .with(format!("--base-images={}", brewery.homes.display()))
        .with(format!("--fuse-path={}", brewery.prefix().display()));
    build.scoreboard.clone_from(&brewery.world.scoreboard);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../example.homebrew.macos.spec");
    let spec = fs::read_to_string(example).unwrap().replace("macos-homebrew", &user.name);
    let ended = build.run(&spec).done();
    let prefix = brewery.prefix().display();
    assert!(ended.stdout.contains(&format!("\n{prefix}\n")), "{}", ended.stdout);
    assert_eq!(build.run(&spec).done().stdout.matches("from cache").count(), 3);
}
