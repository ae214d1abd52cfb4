use serde::{Deserialize, Deserializer, Serialize};

use super::Need;
use crate::{Failure, FailureReason, InvalidInput};

/// What becomes of a task that comes to the front of a key's line while none of its slots is free. Only of one that has not begun: whoever comes back
/// for its next attempt waits.
///
/// In configuration and as JSON: `"wait"`, `"drop"`, `"keep_newest"`, `"keep_oldest"` or `"cancel_running"`. There is none that refuses the enqueue:
/// no caller's transaction locks a key, so that nobody knows then what will be free.
///
/// A task that is dropped ends as cancelled, and its failure names the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnExcess {
    /// It waits, in the order in which tasks were enqueued, and holds nothing meanwhile.
    #[default]
    Wait,
    /// It is dropped.
    Drop,
    /// It waits until another one comes to wait, and is dropped then.
    KeepNewest,
    /// It waits, and all that come to wait behind it are dropped.
    KeepOldest,
    /// It waits, and those that hold the slots by the same rule are cancelled, the oldest first, as many as it needs: at once if they have not begun, by
    /// request if they run. One behind which so many wait as there are slots is dropped: they would take its place in turn.
    CancelRunning,
}

impl OnExcess {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(crate) const fn is_wait(&self) -> bool {
        matches!(self, Self::Wait)
    }

    /// One that this version does not know, of a newer one, waits: could the task's needs not be read, nothing would limit it.
    pub(super) fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = serde_json::Value::deserialize(deserializer)?;
        Ok(serde_json::from_value(word).unwrap_or_default())
    }

    /// What a task needs that has begun before, or was let in and was to go back as a limit was lowered: it waits.
    pub fn once_begun(mut needs: Vec<Need>) -> Vec<Need> {
        needs.iter_mut().for_each(|need| need.on_excess = Self::Wait);
        needs
    }

    /// Why a task ends that is not to wait for this key.
    pub fn dropped(self, key: &str) -> Failure {
        let why = match self {
            Self::KeepNewest | Self::CancelRunning => "a newer task waits for",
            Self::KeepOldest => "an older task waits already for",
            Self::Wait | Self::Drop => "there was no free slot of",
        };
        Failure::new(FailureReason::Cancelled, format!("dropped: {why} {key:?}"))
    }

    /// What waits for its turn would be dropped for the one before it.
    pub(crate) fn beside_turns() -> InvalidInput {
        let problem = "ends what would wait, and in a sequence, or by `run_after` or `collect`, each task waits for the one before it; take one of them";
        InvalidInput::new("on_excess", problem)
    }

    /// What a task says of a key that it needs.
    pub fn of(needs: &[Need], key: &str) -> Self {
        needs.iter().find(|need| need.key == key).map_or(Self::Wait, |need| need.on_excess)
    }
}

/// Who is asked to make room, of those that hold slots of a key, which come with how many each has, and whether it was asked before; the oldest come first.
pub fn evict<T>(lacking: u64, holders: impl IntoIterator<Item = (T, u32, bool)>) -> Vec<T> {
    let (asked, others): (Vec<_>, Vec<_>) = holders.into_iter().partition(|(.., is_asked)| *is_asked);
    let mut coming: u64 = asked.iter().map(|(_, cost, _)| u64::from(*cost)).sum();
    // Nobody is asked in vain.
    if others.iter().map(|(_, cost, _)| u64::from(*cost)).sum::<u64>() + coming < lacking {
        return Vec::new();
    }
    let is_due = |(_, cost, _): &(T, u32, bool)| {
        let is_due = coming < lacking;
        coming += u64::from(*cost);
        is_due
    };
    others.into_iter().take_while(is_due).map(|(holder, ..)| holder).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_oldest_make_room_but_for_those_that_were_asked_before() {
        let holders = [("a", 1, false), ("b", 2, true), ("c", 2, false), ("d", 1, false)];
        assert_eq!(evict(2, holders), [""; 0], "what b has is coming");
        assert_eq!(evict(3, holders), ["a"]);
        assert_eq!(evict(4, holders), ["a", "c"]);
        assert_eq!(evict(6, holders), ["a", "c", "d"]);
        assert_eq!(evict(7, holders), [""; 0], "nor would all of them be enough");
        assert_eq!(evict(0, holders), [""; 0]);
    }

    #[test]
    fn what_a_newer_version_says_of_a_need_waits() {
        let need = |word: &str| serde_json::from_value::<Need>(json!({ "key": "k", "limit": 1, "on_excess": word })).unwrap();
        assert_eq!(need("keep_newest").on_excess, OnExcess::KeepNewest);
        assert_eq!(need("explode").on_excess, OnExcess::Wait);
        assert_eq!(serde_json::to_value(need("drop")).unwrap(), json!({ "key": "k", "limit": 1, "on_excess": "drop" }));
    }
}
