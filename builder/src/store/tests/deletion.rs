//! What may be deleted.
use super::*;

fn a_result_that_others_are_built_on_is_not_deleted(kind: Kind) {
    let case = Case::new(kind);
    case.make(1, None);
    case.make(2, Some(1));
    let error = case.store.delete(&id(1)).unwrap_err().to_string();
    assert_eq!(error, format!("cannot delete {}: 1 other result is built on it; delete that first", id(1)));
    assert!(case.found(1));
    case.store.delete(&id(2)).unwrap();
    assert_eq!(case.rows(), [row(1, 0, None)]);
    case.store.delete(&id(1)).unwrap();
    case.store.delete(&id(1)).unwrap();
    assert!(case.rows().is_empty() && case.names("result").is_empty() && case.names("result-tmp").is_empty());
}

fn a_result_in_the_making_is_not_deleted(kind: Kind) {
    let case = Case::new(kind);
    let draft = case.draft(1, None);
    let error = case.store.delete(&id(1)).unwrap_err().to_string();
    assert_eq!(error, format!("cannot delete {}: a build is using it; try again when it is done", id(1)));
    draft.keep().unwrap();
}

fn a_result_that_is_used_is_not_deleted_by_anybody(kind: Kind) {
    let case = Case::new(kind);
    let used = case.make(1, None);
    let others = case.site.open();
    let refusal = format!("cannot delete {}: a build is using it; try again when it is done", id(1));
    assert_eq!(others.delete(&id(1)).unwrap_err().to_string(), refusal);
    let clone = used.clone();
    drop(used);
    assert_eq!(others.delete(&id(1)).unwrap_err().to_string(), refusal);
    drop(clone);
    let draft = case.draft(2, Some(1));
    assert_eq!(others.delete(&id(1)).unwrap_err().to_string(), refusal);
    drop(draft);
    others.delete(&id(1)).unwrap();
    assert!(case.rows().is_empty());
}

on_each_backend! {
    a_result_that_others_are_built_on_is_not_deleted
    a_result_in_the_making_is_not_deleted
    a_result_that_is_used_is_not_deleted_by_anybody
}
