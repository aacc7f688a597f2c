//! Several that want one result.
use std::sync::mpsc;

use super::*;

fn of_two_that_claim_one_id_one_builds_and_the_other_gets_what_it_made(kind: Kind) {
    let case = Case::new(kind);
    let draft = case.draft(1, None);
    assert!(case.store.try_claim(&id(1), None).unwrap().is_none());
    fs::write(draft.log(), "so far").unwrap();
    assert_eq!(fs::read_to_string(case.store.log_in_the_making(&id(1))).unwrap(), "so far");
    let (send, receive) = mpsc::channel();
    let second = case.site.open();
    let waiting = thread::spawn(move || {
        let claim = second.claim(&id(1), None).unwrap();
        send.send(()).unwrap();
        matches!(claim, Claim::Cached(found) if found.tree().unwrap().join("x").exists())
    });
    assert!(receive.try_recv().is_err());
    fs::write(draft.rootfs().join("x"), "x").unwrap();
    draft.keep().unwrap();
    assert!(waiting.join().unwrap());
}

fn who_waited_for_a_draft_that_was_dropped_makes_it(kind: Kind) {
    let case = Case::new(kind);
    let draft = case.draft(1, None);
    fs::write(draft.rootfs().join("half"), "x").unwrap();
    let store = Arc::clone(&case.store);
    let waiting = thread::spawn(move || match store.claim(&id(1), None).unwrap() {
        Claim::Build(draft) => fs::read_dir(draft.rootfs()).unwrap().count(),
        Claim::Cached(_) => panic!("nothing was kept"),
    });
    drop(draft);
    assert_eq!(waiting.join().unwrap(), 0);
}

fn many_threads_and_stores_make_each_result_once(kind: Kind) {
    let case = Case::new(kind);
    case.make(0, None);
    let made: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let site = &case.site;
                scope.spawn(move || {
                    let store = site.open();
                    let mut made = 0;
                    for step in 0..12_u8 {
                        let number = 1 + (step + worker) % 12;
                        if let Claim::Build(draft) = store.claim(&id(number), Some(&id(0))).unwrap() {
                            fs::write(draft.rootfs().join("new"), number.to_string()).unwrap();
                            draft.keep().unwrap();
                            made += 1;
                        }
                    }
                    made
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(made, 12);
    assert_eq!(case.rows()[0], row(0, 12, None));
    assert_eq!(case.rows().len(), 13);
}

on_each_backend! {
    of_two_that_claim_one_id_one_builds_and_the_other_gets_what_it_made
    who_waited_for_a_draft_that_was_dropped_makes_it
    many_threads_and_stores_make_each_result_once
}
