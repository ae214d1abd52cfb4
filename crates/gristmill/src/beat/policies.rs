use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What happens to ticks for which no beat ran: those that are found more than ten seconds late. (Ticks that are found sooner,
/// as after another beat took the lead, are run in any case.) Whatever is not run is recorded as missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// None of them is run.
    None,
    /// One run stands for all of them, unless a later tick is on time and does.
    #[default]
    Latest,
    /// They are run, the latest `max` of those that are not older than `window`, as far as [`Overlap`] lets them: only with
    /// [`Overlap::Allow`] do all of them.
    All {
        /// At most so many, up to 1,000.
        max: u16,
        /// Not those that were due longer ago, in seconds.
        #[serde(rename = "window_s", with = "seconds")]
        window: Duration,
    },
}

/// What happens at a tick when the task of the tick before has not ended, wherever it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The tick makes no task.
    #[default]
    Skip,
    /// It makes one all the same.
    Allow,
    /// It makes one as soon as that task has ended; one tick waits so, those after it are skipped.
    BufferOne,
    /// That task is cancelled, and the tick makes one. Of ticks that are found due together only the last makes one.
    CancelPrevious,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}
