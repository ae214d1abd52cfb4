use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use serde_json::Value;

use crate::attempt::Attempt;
use crate::core::workflow::{Reference, ReferenceError, Wanted, WorkflowRecord, references, resolve};
use crate::core::{FailureReason, Membership, StoreError};
use crate::error::What;
use crate::workflow::read::{ROOM, ReadError, Reader};
use crate::{Error, Result};

/// How long an attempt that can't read what it refers to is put off: as a claim is, it costs the task nothing.
const UNREAD: Duration = Duration::from_secs(1);

/// Puts the results of earlier steps into the plain arguments of a member that refers to them. A store that can't be read now puts the
/// attempt off; what is wrong with a reference fails the task for good.
pub(super) async fn put_results(attempt: &Attempt, of: &Membership, args: &str) -> Result<String> {
    let fail = |why: String| Error::new(What::Fail, FailureReason::InvalidArgs, why);
    let args: Value = serde_json::from_str(args).map_err(|error| fail(format!("the arguments are no JSON: {error}")))?;
    let found = references(&args).map_err(misfit)?;
    let results = tokio::select! {
        biased;
        results = read(attempt, of, &found) => results?,
        // Whoever asks says what becomes of it.
        () = attempt.token.cancelled() => return Err(Error::snooze(UNREAD)),
    };
    let mut result = |reference: &Reference| results.get(&key(reference)).unwrap_or(&Value::Null);
    Ok(resolve(args, ROOM, &mut result).map_err(misfit)?.to_string())
}

/// What is read at once: of one step all that its references want of the same sort.
type Key = (Option<String>, Wanted);

fn key(reference: &Reference) -> Key {
    (reference.step.clone(), reference.wanted)
}

fn misfit(error: ReferenceError) -> Error {
    if let ReferenceError::TooLarge { step, .. } = &error {
        return ReadError::TooLarge.into_error(step);
    }
    Error::new(What::Fail, FailureReason::InvalidArgs, error)
}

async fn read(attempt: &Attempt, of: &Membership, references: &[Reference]) -> Result<HashMap<Key, Value>> {
    let ground = &attempt.ground;
    let reader = Reader { source: &*ground.source, runtime: attempt.runtime(), workflow: of.workflow };
    // The workflow's row is read only by who needs more than results: most attempts do not.
    let needs_record = attempt.runtime().has_codecs() || references.iter().any(|reference| reference.wanted != Wanted::Result);
    let record = match needs_record {
        true => ground.store()?.workflow(of.workflow).await.map_err(unread)?,
        false => None,
    };
    let (mut results, mut room) = (HashMap::new(), ROOM);
    for reference in references {
        if let Entry::Vacant(free) = results.entry(key(reference)) {
            free.insert(read_one(&reader, record.as_ref(), reference, &mut room).await?);
        }
    }
    Ok(results)
}

async fn read_one(
    reader: &Reader<'_>,
    record: Option<&WorkflowRecord>,
    reference: &Reference,
    room: &mut usize,
) -> Result<Value> {
    let name = reference.step.as_deref().unwrap_or_default();
    let step = record.and_then(|record| record.steps.iter().find(|step| step.spec.name == name));
    let kind = step.map_or("", |step| step.spec.kind.as_str());
    let value = match (reference.wanted, &reference.step) {
        (Wanted::Result, _) => reader.one(name, kind, room).await,
        (Wanted::Results, _) => match step {
            Some(step) => reader.results(step, room).await.map(Value::Array),
            None => Err(ReadError::Gone),
        },
        (Wanted::Failure, of) => {
            let failed = match (of, step, record) {
                (Some(_), Some(step), _) => reader.failure_of(step).await,
                (None, _, Some(record)) => reader.failure(record).await,
                _ => Ok(None),
            };
            failed.map(|failed| serde_json::to_value(failed).unwrap_or_default()).map_err(ReadError::Store)
        }
    };
    value.map_err(|error| match error {
        ReadError::Store(error) => unread(error),
        error => error.into_error(name),
    })
}

fn unread(error: StoreError) -> Error {
    match error.is_transient() {
        true => Error::snooze_because(UNREAD, error),
        false => error.into(),
    }
}
