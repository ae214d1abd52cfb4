use serde_json::{Map, Value, json};

use super::member::Prepared;
use crate::core::workflow::{Draft, Needs, Role, StepDraft, Tolerance};

/// What a workflow is made of, as JSON for people: its form in JSON, without what its members take.
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
        let after = step.after.iter().map(|(name, needs)| match needs {
            Needs::Success => json!(name),
            needs => json!({ "step": name, "needs": needs }),
        });
        map.insert("after".to_owned(), after.collect());
    }
    match (step.role, &step.undoes) {
        (_, Some(undoes)) => _ = map.insert("undoes".to_owned(), undoes.as_str().into()),
        (Role::Handler(needs), None) => _ = map.insert("on".to_owned(), json!(needs)),
        (Role::Work | Role::Undo(_), None) => {}
    }
    if step.tolerance != Tolerance::NONE {
        map.insert("tolerance".to_owned(), json!(step.tolerance));
    }
    map
}
