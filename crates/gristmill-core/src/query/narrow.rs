//! What of a query a store can look for: a filter that everything which matches passes, and whether nothing else does.

use std::ops::Range;

use super::term::{Moment, Name, Term};
use super::value::Pattern;
use super::{Node, Query};
use crate::{Filter, State, TaskId, Timestamp};

/// What a store looks for, and what it then has to ask of each task.
#[derive(Clone, Debug)]
pub(crate) struct Narrowed<'a> {
    /// Everything that matches passes it.
    pub(crate) filter: Filter,
    /// What is left to ask; `None` if the filter says it all.
    pub(crate) rest: Option<&'a Query>,
}

impl Query {
    /// The filter, narrowed to what this query asks beside it; `None` if nothing can match both.
    pub(crate) fn narrow(&self, filter: &Filter) -> Option<Narrowed<'_>> {
        let own = Filter { query: None, ..filter.clone() };
        let is_all = unindexed(&self.root).is_empty() && fits_one(&self.root, &own);
        let filter = meet(own, cover(&self.root, false)?)?;
        Some(Narrowed { filter, rest: (!is_all).then_some(self) })
    }
}

/// Whether a filter has a place for all that is asked: it has one for each field.
fn fits_one(root: &Node, own: &Filter) -> bool {
    usize::from(own.tag.is_some()) + tags(root) <= 1
}

/// How many tags are asked for together, however they are put into parentheses: one that a filter has no place for would never be asked.
fn tags(node: &Node) -> usize {
    match node {
        Node::All(nodes) => nodes.iter().map(tags).sum(),
        node => usize::from(matches!(node, Node::Is(Term::Name(Name::Tag, _), _))),
    }
}

/// The conditions that no index answers.
pub(super) fn unindexed(root: &Node) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    match root {
        Node::All(nodes) => nodes.iter().for_each(|node| found.extend(unindexed(node))),
        Node::Is(term, at) if !is_indexed(term) => found.push(at.clone()),
        Node::Is(..) => {}
        // A filter has many states, and one of everything else.
        joined if is_of_states(joined) => {}
        joined => conditions(joined, &mut found),
    }
    found
}

fn conditions(node: &Node, found: &mut Vec<Range<usize>>) {
    match node {
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().for_each(|node| conditions(node, found)),
        Node::Not(node) => conditions(node, found),
        Node::Is(Term::State(_), _) => {}
        Node::Is(_, at) => found.push(at.clone()),
    }
}

fn is_of_states(node: &Node) -> bool {
    match node {
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().all(is_of_states),
        Node::Not(node) => is_of_states(node),
        Node::Is(term, _) => matches!(term, Term::State(_)),
    }
}

fn is_indexed(term: &Term) -> bool {
    match term {
        Term::State(_) | Term::Worker(_) | Term::Words(_) | Term::Moment(Moment::Created, _) => true,
        Term::Name(_, pattern) => pattern.exact().is_some(),
        Term::Parent(id) => id.parse::<TaskId>().is_ok(),
        Term::Id(_) | Term::Error(_) | Term::Count(..) | Term::Moment(..) | Term::Json(..) | Term::Header(..) => false,
    }
}

/// A filter that every task passes for which the node holds, or does not hold if `negated`; `None` if there can be none.
fn cover(node: &Node, negated: bool) -> Option<Filter> {
    match (node, negated) {
        (Node::All(nodes), false) | (Node::Any(nodes), true) => {
            nodes.iter().try_fold(Filter::default(), |filter, node| meet(filter, cover(node, negated)?))
        }
        (Node::Any(nodes), false) | (Node::All(nodes), true) => nodes.iter().filter_map(|node| cover(node, negated)).reduce(join),
        (Node::Not(node), negated) => cover(node, !negated),
        (Node::Is(term, _), negated) => Some(alone(term, negated)),
    }
}

fn alone(term: &Term, negated: bool) -> Filter {
    let mut filter = Filter::default();
    if let Term::State(state) = term {
        filter.states = State::ALL.into_iter().filter(|other| (other == state) != negated).collect();
    }
    if negated {
        return filter;
    }
    let exact = |pattern: &Pattern| pattern.exact().map(str::to_owned);
    match term {
        Term::Name(Name::Queue, pattern) => filter.queue = exact(pattern),
        Term::Name(Name::Kind, pattern) => filter.kind = exact(pattern),
        Term::Name(Name::Tag, pattern) => filter.tag = exact(pattern),
        Term::Name(Name::Title, pattern) => filter.title = exact(pattern),
        Term::Name(Name::Schedule, pattern) => filter.schedule = exact(pattern),
        Term::Worker(name) => filter.worker = Some(name.clone()),
        // The beginning of one is no id.
        Term::Parent(id) => filter.parent = id.parse().ok(),
        Term::Words(text) => filter.text = Some(text.clone()),
        Term::Moment(Moment::Created, bounds) => {
            // A filter's time begins with its first instant and ends before its last.
            let next = |at: Timestamp, by: bool| Timestamp::from_millis(at.as_millis() + i64::from(by));
            filter.from = bounds.low.map(|(at, without)| next(at, without));
            filter.until = bounds.high.map(|(at, without)| next(at, !without));
        }
        _ => {}
    }
    filter
}

/// What passes both. Where a filter has no place for two, one is left: the query itself is asked for the other.
fn meet(a: Filter, b: Filter) -> Option<Filter> {
    fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> Option<Option<T>> {
        match (a, b) {
            (Some(a), Some(b)) => (a == b).then_some(Some(a)),
            (a, b) => Some(a.or(b)),
        }
    }
    let states = match (a.states.is_empty(), b.states.is_empty()) {
        (true, _) => b.states,
        (_, true) => a.states,
        _ => Some(a.states.into_iter().filter(|state| b.states.contains(state)).collect::<Vec<_>>())
            .filter(|both| !both.is_empty())?,
    };
    let (from, until) = (a.from.max(b.from), [a.until, b.until].into_iter().flatten().min());
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        return None;
    }
    Some(Filter {
        states,
        queue: same(a.queue, b.queue)?,
        kind: same(a.kind, b.kind)?,
        tag: a.tag.or(b.tag),
        from,
        until,
        parent: same(a.parent, b.parent)?,
        title: same(a.title, b.title)?,
        schedule: same(a.schedule, b.schedule)?,
        worker: same(a.worker, b.worker)?,
        text: match (a.text, b.text) {
            (Some(a), Some(b)) => Some(format!("{a} {b}")),
            (a, b) => a.or(b),
        },
        query: None,
    })
}

/// What passes one of them, at least.
fn join(a: Filter, b: Filter) -> Filter {
    fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> Option<T> {
        if a == b { a } else { None }
    }
    let mut states = a.states;
    match b.states.is_empty() {
        true => states.clear(),
        false if !states.is_empty() => states.extend(b.states),
        false => {}
    }
    Filter {
        states,
        queue: same(a.queue, b.queue),
        kind: same(a.kind, b.kind),
        tag: same(a.tag, b.tag),
        from: a.from.zip(b.from).map(|(a, b)| a.min(b)),
        until: a.until.zip(b.until).map(|(a, b)| a.max(b)),
        parent: same(a.parent, b.parent),
        title: same(a.title, b.title),
        schedule: same(a.schedule, b.schedule),
        worker: same(a.worker, b.worker),
        text: same(a.text, b.text),
        query: None,
    }
}
