//! Letting go of views whose link has gone. The kernel would keep their names, and we their nodes and
//! descriptors, until it wants the memory; a store that wants to unmount the home cannot wait for that.
use std::io;
use std::sync::Arc;

use tracing::{debug, warn};

use super::FileSystem;
use crate::nodes::ROOT;
use crate::platform::LinkWatch;

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
            while watch.wait().is_ok() {
                fs.let_go();
            }
        };
        std::thread::Builder::new().name("links".to_owned()).spawn(body).map(drop)
    }

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
}
