//! What Homebrew and what it installs depend on, for two users at once through the bare mount.
use std::fs;
use std::process::{Command, Stdio};
use std::thread;

use obuilder_tests::{Mount, Need, User, World, process, require};

/// A script run by both users at the same time at the mount point, which is its `$1`; `$2` is the uid.
fn both_run(script: &str) -> Vec<String> {
    let world = World::new();
    let users = [41_610, 41_611].map(|uid| world.resident(uid).0);
    let mount = world.mount();
    thread::scope(|scope| {
        let runs = users.each_ref().map(|user| scope.spawn(|| run(&mount, user, script)));
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

fn run(mount: &Mount, user: &User, script: &str) -> String {
    let ended = user.run(|| {
        let mut command = Command::new("sh");
        command.args(["-ec", script, "sh"]).arg(mount.point()).arg(user.uid.to_string());
        command.current_dir("/").env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", mount.point()).env("GIT_CONFIG_NOSYSTEM", "1");
        process::output(&mut command)
    });
    assert!(ended.status.success(), "{}: {}", user.uid, String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

fn can_run(tool: &'static str) -> bool {
    require(&[Need::Root, Need::Fuse, Need::Tool(tool)])
}

#[test]
fn sqlite_keeps_a_database_that_several_processes_write_in_either_journal_mode() {
    if !can_run("sqlite3") {
        return;
    }
    for mode in ["wal", "delete"] {
        let script = format!(
            "cd \"$1\"; mkdir db; sqlite3 db/f 'PRAGMA journal_mode={mode}; CREATE TABLE t (who, n)'
             add() {{
                 i=0
                 while [ $i -lt 40 ]; do
                     echo '.timeout 30000'; echo \"INSERT INTO t VALUES ($1, $i);\"; i=$((i + 1))
                 done | sqlite3 -bail db/f
             }}
             add $2 & one=$!
             add $2 & two=$!
             wait $one; wait $two
             sqlite3 db/f 'PRAGMA integrity_check; SELECT count(*), min(who), max(who), sum(n) FROM t'"
        );
        let said = both_run(&script);
        let expected = [41_610, 41_611].map(|uid| format!("{mode}\nok\n80|{uid}|{uid}|1560\n"));
        assert_eq!(said, expected);
    }
}

#[test]
fn git_finds_a_fresh_checkout_clean_by_its_times_and_numbers_alone() {
    if !can_run("git") {
        return;
    }
    // diff-files compares what stat(2) tells with the index, and reads no file. A tap lies deeper than the first
    // level, where getcwd(2) could fail.
    let said = both_run(
        "mkdir -p \"$1/Library/Taps\"; cd \"$1/Library/Taps\"; git init -q tap; cd tap; git config user.name $2; git config user.email $2@localhost
         mkdir -p Formula/h; i=0
         while [ $i -lt 50 ]; do echo \"$2 $i\" > Formula/h/$i.rb; i=$((i + 1)); done
         ln -s h Formula/link; chmod +x Formula/h/7.rb
         git add .; git commit -qm all; git clone -q . ../copy; cd ../copy
         git update-index -q --refresh; git diff-files --name-only; git status --porcelain
         echo changed >> Formula/h/3.rb; git diff-files --name-only; git log --format=%an",
    );
    assert_eq!(said, [41_610, 41_611].map(|uid| format!("Formula/h/3.rb\n{uid}\n")));
}

#[test]
fn tar_gives_back_the_times_it_packed() {
    if !can_run("tar") {
        return;
    }
    let said = both_run(
        "cd \"$1\"; mkdir -p keg/bin keg/share; echo \"$2\" > keg/bin/tool; ln keg/bin/tool keg/bin/same
         ln -s ../bin/tool keg/share/link
         touch -h -d '2001-02-03 04:05:06.789 UTC' keg/bin/tool keg/share/link keg/bin keg/share keg
         tar --format=pax -cf bottle.tar keg; rm -r keg; tar -xpf bottle.tar
         find keg -printf '%p %T@ %n\\n' | sort",
    );
    let at = "981173106.7890000000";
    let kept = format!(
        "keg {at} 4\nkeg/bin {at} 2\nkeg/bin/same {at} 2\nkeg/bin/tool {at} 2\nkeg/share {at} 2\nkeg/share/link {at} 1\n"
    );
    assert_eq!(said, [kept.clone(), kept]);
}

#[test]
fn a_formulas_lock_excludes_its_user_and_nobody_else() {
    if !can_run("flock") {
        return;
    }
    let world = World::new();
    let users = [41_610, 41_611].map(|uid| world.resident(uid).0);
    let mount = world.mount();
    let lock = mount.point().join("locks");
    let try_lock = |user: &User| {
        run(&mount, user, "mkdir -p \"$1/locks\"; flock -n \"$1/locks/f\" echo got || echo held")
    };
    assert_eq!(users.each_ref().map(try_lock), ["got\n", "got\n"]);
    let mut holder = users[0].run(|| {
        let mut command = Command::new("flock");
        command.arg(lock.join("f")).args(["sh", "-c", "echo; read end"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    });
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let meanwhile = users.each_ref().map(try_lock);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(meanwhile, ["held\n", "got\n"]);
    assert_eq!(users.each_ref().map(try_lock), ["got\n", "got\n"]);
}

#[test]
fn an_attribute_as_quarantine_stays_with_its_file() {
    if !can_run("mv") {
        return;
    }
    let world = World::new();
    let (user, local) = world.resident(41_610);
    let mount = world.mount();
    let (name, mark) = ("user.com.apple.quarantine", b"0081;5f0c;brew;");
    user.run(|| {
        let (from, to) = (mount.point().join("download"), mount.point().join("cask"));
        fs::write(&from, "bytes").unwrap();
        xattr::set(&from, name, mark).unwrap();
        fs::rename(&from, &to).unwrap();
        assert_eq!(xattr::get(&to, name).unwrap().as_deref(), Some(&mark[..]));
        assert_eq!(xattr::list(&to).unwrap().collect::<Vec<_>>(), [name]);
    });
    assert_eq!(xattr::get(local.join("cask"), name).unwrap().as_deref(), Some(&mark[..]));
    user.run(|| xattr::remove(mount.point().join("cask"), name).unwrap());
    assert_eq!(xattr::get(local.join("cask"), name).unwrap(), None);
}
