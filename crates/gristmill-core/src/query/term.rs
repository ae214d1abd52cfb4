//! One condition, and how a task is asked for it.

use std::cmp::Ordering;

use serde_json::Value;

use super::value::{Bounds, Comparison, Pattern, Written};
use crate::{SCHEDULE_HEADER, State, TaskRecord, Timestamp, words};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    State(State),
    Name(Name, Pattern),
    Worker(String),
    /// The id of the parent, or the beginning of one.
    Parent(String),
    /// An id, or the beginning of one.
    Id(String),
    /// Words in title, task type and tags.
    Words(String),
    /// A text somewhere in the error, whatever the case of its letters, or its reason.
    Error(String),
    Count(Count, Bounds<u64>),
    Moment(Moment, Bounds<Timestamp>),
    /// A value in arguments or result.
    Json(Json, Vec<String>, Test),
    Header(String, Pattern),
}

/// A field with a name in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Queue,
    Kind,
    Tag,
    Title,
    Schedule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Priority,
    Attempt,
    Crashes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Created,
    Due,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Json {
    Args,
    Result,
}

/// What is asked of a value of JSON: that it is this, or above or below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Is(Pattern),
    Compare(Bounds<Scalar>),
}

/// A number, or else a text; each is compared with its own sort only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    /// As it is written, so that large ones stay what they are.
    Number(String),
    Text(String),
}

/// A task that is asked, with what of it was read already.
pub(super) struct Subject<'a> {
    task: &'a TaskRecord,
    args: Option<Option<Value>>,
    result: Option<Option<Value>>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(task: &'a TaskRecord) -> Self {
        Self { task, args: None, result: None }
    }

    /// The values at a path; those of a list all count.
    fn json(&mut self, which: Json, path: &[String]) -> Vec<&Value> {
        let (text, read) = match which {
            Json::Args => (Some(&self.task.args), &mut self.args),
            Json::Result => (self.task.result.as_ref(), &mut self.result),
        };
        let whole = read.get_or_insert_with(|| text.and_then(|text| serde_json::from_str(text).ok()));
        let mut values: Vec<&Value> = whole.iter().collect();
        for key in path {
            values = values.into_iter().flat_map(|value| step(value, key)).collect();
        }
        values.into_iter().flat_map(elements).collect()
    }
}

/// A key of an object, of each object in a list, or the element of a list by its number.
fn step<'v>(value: &'v Value, key: &str) -> Vec<&'v Value> {
    match value {
        Value::Array(items) => match key.parse::<usize>() {
            Ok(at) => items.get(at).into_iter().collect(),
            Err(_) => items.iter().filter_map(|item| item.get(key)).collect(),
        },
        other => other.get(key).into_iter().collect(),
    }
}

fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    }
}

impl Term {
    pub(super) fn holds(&self, subject: &mut Subject<'_>) -> bool {
        let task = subject.task;
        match self {
            Self::State(state) => task.state == *state,
            Self::Name(name, pattern) => name.of(task).any(|text| pattern.fits(text)),
            // Answered by the store: lists do not show it.
            Self::Worker(_) => true,
            Self::Parent(begin) => task.meta.parent.is_some_and(|id| id.to_string().starts_with(begin.as_str())),
            Self::Id(begin) => task.id.to_string().starts_with(begin.as_str()),
            Self::Words(text) => words(text).all(|wanted| has_word(task, &wanted)),
            Self::Error(text) => task.error.as_ref().is_some_and(|failure| {
                let said = |place: &str| place.to_lowercase().contains(text.as_str());
                serde_json::to_value(failure.reason).is_ok_and(|reason| reason == *text)
                    || said(&failure.message)
                    || failure.chain.iter().any(|source| said(source))
            }),
            Self::Count(count, bounds) => bounds.hold(&count.of(task)),
            Self::Moment(moment, bounds) => moment.of(task).is_some_and(|at| bounds.hold(&at)),
            Self::Json(which, path, test) => subject.json(*which, path).into_iter().any(|value| test.holds(value)),
            Self::Header(name, pattern) => task.meta.headers.get(name).is_some_and(|value| pattern.fits(value)),
        }
    }
}

fn has_word(task: &TaskRecord, wanted: &str) -> bool {
    let meta = &task.meta;
    let mut places = meta.tags.iter().map(String::as_str).chain([task.kind.as_str()]).chain(meta.title.as_deref());
    places.any(|place| words(place).any(|word| word == wanted))
}

impl Name {
    fn of(self, task: &TaskRecord) -> impl Iterator<Item = &str> {
        let meta = &task.meta;
        let one = match self {
            Self::Queue => Some(&task.queue),
            Self::Kind => Some(&task.kind),
            Self::Title => meta.title.as_ref(),
            Self::Schedule => meta.headers.get(SCHEDULE_HEADER),
            Self::Tag => None,
        };
        let tags = if self == Self::Tag { meta.tags.as_slice() } else { &[] };
        tags.iter().chain(one).map(String::as_str)
    }
}

impl Count {
    fn of(self, task: &TaskRecord) -> u64 {
        match self {
            Self::Priority => task.priority.into(),
            Self::Attempt => task.attempt.into(),
            Self::Crashes => task.crashes.into(),
        }
    }
}

impl Moment {
    fn of(self, task: &TaskRecord) -> Option<Timestamp> {
        match self {
            Self::Created => Some(task.created_at),
            Self::Due => Some(task.run_at),
            Self::Ended => task.ended_at,
        }
    }
}

impl Test {
    pub(super) fn new(written: &Written) -> Result<Self, String> {
        match written.comparison() {
            Comparison::Equal(_) => Ok(Self::Is(Pattern::new(written))),
            _ => written.bounds(Scalar::read).map(Self::Compare),
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Is(pattern), Value::String(text)) => pattern.fits(text),
            (Self::Is(pattern), Value::Number(number)) => pattern.exact().map_or_else(
                || pattern.fits(&number.to_string()),
                |text| order(text, &number.to_string()) == Some(Ordering::Equal),
            ),
            (Self::Is(pattern), Value::Bool(_) | Value::Null) => pattern.fits(&value.to_string()),
            (Self::Compare(bounds), Value::String(text)) => bounds.hold(&Scalar::Text(text.clone())),
            (Self::Compare(bounds), Value::Number(number)) => bounds.hold(&Scalar::Number(number.to_string())),
            _ => false,
        }
    }
}

impl Scalar {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("there is nothing to compare with".to_owned()),
            _ if text.parse::<f64>().is_ok_and(f64::is_finite) => Ok(Self::Number(text.to_owned())),
            _ => Ok(Self::Text(text.to_owned())),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => order(one, other),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

/// Compares numbers as they are written: whole ones exactly, and others as far as a float goes. `None` if one is no number.
fn order(one: &str, other: &str) -> Option<Ordering> {
    if let (Ok(one), Ok(other)) = (one.parse::<i128>(), other.parse::<i128>()) {
        return Some(one.cmp(&other));
    }
    one.parse::<f64>().ok()?.partial_cmp(&other.parse::<f64>().ok()?)
}
