use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::member::MemberDraft;
use crate::core::workflow::{Needs, StepDraft};
use crate::core::{InvalidInput, Overrides};

/// The steps of a workflow as they are being written, shared by it and the handles of its steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    id: PlanId,
    steps: Arc<Mutex<Vec<Planned>>>,
}

/// Which workflow a step was written for: another may have one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlanId(u64);

impl Default for PlanId {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A step from which something is taken, and how that has to end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Need {
    pub(super) plan: PlanId,
    pub(super) step: String,
    pub(super) needs: Needs,
}

/// A step of it; of a group without its members, which are made later.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) draft: StepDraft<Result<MemberDraft, InvalidInput>>,
    pub(super) options: Overrides,
    /// A step of another workflow that it was to wait for.
    pub(super) strange: Option<String>,
}

impl Plan {
    pub(super) fn id(&self) -> PlanId {
        self.id
    }

    /// Adds a step; its number.
    pub(super) fn add(&self, draft: StepDraft<Result<MemberDraft, InvalidInput>>) -> usize {
        let mut steps = self.steps();
        steps.push(Planned { draft, options: Overrides::default(), strange: None });
        steps.len() - 1
    }

    /// Changes a step.
    pub(super) fn change(&self, number: usize, change: impl FnOnce(&mut Planned)) {
        if let Some(step) = self.steps().get_mut(number) {
            change(step);
        }
    }

    pub(super) fn take(&self) -> Vec<Planned> {
        std::mem::take(&mut self.steps())
    }

    fn steps(&self) -> MutexGuard<'_, Vec<Planned>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Planned {
    /// That it waits for a step of this plan; what is said last of one holds.
    pub(super) fn wait_for(&mut self, plan: PlanId, Need { plan: of, step, needs }: Need) {
        if of != plan {
            self.strange.get_or_insert(step);
            return;
        }
        let after = &mut self.draft.after;
        after.retain(|(name, _)| *name != step);
        after.push((step, needs));
    }

    /// Whether it goes at once, as far as it itself says.
    pub(super) fn is_first(&self) -> bool {
        self.draft.is_work() && self.draft.after.is_empty()
    }
}

/// The options of a task, where it says nothing those of what it is part of.
pub(super) fn under(own: Overrides, common: &Overrides) -> Overrides {
    let mut headers = common.headers.clone();
    headers.extend(own.headers);
    Overrides {
        id: own.id,
        queue: own.queue.or_else(|| common.queue.clone()),
        priority: own.priority.or(common.priority),
        max_attempts: own.max_attempts.or(common.max_attempts),
        max_crashes: own.max_crashes.or(common.max_crashes),
        ack: own.ack.or(common.ack),
        retention: own.retention.or(common.retention),
        expires: own.expires.or(common.expires.filter(|_| own.expires_at.is_none())),
        expires_at: own.expires_at.or(common.expires_at.filter(|_| own.expires.is_none())),
        timeout: own.timeout.or(common.timeout),
        backoff: own.backoff.or_else(|| common.backoff.clone()),
        delay: own.delay.or(common.delay.filter(|_| own.run_at.is_none())),
        run_at: own.run_at.or(common.run_at.filter(|_| own.delay.is_none())),
        title: own.title.or_else(|| common.title.clone()),
        tags: common.tags.iter().cloned().chain(own.tags).collect(),
        headers,
        parent: own.parent.or(common.parent),
        concurrency: own.concurrency.or_else(|| common.concurrency.clone()),
        sequence: own.sequence.or_else(|| common.sequence.clone()),
        queue_concurrency: own.queue_concurrency.or(common.queue_concurrency),
        queue_fair_by: own.queue_fair_by.or_else(|| common.queue_fair_by.clone()),
        rate: own.rate.or_else(|| common.rate.clone()),
        unique: own.unique.or_else(|| common.unique.clone()),
        debounce: own.debounce.or_else(|| common.debounce.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::Timestamp;

    #[test]
    fn what_is_nearer_to_the_task_holds() {
        let second = Some(Duration::from_secs(1));
        let common = Overrides {
            queue: Some("common".into()),
            priority: Some(3),
            delay: second,
            expires: second,
            tags: vec!["a".into()],
            headers: [("h".to_owned(), "common".to_owned()), ("i".to_owned(), "common".to_owned())].into(),
            ..Overrides::default()
        };
        let at = Some(Timestamp::from_millis(1));
        let own = Overrides {
            queue: Some("own".into()),
            run_at: at,
            expires_at: at,
            tags: vec!["b".into()],
            headers: [("h".to_owned(), "own".to_owned())].into(),
            ..Overrides::default()
        };
        let both = under(own, &common);
        assert_eq!((both.queue.as_deref(), both.priority), (Some("own"), Some(3)));
        assert_eq!((both.delay, both.run_at, both.expires, both.expires_at), (None, at, None, at), "never both of two");
        assert_eq!(
            (both.tags, both.headers["h"].as_str(), both.headers["i"].as_str()),
            (vec!["a".into(), "b".into()], "own", "common")
        );
    }
}
