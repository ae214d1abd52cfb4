use std::collections::HashMap;

use super::definition::Definition;
use crate::client::Client;
use crate::core::{KindInfo, NewTask, Policy, StoreError, Timestamp};
use crate::schema::Schema;

/// The header of a tick's task that names its schedule.
pub const SCHEDULE_HEADER: &str = "schedule";
/// The header of a tick's task that holds the tick's instant, in RFC 3339.
pub const TICK_HEADER: &str = "tick";

/// Makes the tasks of ticks: of task types that this program has, and of those that others declared in the store.
#[derive(Default)]
pub(crate) struct Maker {
    elsewhere: HashMap<String, Elsewhere>,
}

struct Elsewhere {
    schema: Schema,
    policy: Policy,
}

impl Maker {
    /// Learns of task types that neither this program nor an earlier look knows.
    pub(crate) async fn learn<'d>(
        &mut self,
        client: &Client,
        definitions: impl Iterator<Item = &'d Definition>,
    ) -> Result<(), StoreError> {
        let mut unknown =
            definitions.filter(|d| client.registry().get(&d.task).is_none() && !self.elsewhere.contains_key(&d.task));
        if unknown.next().is_none() {
            return Ok(());
        }
        for kind in client.store().kinds().await? {
            if let KindInfo { name, schema: Some(schema), policy: Some(policy), .. } = kind
                // A newer version may have declared what this one can't read; that type stays unknown.
                && let Ok(schema) = Schema::compile(&schema)
            {
                self.elsewhere.insert(name, Elsewhere { schema, policy });
            }
        }
        Ok(())
    }

    /// The task of a tick; why not, for people.
    pub(crate) fn make(&self, client: &Client, name: &str, definition: &Definition, tick: Timestamp) -> Result<NewTask, String> {
        let args = definition.args_at(tick);
        let policy = match (client.registry().get(&definition.task), self.elsewhere.get(&definition.task)) {
            (Some(kind), _) => {
                kind.check_args(&args, client.limits()).map_err(|error| error.to_string())?;
                &kind.spec.policy
            }
            (None, Some(kind)) => {
                let value = serde_json::from_str(&args).map_err(|error| error.to_string())?;
                kind.schema.check(&value).map_err(|error| error.to_string())?;
                &kind.policy
            }
            (None, None) => return Err(format!("no program has declared the task type `{}`", definition.task)),
        };
        let mut over = definition.options.overrides();
        over.headers.insert(SCHEDULE_HEADER.to_owned(), name.to_owned());
        over.headers.insert(TICK_HEADER.to_owned(), tick.to_string());
        NewTask::resolve(&definition.task, policy, args, over, client.env().task_id(), client.limits())
            .map_err(|error| error.to_string())
    }
}
