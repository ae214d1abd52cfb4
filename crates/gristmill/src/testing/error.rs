use crate::beat::ScheduleError;
use crate::core::{StoreError, StoreErrorKind, Timestamp};

/// Why a test did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A schedule of the application can't be.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// These tasks succeeded, but not when they were run again.
    #[error("{}", .0.join("; "))]
    NotRepeatable(Vec<String>),
    /// More was to run than one call may.
    #[error(
        "{steps} attempts and ticks were run, the clock stands at {now}, and there is more: tasks enqueue each other without end, \
         or the clock was to be moved too far at once; `Harness::steps_max` allows more"
    )]
    Endless {
        /// How many were allowed.
        steps: usize,
        /// Where the clock stood.
        now: Timestamp,
    },
}

impl From<HarnessError> for StoreError {
    /// For who enqueues, in whose call the tasks run then.
    fn from(error: HarnessError) -> Self {
        match error {
            HarnessError::Store(error) => error,
            other => Self::new(StoreErrorKind::Other, other.to_string()).with_source(other),
        }
    }
}
