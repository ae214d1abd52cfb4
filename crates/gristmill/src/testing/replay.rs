use std::sync::Arc;

use serde_json::Value;

use super::{Harness, HarnessError, Performed};
use crate::core::durable::{Kept, MISMATCH_AT, Mismatch};
use crate::core::workflow::references;
use crate::core::{Claimed, InvalidInput, LeaseKey, LeaseRef, StoreError};
use crate::durable::{Begin, Journal, Recorded};
use crate::lock::Locks;
use crate::worker::execute::{self, End};
use crate::workflow::NESTED;

/// How far the code of today comes with what a task remembers; see [`Harness::replay`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Replayed {
    /// It asks for what is remembered, and then for these, which are not: it would go on there.
    Asks(Vec<String>),
    /// It asks for what is remembered, and waits for these, which have not come.
    Waits(Vec<String>),
    /// It asks for something else: a task that has come so far would stand still.
    Mismatch(Mismatch),
    /// The handler runs no more: the task has become a workflow.
    Replaced,
    /// It comes to its end.
    Ended(Box<Performed>),
}

impl Harness {
    /// Runs the code of today with what a task remembers, which [`Tasks::export`](crate::client::Tasks::export) or `gristmill tasks export` gives: up to where it
    /// would do something new, which is not done. So a change is tested with tasks of production before it is deployed.
    ///
    /// What a handler does outside of its steps, it does here as well.
    ///
    /// ```
    /// use gristmill::durable::Recorded;
    /// use gristmill::testing::{Harness, Replayed};
    /// use gristmill::{App, Context, Result, task};
    ///
    /// #[task(name = "order")]
    /// async fn order(cx: &Context) -> Result<()> {
    ///     cx.step("check", async || Ok(())).await?; // was not there when the task was at its first step
    ///     cx.step("charge", async || Ok(())).await
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let recorded = r#"{"id": "019a0000-0000-7000-8000-000000000000", "kind": "order", "state": "scheduled", "attempt": 1, "args": {},
    ///     "created_at": "2026-01-01T00:00:00Z", "now": "2026-01-02T00:00:00Z",
    ///     "steps": [{"position": 0, "name": "charge", "kept": "value", "value": null}]}"#;
    /// let test = Harness::new(App::new(()).register::<Order>()).await?;
    /// let replayed = test.replay(&serde_json::from_str(recorded)?).await?;
    /// let Replayed::Mismatch(mismatch) = replayed else { panic!("{replayed:?}") };
    /// assert_eq!(mismatch.to_string(), "as its step 1 it remembers `charge`, and the code asks for `check`");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the application has no such task type; if the arguments refer to results of other steps of a workflow, which an export does not have: put
    /// what they were into their place. Headers and tags are not part of it either.
    pub async fn replay(&self, recorded: &Recorded) -> Result<Replayed, HarnessError> {
        let client = &self.client;
        let env = &client.runtime().env;
        if client.registry().get(&recorded.kind).is_none() {
            let problem = format!("`{}` is none of this application; register it", recorded.kind);
            return Err(StoreError::from(InvalidInput::new("task", problem)).into());
        }
        let mut claimed = Claimed {
            lease: LeaseRef { id: recorded.id, fence: env.fence(), key: LeaseKey::default() },
            kind: recorded.kind.as_str().into(),
            queue: "replay".into(),
            attempt: recorded.attempt,
            // What it remembers is given, and not read.
            claim_no: 1,
            crashes: 0,
            max_attempts: u32::MAX,
            report_start: false,
            created_at: recorded.created_at,
            expires_in: None,
            args: match &recorded.args {
                Value::String(text) => text.clone(),
                args => args.to_string(),
            },
            meta: None,
        };
        let mut attempt = execute::prepare(client.ground(), &mut claimed, None);
        attempt.lease = None;
        attempt.journal = Journal::replaying(claimed.lease);
        attempt.locks = Locks::alone();
        let mut memories = recorded.memories();
        // It is to be seen whether it still stands still.
        memories.kept.retain(|memory| memory.position != MISMATCH_AT);
        if let Begin::Replaced(_) = attempt.journal.begin(memories, env.now()) {
            return Ok(Replayed::Replaced);
        }
        // The arguments of a workflow that is a task are one, with references of its own.
        if recorded.kind != NESTED && references(&recorded.args).is_ok_and(|found| !found.is_empty()) {
            let problem =
                "refer to results of other steps, which are not part of what was exported; put them there in their place";
            return Err(StoreError::from(InvalidInput::new("args", problem)).into());
        }
        let attempt = Arc::new(attempt);
        Ok(match execute::run(&attempt, claimed).await {
            Some(End::Wait(checkpoint)) => {
                let (mut asked, mut waits) = (Vec::new(), Vec::new());
                for memory in checkpoint.memories {
                    match memory.kept {
                        Kept::Mismatch(mismatch) => return Ok(Replayed::Mismatch(mismatch)),
                        _ if recorded.steps.iter().any(|step| step.position == memory.position) => waits.push(memory.name),
                        _ => asked.push(memory.name),
                    }
                }
                if asked.is_empty() { Replayed::Waits(waits) } else { Replayed::Asks(asked) }
            }
            Some(End::Settle(settlement)) => Replayed::Ended(Box::new(Performed::of(settlement, &attempt))),
            None => Replayed::Ended(Box::new(Performed::refused(&"the attempt has settled itself"))),
        })
    }
}
