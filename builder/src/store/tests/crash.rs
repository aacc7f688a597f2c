//! Killed processes and power failures.
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;

/// Tells the test binary, run again as a process of its own, which store to claim in.
const STORE: &str = "OBUILDER_TEST_CLAIM_IN";

/// The other process: claims id 1, says so, and keeps it when told to.
#[test]
#[ignore = "is run by the other tests as a process of its own"]
fn other_process() {
    let Some(dir) = std::env::var_os(STORE) else { return };
    let store = open(&dir.into_string().unwrap().parse().unwrap()).unwrap();
    let draft = draft(&*store, 1, None);
    fs::write(draft.rootfs().join("half"), "x").unwrap();
    eprintln!("claimed");
    std::io::stdin().read_exact(&mut [0]).unwrap();
    draft.keep().unwrap();
}

fn start_other(case: &Case) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crash::other_process", "--ignored", "--nocapture"])
        .env(STORE, case.url().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "claimed"));
    child
}

fn a_second_process_waits_for_the_first_and_gets_what_it_made(kind: Kind) {
    let case = Case::new(kind);
    let mut other = start_other(&case);
    assert!(case.store.try_claim(&id(1), None).unwrap().is_none());
    let store = Arc::clone(&case.store);
    let waiting =
        thread::spawn(move || store.claim(&id(1), None).map(|claim| matches!(claim, Claim::Cached(_))));
    other.stdin.take().unwrap().write_all(b"x").unwrap();
    assert!(waiting.join().unwrap().unwrap());
    assert!(other.wait().unwrap().success());
    assert!(case.found(1));
}

/// Of the moves that a deletion makes, only that between plain directories can be made by hand.
#[test]
fn a_deletion_that_was_cut_short_is_finished_by_the_next_one_to_open_the_store() {
    let mut case = Case::new(Kind::Directories);
    case.make(1, None);
    case.make(2, Some(1));
    let (result, draft) = (format!("result/{}", id(2)), format!("result-tmp/{}", id(2)));
    fs::rename(case.path(&result), case.path(&draft)).unwrap();
    case.reopen();
    assert_eq!(case.rows(), [row(1, 0, None)]);
    assert!(case.names("result-tmp").is_empty());
}

fn what_a_killed_process_left_is_removed_and_never_taken(kind: Kind) {
    let mut case = Case::new(kind);
    let mut other = start_other(&case);
    case.reopen();
    assert_eq!(case.names("result-tmp"), [id(1).to_string()]);
    other.kill().unwrap();
    other.wait().unwrap();
    case.reopen();
    assert!(case.names("result-tmp").is_empty());
    assert!(!case.found(1));
}

fn who_waits_for_a_process_that_is_killed_starts_afresh(kind: Kind) {
    let case = Case::new(kind);
    let mut other = start_other(&case);
    let store = Arc::clone(&case.store);
    let waiting = thread::spawn(move || match store.claim(&id(1), None).unwrap() {
        Claim::Build(draft) => fs::read_dir(draft.rootfs()).unwrap().count(),
        Claim::Cached(_) => panic!("nothing was kept"),
    });
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(waiting.join().unwrap(), 0);
}

/// Makes it look as if all that was noted so far was noted before the machine was started.
fn restart_machine(case: &mut Case) {
    for boot in case.names("state/unsynced") {
        fs::rename(case.path("state/unsynced").join(boot), case.path("state/unsynced/earlier-boot")).unwrap();
    }
    case.reopen();
}

fn a_power_failure_takes_the_results_that_were_not_on_the_device(kind: Kind) {
    let mut case = Case::new(kind);
    case.make(1, None);
    case.store.sync().unwrap();
    case.make(2, Some(1));
    case.make(3, Some(2));
    restart_machine(&mut case);
    if case.site.backend().outlives_power_failure() {
        assert!(case.found(1) && case.found(2) && case.found(3));
        return;
    }
    assert!(case.found(1) && !case.found(2) && !case.found(3));
    assert_eq!(case.names("result"), [id(1).to_string()]);
    assert!(case.names("state/unsynced").is_empty());
    case.make(2, Some(1));
    assert_eq!(case.rows(), [row(1, 1, None), row(2, 0, Some(1))]);
}

fn a_result_whose_builder_was_killed_before_it_registered_it_gets_its_row(kind: Kind) {
    let mut case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    let database = case.database();
    database.execute_batch("DELETE FROM builds WHERE parent NOT NULL; UPDATE builds SET rc = 0").unwrap();
    let boot = case.names("state/unsynced").remove(0);
    fs::write(case.path("state/unsynced").join(&boot).join(id(2).as_str()), id(1).as_str()).unwrap();
    assert_eq!(case.rows(), [row(1, 0, None)]);
    case.reopen();
    assert_eq!(case.rows(), [row(1, 1, None), row(2, 0, Some(1))]);
}

fn what_another_is_just_putting_in_place_is_not_taken_for_synced(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    let _draft = case.draft(2, Some(1));
    let boot = case.names("state/unsynced").remove(0);
    fs::write(case.path("state/unsynced").join(&boot).join(id(2).as_str()), id(1).as_str()).unwrap();
    case.store.sync().unwrap();
    assert_eq!(case.names(&format!("state/unsynced/{boot}")), [id(2).to_string()]);
}

fn results_of_this_boot_and_of_a_store_that_was_closed_stay(kind: Kind) {
    let mut case = Case::new(kind);
    case.make(1, None);
    case.reopen();
    assert!(case.found(1));
    restart_machine(&mut case);
    assert!(case.found(1));
}

on_each_backend! {
    a_second_process_waits_for_the_first_and_gets_what_it_made
    what_a_killed_process_left_is_removed_and_never_taken
    who_waits_for_a_process_that_is_killed_starts_afresh
    a_power_failure_takes_the_results_that_were_not_on_the_device
    a_result_whose_builder_was_killed_before_it_registered_it_gets_its_row
    what_another_is_just_putting_in_place_is_not_taken_for_synced
    results_of_this_boot_and_of_a_store_that_was_closed_stay
}
