//! Several builds at once that want the same results.
use std::time::Duration;

use super::*;

const SPEC: &str = "((from b)(run (shell \"wait a while\"))(run (shell \"echo after\")))";

/// A build of [`SPEC`] that runs beside others.
struct Running {
    shown: Shown,
    cancel: Cancel,
    done: tokio::task::JoinHandle<Result<StepId, BuildError>>,
}

impl Running {
    fn start(site: &Site, builder: &Builder) -> Self {
        let (shown, cancel) = (Shown::default(), Cancel::default());
        let (builder, order) = (builder.clone(), site.order(SPEC));
        let (mut log, stop) = (Log::new(shown.clone()), cancel.clone());
        let done = tokio::spawn(async move { builder.build(&order, &mut log, &stop).await });
        Self { shown, cancel, done }
    }

    fn shown(&self) -> String {
        String::from_utf8(self.shown.0.lock().clone()).unwrap()
    }

    /// Waits until the step's output is to be seen.
    async fn waits(&self) {
        eventually(|| self.shown().ends_with("wait a while")).await;
    }

    async fn end(self) -> (String, Result<StepId, BuildError>) {
        let built = self.done.await.unwrap();
        (String::from_utf8(self.shown.0.lock().clone()).unwrap(), built)
    }
}

async fn eventually(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it never happens");
}

#[test]
fn who_comes_late_sees_the_step_from_its_beginning_and_it_runs_once() {
    let site = Site::new();
    let builder = site.builder();
    block_on(async {
        let first = Running::start(&site, &builder);
        first.waits().await;
        let second = Running::start(&site, &builder);
        second.waits().await;
        site.sandbox.open.send_replace(true);
        let ((shown, built), (shown_too, built_too)) = (first.end().await, second.end().await);
        assert_eq!(built.unwrap(), built_too.unwrap());
        let ending = "wait a while---> saved as ID\n/: (run (shell \"echo after\"))\necho after\n---> ";
        for shown in [shown, shown_too] {
            assert!(without_ids(&shown).contains(ending), "{shown}");
        }
    });
    assert_eq!(site.commands(), ["wait a while", "echo after"]);
}

#[test]
fn one_that_gives_up_does_not_hurt_the_other() {
    let site = Site::new();
    let builder = site.builder();
    block_on(async {
        let [first, second] = [(); 2].map(|()| Running::start(&site, &builder));
        tokio::join!(first.waits(), second.waits());
        first.cancel.cancel();
        assert!(matches!(first.end().await.1, Err(BuildError::Cancelled)));
        site.sandbox.open.send_replace(true);
        second.end().await.1.unwrap();
    });
    assert_eq!(site.commands(), ["wait a while", "echo after"]);
}

#[test]
fn when_the_last_gives_up_the_step_is_stopped_and_put_away() {
    let site = Site::new();
    let builder = site.builder();
    block_on(async {
        let [first, second] = [(); 2].map(|()| Running::start(&site, &builder));
        tokio::join!(first.waits(), second.waits());
        first.cancel.cancel();
        first.end().await.1.unwrap_err();
        assert_eq!(site.drafts(), 1);
        second.cancel.cancel();
        second.end().await.1.unwrap_err();
        assert_eq!(site.drafts(), 0);
    });
}

#[test]
fn a_build_whose_future_is_dropped_gives_up_too() {
    let site = Site::new();
    let builder = site.builder();
    block_on(async {
        let running = Running::start(&site, &builder);
        running.waits().await;
        running.done.abort();
        eventually(|| site.drafts() == 0).await;
    });
}

#[test]
fn who_comes_while_the_step_is_being_stopped_has_it_run_again() {
    let site = Site::new();
    let builder = site.builder();
    block_on(async {
        let first = Running::start(&site, &builder);
        first.waits().await;
        first.cancel.cancel();
        let second = Running::start(&site, &builder);
        second.waits().await;
        assert!(matches!(first.end().await.1, Err(BuildError::Cancelled)));
        site.sandbox.open.send_replace(true);
        let (shown, built) = second.end().await;
        built.unwrap();
        assert_eq!(shown.matches("wait a while---> saved").count(), 1, "{shown}");
    });
    assert_eq!(site.commands(), ["wait a while", "wait a while", "echo after"]);
}

#[test]
fn a_failure_is_told_to_all_and_the_step_can_be_tried_again() {
    let site = Site::new();
    let builder = site.builder();
    let order = site.order("((from b)(run (shell \"exit 7\")))");
    block_on(async {
        let builds = (0..3).map(|_| {
            let (builder, order) = (builder.clone(), order.clone());
            tokio::spawn(async move {
                builder.build(&order, &mut Log::new(Shown::default()), &Cancel::default()).await
            })
        });
        for build in builds.collect::<Vec<_>>() {
            let error = build.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), Kind::Build);
            assert!(error.to_string().ends_with("\"exit 7\" failed with exit status 7"), "{error}");
        }
    });
    assert_eq!(site.commands(), ["exit 7"]);
    site.build("((from b)(run (shell \"exit 7\")))").1.unwrap_err();
    assert_eq!(site.commands(), ["exit 7", "exit 7"]);
}

#[test]
fn builds_that_share_nothing_run_side_by_side_on_several_threads() {
    let site = Site::new();
    let builder = site.builder();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let builds: Vec<_> = (0..8)
            .map(|n| {
                let order = site.order(&format!("((from b)(run (shell \"wait {n}\")))"));
                let builder = builder.clone();
                tokio::spawn(async move {
                    builder.build(&order, &mut Log::new(Shown::default()), &Cancel::default()).await
                })
            })
            .collect();
        eventually(|| site.commands().len() == 8).await;
        site.sandbox.open.send_replace(true);
        for build in builds {
            build.await.unwrap().unwrap();
        }
    });
}
