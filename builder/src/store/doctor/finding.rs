//! The things that can differ, in words.
use std::fmt;
use std::path::PathBuf;

use crate::step::StepId;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// SQLite cannot use the database. Mended: it is moved beside, and made again from the results.
    DamagedDatabase {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// A row whose result is gone. Mended: the row goes.
    RowWithoutResult {
        /// What the row calls it; it may be no id at all.
        id: String,
    },
    /// A result that no row knows. Mended: it gets one.
    ResultWithoutRow {
        /// The result.
        id: StepId,
    },
    /// A directory among the results that is not a whole one. Mended: it goes.
    HalfResult {
        /// The result it would be.
        id: StepId,
    },
    /// The count of what was made from a result is wrong. Mended: it is counted.
    WrongCount {
        /// The result.
        id: String,
        /// What is written down.
        written: i64,
        /// What is true.
        counted: i64,
    },
    /// A row names a parent that has no row. Mended: it names none.
    UnknownParent {
        /// The result.
        id: String,
        /// The parent.
        parent: String,
    },
    /// A result that may have been spoilt by a power failure. Mended: it goes.
    Spoilt {
        /// The result.
        id: StepId,
    },
    /// What a killed build left. Mended: it goes.
    LeftOver {
        /// Where it is.
        path: PathBuf,
    },
    /// Something among the results that is none, and not ours to remove.
    Stranger {
        /// Where it is.
        path: PathBuf,
    },
}

impl Finding {
    /// A word for it, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DamagedDatabase { .. } => "damaged-database",
            Self::RowWithoutResult { .. } => "row-without-result",
            Self::ResultWithoutRow { .. } => "result-without-row",
            Self::HalfResult { .. } => "half-result",
            Self::WrongCount { .. } => "wrong-count",
            Self::UnknownParent { .. } => "unknown-parent",
            Self::Spoilt { .. } => "spoilt",
            Self::LeftOver { .. } => "left-over",
            Self::Stranger { .. } => "stranger",
        }
    }
}

/// What it is, in one line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DamagedDatabase { path, why } => {
                write!(f, "the database {} is damaged: {why}", path.display())
            }
            Self::RowWithoutResult { id } => write!(f, "the database knows {id}, which is not there"),
            Self::ResultWithoutRow { id } => write!(f, "the database does not know {id}, which is there"),
            Self::HalfResult { id } => write!(f, "{id} is not a whole result"),
            Self::WrongCount { id, written, counted } => {
                write!(f, "{counted} results were made from {id}, not {written} as the database says")
            }
            Self::UnknownParent { id, parent } => {
                write!(f, "{id} was made from {parent}, which the database does not know")
            }
            Self::Spoilt { id } => write!(f, "{id} may have been spoilt by a power failure"),
            Self::LeftOver { path } => write!(f, "{} was left by a build that was killed", path.display()),
            Self::Stranger { path } => {
                write!(f, "{} is not obuilder's; remove it by hand if nobody needs it", path.display())
            }
        }
    }
}
