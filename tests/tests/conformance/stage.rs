//! One tree three times: natively, through the shared mount, and through a private view.
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use obuilder_tests::observe::describe_tree;
use obuilder_tests::user::outside;
use obuilder_tests::{Mount, User, World};

/// The user whose private view it is; nobody acts as it.
const HOST: u32 = 43_000;

/// A tree, where it lies, and where it is worked on.
#[derive(Debug)]
pub(crate) struct Venue {
    pub(crate) name: &'static str,
    /// Where the file system below has it.
    pub(crate) backing: PathBuf,
    /// Where users see it.
    pub(crate) seen: PathBuf,
    /// Where a case is laid out: behind the shared mount, but never behind a private view.
    laid_out: PathBuf,
}

/// The three venues. Users without a link share the fallback of the mount; the private view is bound to a
/// directory of its own.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) venues: Vec<Venue>,
    _mount: Option<Mount>,
    _world: World,
}

/// What a case did in one venue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    result: String,
    tree: Vec<String>,
    /// Of each name that stayed the same object: which of its times moved.
    times: BTreeMap<PathBuf, String>,
}

/// Inode number, then mtime and ctime in seconds and nanoseconds.
type Stamp = (u64, [(i64, i64); 2]);
type Times = BTreeMap<PathBuf, Stamp>;

impl Stage {
    /// Mounted with `options`. With `OBUILDER_TESTS_REFERENCE` set all venues are native, which proves that the
    /// cases ask for nothing the native file system does not do each time.
    pub(crate) fn new(options: &[&str]) -> Self {
        let world = World::new();
        let home = world.home("host", &User::new(HOST));
        world.publish(HOST, &home);
        let (native, shared, private) =
            (world.scratch.dir("native"), world.fallback.clone(), home.join("local"));
        for backing in [&native, &shared, &private] {
            fs::set_permissions(backing, fs::Permissions::from_mode(0o755)).unwrap();
            chown(backing, Some(0), Some(0)).unwrap();
        }
        let mount = env::var_os("OBUILDER_TESTS_REFERENCE").is_none().then(|| world.mount_with(options));
        let shown = |name: &'static str, backing: &Path, seen: Option<PathBuf>| {
            let at = world.scratch.dir(name);
            bind(seen.as_deref().unwrap_or(backing), &at);
            at
        };
        let point = mount.as_ref().map(Mount::point);
        let view = point.map(|point| point.join(format!(".obuilderfs/{HOST}-conformance/local")));
        let native_seen = shown("native-seen", &native, None);
        let shared_seen = point.map_or_else(|| shown("shared-seen", &shared, None), Path::to_owned);
        let private_seen = shown("private-seen", &private, view);
        let venues = vec![
            Venue { name: "native", laid_out: native.clone(), backing: native, seen: native_seen },
            Venue { name: "shared", laid_out: shared.clone(), backing: shared, seen: shared_seen },
            Venue { name: "private", laid_out: private_seen.clone(), backing: private, seen: private_seen },
        ];
        Self { venues, _mount: mount, _world: world }
    }

    /// Runs every case as `user` in every venue and gives one line for each that differs from the native one.
    pub(crate) fn differences<C: Sync>(
        &self,
        user: &User,
        cases: &[C],
        name: impl Fn(&C) -> String + Sync,
        prepare: impl Fn(&C, &Path) + Sync,
        act: impl Fn(&C, &Path) -> String + Sync,
    ) -> Vec<String> {
        user.run(|| {
            let mut wrong = Vec::new();
            for (number, case) in cases.iter().enumerate() {
                let name = || format!("uid {} {}", user.uid, name(case));
                let mut effects = self.venues.iter().map(|venue| {
                    let dir = format!("case-{number}");
                    let (backing, seen) = (venue.backing.join(&dir), venue.seen.join(&dir));
                    let laid_out = venue.laid_out.join(&dir);
                    outside(|| prepare(case, &laid_out));
                    let before = outside(|| times(&backing));
                    let result = act(case, &seen);
                    outside(|| {
                        let effect = Effect::since(&before, result, &backing);
                        let native = venue.name == "native";
                        let shown = if native { Ok(()) } else { as_shown(&seen, &backing) };
                        fs::remove_dir_all(&laid_out).unwrap();
                        (venue.name, effect, shown)
                    })
                });
                let (_, native, _) = effects.next().unwrap();
                for (venue, effect, shown) in effects {
                    if effect != native {
                        wrong
                            .push(format!("{venue}: {}\n   native {native:?}\n   there  {effect:?}", name()));
                    }
                    if let Err(shown) = shown {
                        wrong.push(format!("{venue}: {}: shown otherwise than it is: {shown}", name()));
                    }
                }
            }
            wrong
        })
    }
}

/// Shows `from` at `to` as the mount is, without set-id bits and devices: what follows from that is not the file
/// system's doing.
fn bind(from: &Path, to: &Path) {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .and_then(|()| mount(None::<&str>, to, None::<&str>, flags, None::<&str>))
        .unwrap_or_else(|e| panic!("bind {} over {}: {e}", from.display(), to.display()));
}

impl Effect {
    fn since(before: &Times, result: String, dir: &Path) -> Self {
        let after = times(dir);
        let moved = |(path, (ino, now)): (&PathBuf, &Stamp)| {
            let (old_ino, then) = before.get(path)?;
            let letter = |n: usize| if now[n] == then[n] { "" } else { ["m", "c"][n] };
            (ino == old_ino).then(|| (path.clone(), [0, 1].map(letter).concat()))
        };
        Self { result, tree: describe_tree(dir), times: after.iter().filter_map(moved).collect() }
    }
}

/// Inode numbers and times of `dir` and everything below.
fn times(dir: &Path) -> Times {
    let mut found = Times::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let full = if path.as_os_str().is_empty() { dir.to_owned() } else { dir.join(&path) };
        let Ok(meta) = fs::symlink_metadata(&full) else { continue };
        if meta.is_dir() {
            pending
                .extend(fs::read_dir(&full).into_iter().flatten().map(|e| path.join(e.unwrap().file_name())));
        }
        let times = [(meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec())];
        found.insert(path, (meta.ino(), times));
    }
    found
}

/// Whether root sees in `seen` exactly what lies in `backing`, to the nanosecond.
fn as_shown(seen: &Path, backing: &Path) -> Result<(), String> {
    let strip = |times: Times| -> BTreeMap<PathBuf, [(i64, i64); 2]> {
        times.into_iter().map(|(path, (_, times))| (path, times)).collect()
    };
    let (there, here) = (strip(times(seen)), strip(times(backing)));
    if there != here {
        return Err(format!("times\n   is    {here:?}\n   shown {there:?}"));
    }
    let (there, here) = (describe_tree(seen), describe_tree(backing));
    if there == here { Ok(()) } else { Err(format!("tree\n   is    {here:?}\n   shown {there:?}")) }
}
