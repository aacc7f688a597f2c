//! Some through the mount, some behind it: by a path that starts at the mount point, all of it is seen at once.
use std::path::Path;

use obuilder_tests::observe::describe_tree;
use obuilder_tests::random::Random;
use obuilder_tests::{Mount, User, World};

use crate::operation::{GROUPS, Operation, lines};
use crate::{can_mount, rounds};

const LENGTH: usize = 150;

struct Scene {
    user: User,
    native: std::path::PathBuf,
    /// Two ways to one tree: below the mount, and through it.
    ways: [std::path::PathBuf; 2],
    _mount: Mount,
    _world: World,
}

impl Scene {
    fn new(uid: u32, options: &[&str]) -> Self {
        let world = World::new();
        let (user, backing) = world.resident(uid);
        let native = world.scratch.path().join("native");
        user.mkdir(&native);
        let ways = [backing, world.point.clone()];
        let mount = world.mount_with(options);
        Self { user: user.with_groups(&GROUPS), native, ways, _mount: mount, _world: world }
    }

    fn play(&self, round: u64) {
        let mut random = Random::new(round);
        let mut done = Vec::new();
        self.user.run(|| {
            // What is kept open is open through the mount.
            let (mut there, mut here) = ([None, None, None], [None, None, None]);
            let mut none = [None, None, None];
            for step in 0..LENGTH {
                let operation = Operation::any(&mut random);
                let through = operation.is_of_open_files() || random.below(2) == 0;
                let way = &self.ways[usize::from(through)];
                let found = operation.act(way, if through { &mut there } else { &mut none });
                let expected = operation.act(&self.native, &mut here);
                done.push((through, operation));
                let context =
                    || format!("round {round}, step {step}, through the mount or behind:\n{}", lines(&done));
                assert_eq!(found, expected, "{}", context());
                let (seen, is) = (describe_tree(&self.ways[1]), describe_tree(&self.native));
                assert_eq!(seen, is, "{}", context());
            }
        });
        for dir in [&self.ways[0], &self.native] {
            empty(dir);
        }
    }
}

fn empty(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let is_dir = path.symlink_metadata().unwrap().is_dir();
        let removed = if is_dir { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

#[test]
fn whatever_is_done_behind_the_mount_is_seen_at_once_by_paths_from_the_mount_point() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new(45_003, &[]);
    (200..200 + rounds(20)).for_each(|round| scene.play(round));
}

#[test]
fn whatever_is_done_behind_the_mount_is_seen_at_once_with_bytes_through_the_daemon() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new(45_004, &["-o", "nopassthrough"]);
    (300..300 + rounds(10)).for_each(|round| scene.play(round));
}
