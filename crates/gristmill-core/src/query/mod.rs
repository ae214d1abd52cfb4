//! What people type to find tasks: one grammar for the command line, an HTTP API and pages.
//!
//! ```text
//! state:failed kind:email* age:>1h args.user:42 -tag:test
//! (queue:mail OR queue:sms) error:"connection refused" created:2027-01-31
//! ```
//!
//! Conditions stand beside each other and all have to hold; `OR`, `NOT` or a `-`, and parentheses join them otherwise. A word
//! without a field is looked for in title, task type and tags.

mod doubt;
mod error;
mod narrow;
mod parse;
mod term;
mod value;

use std::fmt;
use std::ops::Range;

pub use self::error::QueryError;
use self::term::{Name, Term};
use crate::{State, TaskRecord, Timestamp};

/// The longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 2_000;

/// A query that was read, as part of a [`Filter`](crate::Filter).
///
/// ```
/// use gristmill_core::{Filter, Query, Timestamp};
///
/// # let now: Timestamp = "2027-01-31T09:00:00Z".parse().unwrap();
/// let query = Query::parse("state:failed kind:email* age:>1h", now).unwrap();
/// assert_eq!(query.unindexed(), ["kind:email*"]);
/// let filter = Filter { query: Some(query), ..Filter::default() };
///
/// let error = Query::parse("state:sleepy", now).unwrap_err();
/// assert!(error.to_string().starts_with("`sleepy` is not a state"));
/// assert_eq!(error.pointer(), "state:sleepy\n      ^^^^^^");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    text: String,
    root: Node,
}

/// Conditions, joined.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// All of these hold.
    All(Vec<Node>),
    /// One of these holds.
    Any(Vec<Node>),
    /// This does not hold.
    Not(Box<Node>),
    /// A condition, and where it is written.
    Is(Term, Range<usize>),
}

impl Query {
    /// Reads a query. `now` is what ages are counted from.
    ///
    /// # Errors
    /// What is wrong, where, and what may stand there instead.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, QueryError> {
        let root = parse::parse(text, now)?;
        Ok(Self { text: text.to_owned(), root })
    }

    /// Whether a task as lists show it matches.
    ///
    /// The worker is not looked at: a list does not show it, and stores answer for it.
    pub fn matches(&self, task: &TaskRecord) -> bool {
        self.root.holds(&mut term::Subject::new(task))
    }

    /// The queues and task types that it names whole.
    pub fn names(&self) -> QueryNames<'_> {
        let mut names = QueryNames::default();
        self.root.names(&mut names);
        names
    }

    /// Whether it asks for this state by its name, and not by leaving others out.
    pub(crate) fn names_state(&self, state: State) -> bool {
        self.root.names_state(state, false)
    }

    /// The conditions, as they are written, that no index answers: for these a store reads the tasks that may match one by one, a
    /// bounded number a page.
    pub fn unindexed(&self) -> Vec<&str> {
        narrow::unindexed(&self.root).into_iter().filter_map(|at| self.text.get(at)).collect()
    }
}

/// What a [`Query`] names whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryNames<'a> {
    /// Queues.
    pub queues: Vec<&'a str>,
    /// Task types.
    pub kinds: Vec<&'a str>,
}

impl Node {
    fn names<'a>(&'a self, names: &mut QueryNames<'a>) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.names(names)),
            Self::Not(node) => node.names(names),
            Self::Is(Term::Name(Name::Queue, pattern), _) => names.queues.extend(pattern.exact()),
            Self::Is(Term::Name(Name::Kind, pattern), _) => names.kinds.extend(pattern.exact()),
            Self::Is(..) => {}
        }
    }

    fn holds(&self, subject: &mut term::Subject<'_>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(subject)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(subject)),
            Self::Not(node) => !node.holds(subject),
            Self::Is(term, _) => term.holds(subject),
        }
    }

    fn names_state(&self, state: State, negated: bool) -> bool {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().any(|node| node.names_state(state, negated)),
            Self::Not(node) => node.names_state(state, !negated),
            Self::Is(term, _) => !negated && *term == Term::State(state),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
