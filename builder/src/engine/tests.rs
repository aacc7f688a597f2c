//! Builds on a real store, with a sandbox that only pretends.
mod original;
mod sharing;

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::*;
use crate::fetch::environment::Environment;
use crate::fetch::{FetchError, Request};
use crate::sandbox::{Command, Running, SandboxError, Status};
use crate::store::{self, StoreUrl};

/// Prints each command instead of running it, but for the few words it knows.
#[derive(Default)]
struct Pretender {
    ran: Mutex<Vec<Command>>,
    /// Whether `wait` may go on.
    open: watch::Sender<bool>,
}

impl Pretender {
    async fn pretend(
        &self,
        command: &Command,
        output: OwnedFd,
        cancel: &Cancel,
    ) -> Result<Status, SandboxError> {
        self.ran.lock().push(command.clone());
        let mut output = fs::File::from(output);
        let words = command.argv.last().unwrap().to_str().unwrap();
        output.write_all(words.as_bytes()).unwrap();
        match words.split_once(' ') {
            Some(("exit", code)) => return Ok(Status::Exited(code.parse().unwrap())),
            Some(("write", name)) => fs::write(command.rootfs.join(name), words).unwrap(),
            Some(("cancel", _)) => {
                cancel.cancel();
                cancel.cancelled().await;
                return Err(SandboxError::Cancelled);
            }
            Some(("wait", _)) => {
                drop(output);
                let mut open = self.open.subscribe();
                tokio::select! {
                    () = cancel.cancelled() => return Err(SandboxError::Cancelled),
                    _ = open.wait_for(|open| *open) => {}
                }
            }
            Some(("echo", _)) => output.write_all(b"\n").unwrap(),
            _ => {}
        }
        Ok(Status::Exited(0))
    }
}

impl Sandbox for Pretender {
    fn owner(&self, _: &crate::spec::User) -> Result<(u32, u32), SandboxError> {
        Ok((nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw()))
    }

    fn locate(&self, path: &Path) -> PathBuf {
        path.strip_prefix("/").unwrap_or(path).to_owned()
    }

    fn run<'a>(&'a self, command: &'a Command, output: OwnedFd, cancel: &'a Cancel) -> Running<'a> {
        Box::pin(self.pretend(command, output, cancel))
    }
}

/// An image with one variable and nothing else.
struct OneVariable;

impl Fetch for OneVariable {
    fn fetch(&self, request: Request) -> Result<Environment, FetchError> {
        if request.name == "nope" {
            return Err(FetchError::Name("nope".into()));
        }
        fs::create_dir_all(&request.rootfs).unwrap();
        Ok(vec![("PATH".into(), "/bin".into())])
    }
}

#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Site {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
    sandbox: Arc<Pretender>,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        let store = store::open(&StoreUrl::Rsync(dir.path().join("store"))).unwrap();
        Self { dir, store, sandbox: Arc::default() }
    }

    fn source(&self, path: &str, bytes: &str) {
        let path = self.dir.path().join("src").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn builder(&self) -> Builder {
        Builder::new(self.store.clone(), self.sandbox.clone(), Arc::new(OneVariable))
    }

    fn order(&self, spec: &str) -> Order {
        Order {
            spec: Spec::parse(spec.as_bytes()).unwrap(),
            source: self.dir.path().join("src"),
            secrets: vec![("given".into(), b"hush".to_vec())],
        }
    }

    /// Builds; gives what was shown, and the result or the error's text.
    fn build(&self, spec: &str) -> (String, Result<StepId, String>) {
        let shown = Shown::default();
        let mut log = Log::new(shown.clone());
        let order = self.order(spec);
        let built = block_on(self.builder().build(&order, &mut log, &Cancel::default()));
        let shown = String::from_utf8(shown.0.lock().clone()).unwrap();
        (shown, built.map_err(|error| error.to_string()))
    }

    fn drafts(&self) -> usize {
        fs::read_dir(self.dir.path().join("store/result-tmp")).unwrap().count()
    }

    fn commands(&self) -> Vec<String> {
        let word = |c: &Command| c.argv.last().unwrap().to_str().unwrap().to_owned();
        self.sandbox.ran.lock().iter().map(word).collect()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A log with the ids replaced by `ID`.
fn without_ids(log: &str) -> String {
    let hex = |word: &str| StepId::parse(word.trim_matches('"')).is_some();
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').map(|word| if hex(word) { "ID" } else { word }).collect();
        words.join(" ")
    };
    log.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_build_shows_each_step_and_the_next_one_shows_the_same_from_the_store() {
    let site = Site::new();
    let spec = "((from b)(shell sh)(run (shell \"echo one\"))(run (shell two)))";
    let log = "(from b)\n---> saved as ID\n/: (shell sh)\n/: (run (shell \"echo one\"))\necho one\n\
               ---> saved as ID\n/: (run (shell two))\ntwo---> saved as ID\n";
    let (shown, built) = site.build(spec);
    assert_eq!(without_ids(&shown), log);
    let (again, built_again) = site.build(spec);
    let using = log.replace("saved as ID", "using ID from cache");
    assert_eq!(without_ids(&again), using);
    assert_eq!(built, built_again);
    assert_eq!(site.commands(), ["echo one", "two"]);
}

#[test]
fn a_step_sees_what_the_steps_before_it_made_and_set() {
    let site = Site::new();
    let (_, built) = site.build(
        "((from b)(env A 1)(workdir /w)(run (secrets (given (target /s)))(network host)(shell \"write f\"))(run (shell x)))",
    );
    let rootfs = site.store.find(&built.unwrap()).unwrap().unwrap().tree().unwrap();
    assert_eq!(fs::read(rootfs.join("f")).unwrap(), b"write f");
    let ran = site.sandbox.ran.lock();
    assert_eq!(ran[0].env, [("A".into(), "1".into()), ("PATH".into(), "/bin".into())]);
    assert_eq!(ran[0].workdir, Path::new("/w"));
    assert_eq!(ran[0].secrets, [("/s".into(), b"hush".to_vec())]);
    assert_eq!(ran[0].argv, ["/usr/bin/env", "bash", "-c", "write f"]);
    assert!(ran[0].host_network && !ran[1].host_network);
}

#[test]
fn a_failed_step_is_not_kept_and_ends_the_build() {
    let site = Site::new();
    let spec = "((from b)(run (shell ok))(run (shell \"exit 3\"))(run (shell never)))";
    for _ in 0..2 {
        let (shown, built) = site.build(spec);
        assert_eq!(
            built.unwrap_err(),
            "\"/usr/bin/env\" \"bash\" \"-c\" \"exit 3\" failed with exit status 3"
        );
        assert!(shown.ends_with("/: (run (shell \"exit 3\"))\nexit 3"), "{shown}");
        assert_eq!(site.drafts(), 0);
    }
    assert_eq!(site.commands(), ["ok", "exit 3", "exit 3"]);
}

#[test]
fn what_cannot_be_built_is_told_after_its_heading() {
    for (op, error) in [
        ("(copy (src nope) (dst /x))", "Source path \"nope\" not found"),
        ("(copy (src a b) (dst /x))", "When copying multiple items, the destination must end with '/'"),
        ("(copy (src) (dst /x))", "No source items for copy!"),
        ("(run (secrets (s (target /s))) (shell x))", "Couldn't find value for requested secret 's'"),
        ("(run (network foo) (shell x))", "Unsupported network configuration [\"foo\"]"),
    ] {
        let site = Site::new();
        site.source("a", "");
        site.source("b", "");
        let (shown, built) = site.build(&format!("((from b){op})"));
        assert_eq!(built.unwrap_err(), error);
        assert_eq!(shown.matches("/: (").count(), 1, "{shown}");
        assert_eq!(site.drafts(), 0);
    }
}

#[test]
fn stages_are_built_in_order_and_copied_from() {
    let site = Site::new();
    site.source("a.txt", "A");
    let (shown, built) = site.build(
        "((build dev ((from b)(copy (src .)(dst /src/))(run (shell \"write made\"))))\
          (from b)(copy (from (build dev))(src /src/a.txt made)(dst /out/)))",
    );
    let rootfs = site.store.find(&built.unwrap()).unwrap().unwrap().tree().unwrap();
    assert_eq!(fs::read(rootfs.join("out/a.txt")).unwrap(), b"A");
    assert_eq!(fs::read(rootfs.join("out/made")).unwrap(), b"write made");
    assert!(shown.starts_with("(build \"dev\" …)\n(from b)\n"), "{shown}");
    assert!(shown.contains("--> finished \"dev\"\n(from b)\n---> using"), "{shown}");
}

#[test]
fn a_copy_whose_destination_names_a_directory_goes_into_it() {
    let site = Site::new();
    site.source("a.txt", "A");
    let (_, built) = site.build("((from b)(workdir /w)(copy (src a.txt)(dst .)))");
    let rootfs = site.store.find(&built.unwrap()).unwrap().unwrap().tree().unwrap();
    assert_eq!(fs::read(rootfs.join("w/a.txt")).unwrap(), b"A");
}

#[test]
fn a_changed_source_makes_another_result() {
    let site = Site::new();
    site.source("a", "1");
    let spec = "((from b)(copy (src a)(dst /a)))";
    let first = site.build(spec).1.unwrap();
    assert_eq!(site.build(spec).1.unwrap(), first);
    site.source("a", "2");
    assert_ne!(site.build(spec).1.unwrap(), first);
}

#[test]
fn a_base_image_that_is_not_there_leaves_nothing() {
    let site = Site::new();
    let (shown, built) = site.build("((from nope))");
    assert_eq!(shown, "(from nope)\n");
    assert!(built.unwrap_err().starts_with("base image \"nope\""));
    assert_eq!(site.drafts(), 0);
}

#[test]
fn a_cancelled_step_is_not_kept_and_nothing_runs_after_it() {
    let site = Site::new();
    let (_, built) = site.build("((from b)(run (shell \"cancel it\"))(run (shell never)))");
    assert_eq!(built.unwrap_err(), "cancelled");
    assert_eq!(site.drafts(), 0);
    assert_eq!(site.commands(), ["cancel it"]);
}

#[test]
fn a_result_that_another_makes_is_waited_for_and_its_log_shown_once() {
    let site = Site::new();
    let spec = "((from b)(run (shell x)))";
    let id = site.build(spec).1.unwrap();
    site.store.delete(&id).unwrap();
    let base = crate::step::from_id(&"b".into());
    let store::Claim::Build(draft) = site.store.claim(&id, Some(&base)).unwrap() else { panic!("kept") };
    fs::write(draft.log(), "first\n").unwrap();
    let shown = Shown::default();
    let mut log = Log::new(shown.clone());
    let (builder, order, cancel) = (site.builder(), site.order(spec), Cancel::default());
    let other = async {
        let seen = || shown.0.lock().ends_with(b"first\n");
        while !seen() {
            tokio::task::yield_now().await;
        }
        fs::OpenOptions::new().append(true).open(draft.log()).unwrap().write_all(b"second\n").unwrap();
        draft.keep().unwrap();
    };
    let (built, ()) = block_on(async { tokio::join!(builder.build(&order, &mut log, &cancel), other) });
    assert_eq!(built.unwrap(), id);
    let shown = String::from_utf8(shown.0.lock().clone()).unwrap();
    let tail = "/: (run (shell x))\nfirst\nsecond\n---> using ID from cache\n";
    assert!(without_ids(&shown).ends_with(tail), "{shown}");
    assert_eq!(site.commands(), ["x"]);
}
