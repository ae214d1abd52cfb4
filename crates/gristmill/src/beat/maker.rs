use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::definition::Definition;
use super::error::ScheduleError;
use crate::core::{InvalidInput, KindInfo, NewTask, Policy, SCHEDULE_HEADER, Store, StoreError, Timestamp};
use crate::registry::{self, Registered};
use crate::runtime::Runtime;
use crate::schema::Schema;

/// The header of a tick's task that holds the tick's instant, in RFC 3339.
pub const TICK_HEADER: &str = "tick";

/// What other programs declared is read again after this: they may have been deployed anew.
const LEARN_AGAIN: Duration = Duration::from_secs(30);

/// Makes the tasks of ticks: of task types that this program has, and of those that others declared in the store.
#[derive(Default)]
pub(crate) struct Maker {
    elsewhere: HashMap<String, Elsewhere>,
    /// All names that the store knows, for hints.
    names: Vec<String>,
    learned_at: Option<Instant>,
}

struct Elsewhere {
    schema: Schema,
    policy: Policy,
}

/// Why a tick has no task.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    #[error("no program has declared the task type `{task}`")]
    Unknown { task: String, near: Vec<String> },
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
}

impl MakeError {
    pub(crate) fn of(self, name: &str) -> ScheduleError {
        let name = name.to_owned();
        match self {
            Self::Unknown { task, near } => ScheduleError::UnknownTask { name, task, near },
            Self::Invalid(error) => ScheduleError::Invalid { name, error },
        }
    }
}

impl Maker {
    /// Learns of task types that this program does not have, or of which it has another version, unless it knows them from a
    /// short time ago.
    pub(crate) async fn learn<'d>(
        &mut self,
        store: &dyn Store,
        runtime: &Runtime,
        definitions: impl Iterator<Item = &'d Definition>,
    ) -> Result<(), StoreError> {
        let is_foreign = |d: &&Definition| {
            let fits = |kind: &Registered| kind.check_args(&d.args_at(Timestamp::default()), &runtime.limits).is_ok();
            !runtime.registry.get(&d.task).is_some_and(fits)
        };
        let wanted: BTreeSet<_> = definitions.filter(is_foreign).map(|d| d.task.as_str()).collect();
        let is_fresh = self.learned_at.is_some_and(|at| at.elapsed() < LEARN_AGAIN);
        if wanted.iter().all(|task| is_fresh && self.elsewhere.contains_key(*task)) {
            return Ok(());
        }
        let kinds = store.kinds().await?;
        if !is_fresh {
            self.elsewhere.clear();
            self.learned_at = Some(Instant::now());
        }
        self.names = kinds.iter().map(|kind| kind.name.clone()).collect();
        for kind in kinds {
            if let KindInfo { name, schema: Some(schema), policy: Some(policy), .. } = kind
                && wanted.contains(name.as_str())
                // A newer version may have declared what this one can't read; that type stays unknown.
                && let Ok(schema) = Schema::compile(&schema)
            {
                self.elsewhere.insert(name, Elsewhere { schema, policy });
            }
        }
        Ok(())
    }

    /// The task of a tick.
    pub(crate) fn make(
        &self,
        runtime: &Runtime,
        name: &str,
        definition: &Definition,
        tick: Timestamp,
    ) -> Result<NewTask, MakeError> {
        let task = &definition.task;
        let args = definition.args_at(tick);
        let own = runtime.registry.get(task);
        let policy = match (own.map(|kind| kind.check_args(&args, &runtime.limits).map(|()| kind)), self.elsewhere.get(task)) {
            (Some(Ok(kind)), _) => &kind.spec.policy,
            // What does not fit here may be another version's, while a program is deployed.
            (_, Some(kind)) => {
                kind.schema.check(&registry::object(&args, &runtime.limits)?)?;
                &kind.policy
            }
            (Some(Err(error)), None) => return Err(error.into()),
            (None, None) => {
                let declared = self.names.iter().map(String::as_str);
                let own = runtime.registry.names();
                return Err(MakeError::Unknown { task: task.clone(), near: registry::near(task, own.chain(declared)) });
            }
        };
        let mut over = definition.options.overrides();
        over.headers.insert(SCHEDULE_HEADER.to_owned(), name.to_owned());
        over.headers.insert(TICK_HEADER.to_owned(), tick.to_string());
        Ok(runtime.new_task(task, policy, args, over)?)
    }
}
