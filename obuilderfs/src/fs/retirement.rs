//! Letting go of views whose link has gone. The kernel would keep their names, and we their nodes and
//! descriptors, until it wants the memory; a store that wants to unmount the home cannot wait for that.
//!
//! A name is dropped by name, and with it what is kept below. What somebody was using at that moment stays, and nobody
//! can name it afterwards: it is swept out later, with whatever else nobody uses.
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::FileSystem;
use crate::nodes::ROOT;
use crate::platform::LinkWatch;
use crate::view::View;

/// How long those who are under way in a view have to leave it.
const GRACE: Duration = Duration::from_secs(1);
/// The least time between two sweeps.
const PAUSE: Duration = Duration::from_secs(10);
/// When to sweep again if a view was still in use.
const AGAIN: Duration = Duration::from_secs(600);

impl FileSystem {
    /// Lets go from now on as soon as a link is replaced or removed.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn follow_links(self: &Arc<Self>) -> io::Result<()> {
        let mut watch = match LinkWatch::new(self.views.scoreboard()) {
            Ok(watch) => watch,
            Err(e) => {
                warn!(
                    "the scoreboard cannot be watched, homes stay in use a while after their links go: {e}"
                );
                return Ok(());
            }
        };
        let fs = Arc::clone(self);
        let body = move || {
            let mut sweeps = Sweeps::default();
            while let Ok(changed) = watch.wait(sweeps.due_in(Instant::now())) {
                if changed {
                    fs.let_go();
                    sweeps.noted(Instant::now());
                }
                if sweeps.due_in(Instant::now()).is_some_and(|rest| rest.is_zero()) {
                    sweeps.done(Instant::now(), fs.sweep());
                }
            }
        };
        std::thread::Builder::new().name("links".to_owned()).spawn(body).map(drop)
    }

    /// Lets go of the views whose link has gone.
    fn let_go(&self) {
        for view in self.views.retire() {
            debug!(uid = view.whose.uid, home = %view.whose.path.display(), "link gone");
            let Some(kernel) = self.kernel.get() else { continue };
            // Under a name may be another user's object by now; that one is looked up again.
            for name in view.take_first_names() {
                kernel.forget_name(ROOT, &name);
            }
        }
    }

    /// Has the kernel let go of what is left of views that nobody gets any more. Says whether there was any.
    fn sweep(&self) -> bool {
        let living = self.views.living();
        // After that, for one that is made meanwhile has its token before it can be seen.
        let tokens = self.entered();
        let lingers = |view: &&Arc<View>| !tokens.contains(&view.index()) && !self.views.is_current(view);
        let lingering = living.iter().filter(lingers).count();
        drop(living);
        if lingering > 0
            && let Some(kernel) = self.kernel.get()
        {
            debug!(lingering, "names that nobody uses are dropped");
            if let Err(e) = kernel.forget_unused() {
                debug!("names that nobody uses stay: {}", e.desc());
            }
        }
        lingering > 0
    }
}

/// When to drop the names that nobody uses. They are everybody's, who will have to look them up again.
#[derive(Debug, Default)]
struct Sweeps {
    /// The first link since the last time has changed.
    since: Option<Instant>,
    last: Option<Instant>,
    /// Some was left then, in use perhaps.
    again: bool,
}

impl Sweeps {
    fn noted(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    fn done(&mut self, now: Instant, again: bool) {
        *self = Self { since: None, last: Some(now), again };
    }

    /// How long until then, if ever.
    fn due_in(&self, now: Instant) -> Option<Duration> {
        let pause = |pause| self.last.map(|last| last + pause);
        let due = match self.since {
            Some(since) => Some(since + GRACE).max(pause(PAUSE)),
            None => pause(AGAIN).filter(|_| self.again),
        };
        due.map(|due| due.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dropped_once_for_many_links_and_seldom_for_views_in_use() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut sweeps = Sweeps::default();
        assert_eq!(sweeps.due_in(at(0)), None);
        sweeps.noted(at(0));
        sweeps.noted(at(1));
        assert_eq!(sweeps.due_in(at(1)), Some(Duration::ZERO));
        sweeps.done(at(1), true);
        assert_eq!(sweeps.due_in(at(1)), Some(AGAIN));
        sweeps.noted(at(2));
        assert_eq!(sweeps.due_in(at(2)), Some(PAUSE - Duration::from_secs(1)));
        sweeps.done(at(11), false);
        assert_eq!(sweeps.due_in(at(11)), None);
    }
}
