//! `copy` steps.
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::job::Task;
use super::jobs::Job;
use super::off_thread::off_thread;
use super::work::Work;
use super::{Build, BuildError, Made, Workshop};
use crate::spec::{Copy, CopyFrom};
use crate::step::{Context, CopyInput, Manifest};
use crate::store::{Draft, Tree};
use crate::transfer::copy::{CopyPlan, copy_into};

/// Files to bring into a draft.
pub(super) struct Copying {
    input: CopyInput,
    source: Source,
}

/// The tree that is copied from, there as long as this lives.
#[derive(Clone)]
enum Source {
    Context(PathBuf),
    Stage(Arc<Tree>),
}

impl AsRef<Path> for Source {
    fn as_ref(&self) -> &Path {
        match self {
            Self::Context(dir) => dir,
            Self::Stage(tree) => tree,
        }
    }
}

impl Build<'_> {
    /// The result of a `copy` onto `base`.
    pub(super) async fn copy(
        &mut self,
        context: &Context,
        base: Made,
        copy: &Copy,
    ) -> Result<Made, BuildError> {
        let source = self.source(context, &copy.from).await?;
        if let Source::Context(dir) = &source {
            self.check_store_is_apart(dir, copy)?;
        }
        let items = self.items(&source, copy).await?;
        let input = context.copy(base.id.clone(), items, &copy.dst);
        let id = input.id()?;
        if let Some(made) = self.cached(&id)? {
            return Ok(made);
        }
        let work = Work::Copy(Copying { input, source });
        self.made(Task { id, base: Some(base), work }).await
    }

    async fn source(&mut self, context: &Context, from: &CopyFrom) -> Result<Source, BuildError> {
        let CopyFrom::Build(name) = from else { return Ok(Source::Context(self.order.source.clone())) };
        let unknown = || BuildError::StageLost(name.clone());
        let id = context.scope.get(name).ok_or_else(unknown)?;
        let stage = self.workshop.store.find(id)?.ok_or_else(unknown)?;
        let tree = off_thread(self.cancel, move || stage.tree()).await??;
        Ok(Source::Stage(Arc::new(tree)))
    }

    /// Checks that no source holds the store: its files change while they are copied, and with each build.
    fn check_store_is_apart(&self, source: &Path, copy: &Copy) -> Result<(), BuildError> {
        let Ok(store) = self.workshop.store.dir().canonicalize() else { return Ok(()) };
        for src in &copy.src {
            let Ok(item) =
                source.join(Path::new(src).strip_prefix("/").unwrap_or(Path::new(src))).canonicalize()
            else {
                continue;
            };
            let Ok(below) = store.strip_prefix(&item) else { continue };
            if !below.iter().any(|name| copy.exclude.iter().any(|excluded| excluded == name)) {
                return Err(BuildError::StoreInSource { source_path: src.clone(), store });
            }
        }
        Ok(())
    }

    /// Lists the sources. Those in a result are named as its steps saw them.
    async fn items(&mut self, source: &Source, copy: &Copy) -> Result<Vec<Manifest>, BuildError> {
        let named = copy.src.iter().map(|src| match copy.from {
            CopyFrom::Build(_) if in_step_terms(src) => self.workshop.sandbox.locate(Path::new(src)).into(),
            _ => src.clone(),
        });
        let named: Vec<OsString> = named.collect();
        let (root, exclude) = (source.clone(), copy.exclude.clone());
        let list = move || named.iter().map(|src| Manifest::generate(root.as_ref(), src, &exclude)).collect();
        let items: Result<_, _> = off_thread(self.cancel, list).await?;
        Ok(items?)
    }
}

impl Copying {
    /// Brings them.
    pub(super) async fn make(
        self,
        workshop: &Arc<Workshop>,
        draft: Box<dyn Draft>,
        job: &Arc<Job>,
    ) -> Result<Box<dyn Draft>, BuildError> {
        let owner = workshop.sandbox.owner(&self.input.user)?;
        let dst = workshop.sandbox.locate(Path::new(&self.input.dst));
        off_thread(&job.cancel, move || bring(&self, &dst, owner, draft.as_ref()).map(|()| draft)).await?
    }
}

/// Whether `src` is absolute, without a `..`, which is refused later.
fn in_step_terms(src: &OsStr) -> bool {
    let path = Path::new(src);
    path.is_absolute() && !path.components().any(|c| c == Component::ParentDir)
}

fn bring(copying: &Copying, dst: &Path, owner: (u32, u32), draft: &dyn Draft) -> Result<(), BuildError> {
    let log = draft.log();
    File::create(&log).map_err(|error| BuildError::Io { path: log, error })?;
    let (rootfs, source, input) = (draft.rootfs(), copying.source.as_ref(), &copying.input);
    let into = input.names_directory();
    copy_into(&CopyPlan { items: &input.items, source, rootfs: &rootfs, dst, into, owner })?;
    Ok(())
}
