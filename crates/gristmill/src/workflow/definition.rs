use serde_json::{Map, Value, json};

use super::member::Prepared;
use crate::core::workflow::{Draft, Needs, Role, StepDraft, Tolerance};

/// What a workflow is made of, as JSON for people, without what its members take.
pub(super) fn of(draft: &Draft<Prepared>) -> String {
    let steps: Map<String, Value> = draft.steps.iter().map(|step| (step.name.clone(), Value::Object(of_step(step)))).collect();
    json!({ "name": draft.name, "steps": steps }).to_string()
}

fn of_step(step: &StepDraft<Prepared>) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("task".to_owned(), step.kind.as_str().into());
    if step.group {
        map.insert("tasks".to_owned(), step.members.len().into());
    }
    if !step.after.is_empty() {
        let after = match step.after.iter().all(|(_, needs)| *needs == Needs::Success) {
            true => step.after.iter().map(|(name, _)| name.as_str()).collect(),
            false => Value::Object(step.after.iter().map(|(name, needs)| (name.clone(), json!(needs))).collect()),
        };
        map.insert("after".to_owned(), after);
    }
    match (step.role, &step.undoes) {
        (_, Some(undoes)) => _ = map.insert("undoes".to_owned(), undoes.as_str().into()),
        (Role::Handler(needs), None) => {
            let role = match needs {
                Needs::Success => "on_success",
                Needs::Failure => "on_failure",
                Needs::End => "always",
            };
            map.insert("role".to_owned(), role.into());
        }
        (Role::Work | Role::Undo(_), None) => {}
    }
    match step.tolerance {
        Tolerance::NONE => {}
        Tolerance::Count(count) => _ = map.insert("may_fail".to_owned(), count.into()),
        Tolerance::Percent(percent) => _ = map.insert("may_fail".to_owned(), format!("{percent}%").into()),
    }
    map
}
