//! Renames and hard links: from everything over everything.
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, AtFlags, RenameFlags, renameat2};
use nix::unistd::linkat;
use obuilder_tests::observe::outcome;

use crate::stage::Stage;
use crate::states::{self, Parent, State};
use crate::{can_mount, chosen, everything, none, users};

#[derive(Debug, Clone, Copy)]
enum Deed {
    Rename(RenameFlags),
    Link(AtFlags),
}

const DEEDS: [Deed; 6] = [
    Deed::Rename(RenameFlags::empty()),
    Deed::Rename(RenameFlags::RENAME_NOREPLACE),
    Deed::Rename(RenameFlags::RENAME_EXCHANGE),
    Deed::Rename(RenameFlags::from_bits_retain(3)),
    Deed::Link(AtFlags::empty()),
    Deed::Link(AtFlags::AT_SYMLINK_FOLLOW),
];

/// The second name: beside the first, in another directory, and where it cannot be.
const TARGETS: [&str; 6] = ["y", "d/y", "x", "x/y", "y/", "missing/y"];

#[derive(Debug)]
struct Case {
    parent: Parent,
    from: State,
    over: State,
    target: &'static str,
    deed: Deed,
}

impl Case {
    fn prepare(&self, dir: &Path) {
        self.parent.make(dir);
        self.from.make(&dir.join("x"));
        fs::create_dir(dir.join("d")).unwrap();
        fs::set_permissions(dir.join("d"), fs::Permissions::from_mode(0o1777)).unwrap();
        match self.target {
            "d/y" => self.over.make(&dir.join("d/y")),
            "y" | "y/" => self.over.make(&dir.join("y")),
            _ => {}
        }
    }

    fn act(&self, dir: &Path) -> String {
        let (from, to) = (dir.join("x"), dir.join(self.target));
        let result = match self.deed {
            Deed::Rename(flags) => renameat2(AT_FDCWD, &from, AT_FDCWD, &to, flags),
            Deed::Link(flags) => linkat(AT_FDCWD, &from, AT_FDCWD, &to, flags),
        };
        outcome(result.map_err(io::Error::from))
    }
}

const FROM: [State; 10] = [
    State::Missing,
    State::File(0o644),
    State::File(0o6777),
    State::MembersFile,
    State::HardLinked,
    State::EmptyDir(0o755),
    State::FullDir(0o755),
    State::ToFile,
    State::Dangling,
    State::Fifo,
];

#[test]
fn every_rename_and_link_of_anything_over_anything() {
    if !can_mount() {
        return;
    }
    let stage = Stage::new(&[]);
    let mut wrong = Vec::new();
    for (turn, user) in users::all().iter().enumerate() {
        let mut cases = Vec::new();
        for (row, from) in FROM.into_iter().enumerate() {
            for (column, over) in states::TARGETS.into_iter().enumerate() {
                for (layer, target) in TARGETS.into_iter().enumerate() {
                    let number = turn * 3 + row + column + layer;
                    for (step, deed) in DEEDS.into_iter().enumerate() {
                        for &parent in chosen(&Parent::ALL, number + step) {
                            cases.push(Case { parent, from, over, target, deed });
                        }
                    }
                }
            }
        }
        // What lies under a second name that is not the target makes no difference.
        let mut number = 0;
        cases.retain(|case| {
            number += 1;
            let aside = !matches!(case.target, "y" | "d/y") && case.over != State::Missing;
            !aside && (everything() || (number + turn) % 2 == 0)
        });
        let name = |case: &Case| format!("{case:?}");
        wrong.extend(stage.differences(user, &cases, name, Case::prepare, Case::act));
    }
    none(&wrong);
}
