use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use crate::sql;
use crate::step::{Answer, Next, Statement, Step, Value};
use crate::text::Lossy;

/// Above this many names the cache starts anew, so that a queue for every tenant does not fill the memory.
const NAMES_MAX: usize = 100_000;

/// Queues and task types as small integers.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) queues: Interned<Queues>,
    pub(crate) kinds: Interned<Kinds>,
}

/// One sort of name.
pub(crate) struct Interned<S> {
    ids: HashMap<Arc<str>, i64>,
    names: HashMap<i64, Arc<str>>,
    sort: PhantomData<S>,
}

impl<S> Default for Interned<S> {
    fn default() -> Self {
        Self { ids: HashMap::new(), names: HashMap::new(), sort: PhantomData }
    }
}

/// The statements of one sort of name.
pub(crate) trait Sort {
    const ADD: Statement;
    const FIND: Statement;
    const NAME: &'static str;
}

pub(crate) enum Queues {}
pub(crate) enum Kinds {}

impl Sort for Queues {
    const ADD: Statement = Statement::QueueAdd;
    const FIND: Statement = Statement::QueueFind;
    const NAME: &'static str = sql::QUEUE_NAME;
}

impl Sort for Kinds {
    const ADD: Statement = Statement::KindAdd;
    const FIND: Statement = Statement::KindFind;
    const NAME: &'static str = sql::KIND_NAME;
}

/// The way from a name to its number, which it is given if it has none.
#[derive(Clone, Copy, Default)]
pub(crate) enum Naming {
    #[default]
    Begun,
    Looked,
    Added,
}

impl Naming {
    pub(crate) fn step<'n, S: Sort>(&mut self, names: &mut Interned<S>, name: &'n str, answer: Answer) -> Next<'n, i64> {
        let id = match self {
            Self::Begun => names.ids.get(name).copied(),
            Self::Looked => answer.found,
            // Added by somebody else meanwhile, if nothing was changed: it is looked for again.
            Self::Added => Some(answer.key).filter(|_| answer.changed > 0),
        };
        if let Some(id) = id {
            if !matches!(self, Self::Begun) {
                names.keep(name.into(), id);
            }
            return Next::Done(id);
        }
        let (next, statement) = match self {
            Self::Begun | Self::Added => (Self::Looked, S::FIND),
            Self::Looked => (Self::Added, S::ADD),
        };
        *self = next;
        Next::Run(Step::new(statement, [Value::Text(name)]))
    }
}

impl<S: Sort> Interned<S> {
    /// The number of `name`, if it has one.
    pub(crate) fn find(&mut self, conn: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.ids.get(name) {
            return Ok(Some(*id));
        }
        let id = conn.prepare_cached(S::FIND.sql())?.query_row([name], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.keep(name.into(), id);
        }
        Ok(id)
    }

    /// The name behind a number.
    pub(crate) fn name(&mut self, conn: &Connection, id: i64) -> rusqlite::Result<Option<Arc<str>>> {
        if let Some(name) = self.names.get(&id) {
            return Ok(Some(name.clone()));
        }
        let name = conn.prepare_cached(S::NAME)?.query_row([id], |row| row.get(0)).optional()?;
        let Some(Lossy(name)) = name else { return Ok(None) };
        let name: Arc<str> = name.into();
        // What is not UTF-8 reads like other names that are not; asked for by such a name, the file has to be asked.
        if name.contains(char::REPLACEMENT_CHARACTER) {
            return Ok(Some(name));
        }
        self.keep(name.clone(), id);
        Ok(Some(name))
    }

    fn keep(&mut self, name: Arc<str>, id: i64) {
        if self.ids.len() >= NAMES_MAX {
            self.ids.clear();
            self.names.clear();
        }
        self.ids.insert(name.clone(), id);
        self.names.insert(id, name);
    }
}
