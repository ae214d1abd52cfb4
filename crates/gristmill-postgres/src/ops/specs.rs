use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use gristmill_core::workflow::{Graph, StepSpec};
use gristmill_core::{StoreError, StoreErrorKind};
use uuid::Uuid;

use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// So many bytes of definitions are kept, and those of one workflow besides.
const BYTES_MAX: usize = 16 << 20;
/// What a definition costs beside its text.
const STEP_BYTES: usize = 200;

/// A row of a workflow: its id, and its number, as the id may be given again once the row is gone.
pub(super) type Key = (Uuid, i64);

/// What the steps of one workflow are, by their numbers, and what they wait for.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) specs: Arc<[Arc<StepSpec>]>,
    pub(super) graph: Arc<Graph>,
}

/// `None` if no program of this version can read it.
type Read = Option<Definition>;

/// What the steps of workflows are, as far as this process has read it: it never changes, and a workflow of many steps goes on often.
#[derive(Debug, Default)]
pub(crate) struct Specs(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    read: HashMap<Key, Read>,
    bytes: usize,
}

impl Specs {
    /// The definitions of these workflows' steps, but of those that can't be read: these stand still and hold up no others.
    pub(super) async fn of(&self, s: &Session<'_>, keys: &[Key]) -> Result<BTreeMap<Uuid, Definition>, Fault> {
        let mut found = self.known(keys);
        let missing: Vec<Key> = keys.iter().filter(|(id, _)| !found.contains_key(id)).copied().collect();
        if !missing.is_empty() {
            let read = read(s, &missing).await?;
            self.keep(&missing, &read);
            found.extend(read.into_iter().map(|(id, (read, _))| (id, read)));
        }
        Ok(found.into_iter().filter_map(|(id, read)| Some((id, read?))).collect())
    }

    fn known(&self, keys: &[Key]) -> BTreeMap<Uuid, Read> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().filter_map(|key| Some((key.0, kept.read.get(key)?.clone()))).collect()
    }

    fn keep(&self, keys: &[Key], read: &BTreeMap<Uuid, (Read, usize)>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let Some((read, bytes)) = read.get(&key.0) else { continue };
            if kept.bytes > BYTES_MAX {
                *kept = Kept::default();
            }
            kept.bytes += STEP_BYTES + bytes;
            kept.read.insert(*key, read.clone());
        }
    }
}

/// Reads those of workflows, with the bytes that they take.
async fn read(s: &Session<'_>, keys: &[Key]) -> Result<BTreeMap<Uuid, (Read, usize)>, Fault> {
    let ids: Vec<Uuid> = keys.iter().map(|(id, _)| *id).collect();
    let mut texts: BTreeMap<Uuid, Vec<(i32, String)>> = ids.iter().map(|id| (*id, Vec::new())).collect();
    for row in s.rows(Q::StepSpecs, &[&ids]).await? {
        texts.entry(row.try_get(0)?).or_default().push((row.try_get(1)?, row.try_get(2)?));
    }
    let parsed = texts.into_iter().map(|(id, texts)| {
        let bytes = texts.iter().map(|(_, text)| STEP_BYTES + text.len()).sum();
        let specs = all(&texts);
        if let Err(why) = &specs {
            tracing::error!(workflow = %id, why, "a workflow can't be read, and stands still");
        }
        (id, (specs.ok(), bytes))
    });
    Ok(parsed.collect())
}

fn all(texts: &[(i32, String)]) -> Result<Definition, String> {
    let spec = |((number, text), at): (&(i32, String), i32)| {
        if *number != at {
            return Err(format!("it has no step {at}"));
        }
        serde_json::from_str(text).map(Arc::new).map_err(|error| unreadable(&error))
    };
    let specs = texts.iter().zip(0..).map(spec).collect::<Result<Arc<[Arc<StepSpec>]>, String>>()?;
    Ok(Definition { graph: Arc::new(Graph::of(specs.iter().map(|spec| &**spec))), specs })
}

/// A step's definition as it is kept.
pub(crate) fn spec(text: &str) -> Result<StepSpec, Fault> {
    serde_json::from_str(text).map_err(|error| StoreError::new(StoreErrorKind::Corrupt, unreadable(&error)).into())
}

fn unreadable(error: &serde_json::Error) -> String {
    format!("the definition of a step can't be read: {error}")
}
