use crate::core::{InvalidInput, StoreError};
use crate::schedule::RuleError;

/// Why a schedule was not changed. Nothing of the change was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// Its timing can't be, or never ticks.
    #[error("schedule `{name}`: {error}")]
    Rule {
        /// The schedule.
        name: String,
        /// What is wrong.
        #[source]
        error: RuleError,
    },
    /// Its name, its arguments or its options are out of range.
    #[error("schedule `{name}`: {error}")]
    Invalid {
        /// The schedule.
        name: String,
        /// What is wrong.
        #[source]
        error: InvalidInput,
    },
    /// Neither this program nor, as far as the store has heard, another has its task type.
    #[error("schedule `{name}`: there is no task type `{task}`{}", hint(near))]
    UnknownTask {
        /// The schedule.
        name: String,
        /// The task type.
        task: String,
        /// Names like it.
        near: Vec<String>,
    },
    /// It was to be made anew, but there is one of this name.
    #[error("there is a schedule `{name}` already; choose another name, or edit that one")]
    Exists {
        /// The schedule.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no schedule `{name}`")]
    NotFound {
        /// The schedule.
        name: String,
    },
    /// A program or a file defines a schedule whose name is another's.
    #[error("schedule `{name}` belongs to `{owner}`; rename one of the two, or remove it there first")]
    Owned {
        /// The schedule.
        name: String,
        /// Who defines it.
        owner: String,
    },
    /// What is stored of it can't be read, perhaps because a newer version wrote it.
    #[error("schedule `{name}`: {problem}; define it anew, or remove it")]
    Unreadable {
        /// The schedule.
        name: String,
        /// Why.
        problem: String,
    },
    /// The store did not acknowledge.
    #[error("the schedules could not be read or written: {0}")]
    Store(#[from] StoreError),
}

fn hint(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}
