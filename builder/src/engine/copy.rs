//! `copy` steps.
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use super::{Build, BuildError};
use crate::spec::{Copy, CopyFrom};
use crate::step::{Context, CopyInput, Manifest, StepId};
use crate::store::{Claim, Draft};
use crate::transfer::copy::{CopyPlan, copy_into};

impl Build<'_, '_> {
    /// The result of a `copy` onto `base`.
    pub(super) async fn copy(
        &mut self,
        context: &Context,
        base: StepId,
        copy: &Copy,
    ) -> Result<StepId, BuildError> {
        let source = self.source(context, &copy.from)?;
        let items = self.items(&source, copy).await?;
        let input = context.copy(base, items, &copy.dst);
        let id = input.id()?;
        if self.cached(&id)?.is_some() {
            return Ok(id);
        }
        if let Claim::Build(draft) = self.claim(&id, Some(&input.base)).await? {
            let owner = self.engine.sandbox.owner(&input.user)?;
            let dst = self.engine.sandbox.locate(Path::new(&input.dst));
            let made = self
                .engine
                .off_thread(move || bring(&input, &source, &dst, owner, draft.as_ref()).map(|()| draft));
            let draft = made.await??;
            self.keep(&id, draft)?;
        }
        Ok(id)
    }

    /// The tree that is copied from.
    fn source(&self, context: &Context, from: &CopyFrom) -> Result<PathBuf, BuildError> {
        let CopyFrom::Build(name) = from else { return Ok(self.engine.source.clone()) };
        let unknown = || BuildError::StageLost(name.clone());
        let id = context.scope.get(name).ok_or_else(unknown)?;
        Ok(self.engine.store.find(id)?.ok_or_else(unknown)?.rootfs())
    }

    /// Lists the sources. Those in a result are named as its steps saw them.
    async fn items(&self, source: &Path, copy: &Copy) -> Result<Vec<Manifest>, BuildError> {
        let named = copy.src.iter().map(|src| match copy.from {
            CopyFrom::Build(_) if in_step_terms(src) => self.engine.sandbox.locate(Path::new(src)).into(),
            _ => src.clone(),
        });
        let named: Vec<OsString> = named.collect();
        let (root, exclude) = (source.to_owned(), copy.exclude.clone());
        let list = move || named.iter().map(|src| Manifest::generate(&root, src, &exclude)).collect();
        let items: Result<_, _> = self.engine.off_thread(list).await?;
        Ok(items?)
    }
}

/// Whether `src` is absolute, without a `..`, which is refused later.
fn in_step_terms(src: &OsStr) -> bool {
    let path = Path::new(src);
    path.is_absolute() && !path.components().any(|c| c == Component::ParentDir)
}

fn bring(
    input: &CopyInput,
    source: &Path,
    dst: &Path,
    owner: (u32, u32),
    draft: &dyn Draft,
) -> Result<(), BuildError> {
    let log = draft.log();
    File::create(&log).map_err(|error| BuildError::Io { path: log, error })?;
    let rootfs = draft.rootfs();
    let into = input.names_directory();
    copy_into(&CopyPlan { items: &input.items, source, rootfs: &rootfs, dst, into, owner })?;
    Ok(())
}
