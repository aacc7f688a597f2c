//! What is going on, for `obuilderfs status`: an extended attribute of the control directory, in JSON.
use serde_json::{Value, json};

use super::FileSystem;
use crate::view::View;

/// Its name; the prefix keeps it from everyone but root.
pub(crate) const STATUS: &str = "trusted.obuilderfs.status";

impl FileSystem {
    pub(super) fn status(&self) -> Vec<u8> {
        let views: Vec<Value> = self.views.living().iter().map(|view| shown(view)).collect();
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
            "requests": requests,
        });
        status.to_string().into_bytes()
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
