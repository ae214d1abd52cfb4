use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::read::read_within;
use super::{Form, FormError, Mistakes};
use crate::core::workflow::{Reference, Wanted, reference_places, references};
use crate::written::Entries;

/// The task type of a step that is a workflow itself, which every worker on a store has. Its arguments are a workflow in its JSON [form](Form).
pub const NESTED: &str = "gristmill.workflow";
/// So deep may workflows stand within each other.
const DEPTH_MAX: usize = 8;
/// Where the arguments have the text of a form, and what the steps around it gave.
const FORM: &str = "workflow";
const GIVEN: &str = "given";

/// What a form stands in.
#[derive(Clone, Debug, Default)]
pub(super) enum Around {
    /// Nothing: what it refers to is its own.
    #[default]
    Nothing,
    /// Another form, so deep. What it refers to and does not have is that one's.
    Form(usize),
    /// A task, which has what the form around gave.
    Task(BTreeMap<String, Value>),
}

/// The arguments of a step that is a workflow: the text of its form, and what that takes of the steps around it.
pub(super) fn args(place: &str, form: &RawValue, depth: usize, mistakes: &mut Mistakes) -> Value {
    if depth >= DEPTH_MAX {
        mistakes.add(place, format!("is more than {DEPTH_MAX} workflows deep"));
        return Value::Null;
    }
    let (found, taken) = read_within(form, Around::Form(depth + 1));
    if let Err(error) = found {
        for mistake in error.mistakes {
            mistakes.add(format!("{place}{}", mistake.place), mistake.why);
        }
    }
    let given: Map<_, _> = taken.iter().map(|reference| (key(reference), as_json(reference))).collect();
    let mut args = Map::from_iter([(FORM.to_owned(), Value::from(form.get()))]);
    if !given.is_empty() {
        args.insert(GIVEN.to_owned(), Value::Object(given));
    }
    Value::Object(args)
}

impl Form {
    /// The form that a task of type `gristmill.workflow` has as its arguments: itself, or its text with what the form around it gave.
    pub(crate) fn of_task(args: &str) -> Result<Self, FormError> {
        let entries = Entries::read(args).map_err(|error| FormError::one("", format!("is not JSON: {error}")))?;
        let Some(text) = entries.get(FORM) else { return Self::read(args) };
        let text: String = serde_json::from_str(text.get()).map_err(|error| FormError::one("/workflow", error.to_string()))?;
        let given: BTreeMap<String, Value> = match entries.get(GIVEN) {
            Some(given) => serde_json::from_str(given.get()).map_err(|error| FormError::one("/given", error.to_string()))?,
            None => BTreeMap::new(),
        };
        // It may come from whoever the application serves, and must not read a result.
        if let Some((of, _)) = given.iter().find(|(_, value)| !references(value).is_ok_and(|found| found.is_empty())) {
            let why = format!(
                "`{of}` has an object with the key `$result`, `$results` or `$failure`, which would be taken for a reference"
            );
            return Err(FormError::one("/given", why));
        }
        let form: &RawValue = serde_json::from_str(&text).map_err(|error| FormError::one("", format!("is not JSON: {error}")))?;
        read_within(form, Around::Task(given)).0
    }
}

/// Puts into arguments what the form around gave, or says what they take of it.
pub(super) fn take(args: &mut Value, own: &BTreeSet<String>, around: &Around, taken: &mut Vec<Reference>) {
    if matches!(around, Around::Nothing) {
        return;
    }
    let Ok(mut found) = references(args) else { return };
    found.retain(|reference| reference.step.as_ref().is_some_and(|step| !own.contains(step)));
    if found.is_empty() {
        return;
    }
    replace(args, &mut |value| {
        // As it is read, and not as it is written: that may be done in several ways.
        let (reference, _) = reference_places(value).ok()?.into_iter().find(|(_, place)| place.is_empty())?;
        let reference = found.iter().find(|of| **of == reference)?;
        Some(match around {
            Around::Task(given) => given.get(&key(reference))?.clone(),
            _ => Value::Null,
        })
    });
    if matches!(around, Around::Form(_)) {
        for reference in found {
            if !taken.contains(&reference) {
                taken.push(reference);
            }
        }
    }
}

/// Replaces what `with` says, from the outside in.
fn replace(value: &mut Value, with: &mut impl FnMut(&Value) -> Option<Value>) {
    if let Some(other) = with(value) {
        *value = other;
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, with)),
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, with)),
        _ => {}
    }
}

fn as_json(reference: &Reference) -> Value {
    let step = reference.step.clone().map_or(Value::Bool(true), Value::String);
    let mut map = Map::from_iter([(word(reference).to_owned(), step)]);
    if !reference.at.is_empty() {
        map.insert("at".to_owned(), reference.at.as_str().into());
    }
    Value::Object(map)
}

/// What of the form around is meant, for people.
fn key(reference: &Reference) -> String {
    let step = reference.step.as_deref().unwrap_or_default();
    let kind = match reference.wanted {
        Wanted::Result => "result",
        Wanted::Results => "results",
        Wanted::Failure => "failure",
    };
    format!("{kind} of {step}{}", reference.at)
}

fn word(reference: &Reference) -> &'static str {
    match reference.wanted {
        Wanted::Result => "$result",
        Wanted::Results => "$results",
        Wanted::Failure => "$failure",
    }
}
