//! What is going on, for `obuilderfs status`: an extended attribute of the control directory, in JSON.
use serde_json::{Value, json};

use super::FileSystem;
use crate::view::View;

/// Its name; the prefix keeps it from everyone but root.
pub(crate) const STATUS: &str = "trusted.obuilderfs.status";

/// Bytes for the views. An attribute holds 64 KiB at the most (`XATTR_SIZE_MAX` in `linux/limits.h`).
const VIEWS: usize = 48 * 1024;

impl FileSystem {
    pub(super) fn status(&self) -> Vec<u8> {
        let (views, omitted) = self.shown_views();
        let requests: Vec<Value> = self
            .statistics
            .counts()
            .iter()
            .map(|count| {
                json!({
                    "kind": count.name,
                    "count": count.count,
                    "mean_ns": count.nanoseconds / count.count.max(1),
                    "longest_ns": count.longest,
                })
            })
            .collect();
        let status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "seconds": self.statistics.seconds(),
            "scoreboard": self.views.scoreboard().to_string_lossy(),
            "nodes": self.nodes.len(),
            "open_files": self.files.len(),
            "open_directories": self.directories.len(),
            "views": views,
            "views_omitted": omitted,
            "requests": requests,
        });
        status.to_string().into_bytes()
    }

    /// The latest views, as many as there is room for, and how many others there are.
    fn shown_views(&self) -> (Vec<Value>, usize) {
        let living = self.views.living();
        let mut room = VIEWS;
        let fits = |view: &Value| {
            room = room.saturating_sub(view.to_string().len());
            room > 0
        };
        let views: Vec<Value> = living.iter().rev().map(|view| shown(view)).take_while(fits).collect();
        let omitted = living.len() - views.len();
        (views.into_iter().rev().collect(), omitted)
    }
}

fn shown(view: &View) -> Value {
    json!({
        "uid": view.whose.uid,
        "path": view.whose.path.to_string_lossy(),
        "shows": view.whose.subdirectory.as_deref().unwrap_or("."),
        "private": view.private,
    })
}
