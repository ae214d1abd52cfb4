use std::fmt;
use std::str::FromStr;

use crate::limits::{self, InvalidInput};
use crate::{Query, SCHEDULE_HEADER, State, StoreError, StoreErrorKind, TaskId, TaskMeta, Timestamp, words};

/// Which tasks a list, a bulk cancel or a bulk retry is about. Empty fields match everything; a task matches if all others do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In any of these states.
    pub states: Vec<State>,
    /// In this queue.
    pub queue: Option<String>,
    /// Of this task type.
    pub kind: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Enqueued at this instant or later, by the store's clock.
    pub from: Option<Timestamp>,
    /// Enqueued before this instant, by the store's clock.
    pub until: Option<Timestamp>,
    /// Enqueued by the handler of this task.
    pub parent: Option<TaskId>,
    /// With exactly this title.
    pub title: Option<String>,
    /// Made by this schedule, or enqueued with its name in the header [`SCHEDULE_HEADER`].
    pub schedule: Option<String>,
    /// On the worker of this name: it runs there now, or else its last attempt ran there.
    pub worker: Option<String>,
    /// With all these words, each of them in its title, its task type or its tags, and none looked for in arguments and results.
    /// What a word is says [`words`]; it matches whole, and whatever the case of the letters A to Z.
    pub text: Option<String>,
    /// What this query asks, beside all the above.
    pub query: Option<Query>,
}

impl Filter {
    /// Checks what a person may have typed; for stores, and for whoever wants to know before there is one.
    ///
    /// # Errors
    /// The field that can't match anything, and what would be right.
    ///
    /// ```
    /// use gristmill_core::Filter;
    ///
    /// let filter = Filter { text: Some("--".to_owned()), ..Filter::default() };
    /// assert_eq!(filter.check().unwrap_err().to_string(), "text: has no word; give letters or digits to look for");
    /// ```
    pub fn check(&self) -> Result<(), InvalidInput> {
        if let (Some(from), Some(until)) = (self.from, self.until)
            && from >= until
        {
            return Err(InvalidInput::new("until", format!("is {until}, which is not after {from}; give a later one")));
        }
        let names = [
            ("queue", &self.queue),
            ("kind", &self.kind),
            ("tag", &self.tag),
            ("title", &self.title),
            ("schedule", &self.schedule),
            ("worker", &self.worker),
            ("text", &self.text),
        ];
        for (field, name) in names {
            if let Some(name) = name {
                limits::check_name(field, name)?;
            }
        }
        if let Some(text) = &self.text
            && words(text).next().is_none()
        {
            return Err(InvalidInput::new("text", "has no word; give letters or digits to look for"));
        }
        Ok(())
    }

    /// Whether this state is asked for by its name, and not among all others.
    pub fn names_state(&self, state: State) -> bool {
        self.states.contains(&state) || self.query.as_ref().is_some_and(|query| query.names_state(state))
    }

    /// As [`check`](Self::check), as the error of a store; for stores.
    ///
    /// # Errors
    /// `Invalid`, with the field and what would be right.
    pub fn check_list(&self) -> Result<(), StoreError> {
        self.check().map_err(|error| StoreError::new(StoreErrorKind::Invalid, format!("can't list tasks: {error}")))
    }

    /// Whether a task of this type with this meta matches, as far as these two can tell; for stores.
    pub fn admits(&self, kind: &str, meta: &TaskMeta) -> bool {
        self.kind.as_ref().is_none_or(|wanted| wanted == kind)
            && self.tag.as_ref().is_none_or(|tag| meta.tags.contains(tag))
            && self.parent.is_none_or(|parent| meta.parent == Some(parent))
            && self.title.as_ref().is_none_or(|title| meta.title.as_ref() == Some(title))
            && self.schedule.as_ref().is_none_or(|name| meta.headers.get(SCHEDULE_HEADER) == Some(name))
            && self.text.as_ref().is_none_or(|text| has_words(text, kind, meta))
    }

    /// Whether a task that was enqueued then matches, as far as that can tell; for stores.
    pub fn admits_time(&self, created_at: Timestamp) -> bool {
        self.from.is_none_or(|from| created_at >= from) && self.until.is_none_or(|until| created_at < until)
    }

    /// Whether a task in this state matches, as far as that can tell; for stores.
    pub fn admits_state(&self, state: State) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }
}

fn has_words(text: &str, kind: &str, meta: &TaskMeta) -> bool {
    let places = || meta.tags.iter().map(String::as_str).chain([kind]).chain(meta.title.as_deref());
    words(text).all(|wanted| places().any(|place| words(place).any(|word| word == wanted)))
}

/// One page of a list, newest task first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items. A page may hold fewer than were asked for, or none, and still have a next one: it stops after it has
    /// read [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX) rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// A page behind which there is nothing.
    pub fn last(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// The page with something else in the place of each item.
    pub fn map<U>(self, item: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(item).collect(), next: self.next }
    }
}

/// A place in a list. Opaque to callers; it stays valid while tasks come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(i64);

impl Cursor {
    /// For stores: the cursor behind the row with this key.
    pub const fn after(key: i64) -> Self {
        Self(key)
    }

    /// For stores: the key that was given to [`after`](Self::after).
    pub const fn key(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let key = text.strip_prefix('c').and_then(|hex| i64::from_str_radix(hex, 16).ok());
        key.filter(|key| *key >= 0).map(Self).ok_or_else(|| CursorError(text.chars().take(40).collect()))
    }
}

/// A text that is no [`Cursor`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cursor; use the `next` of an earlier page")]
pub struct CursorError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_match_nothing_is_refused() {
        let at = |ms| Some(Timestamp::from_millis(ms));
        let none = Filter::default();
        for (filter, expected) in [
            (
                Filter { from: at(2_000), until: at(1_000), ..none.clone() },
                "until: is 1970-01-01T00:00:01.000Z, which is not after",
            ),
            (Filter { from: at(1_000), until: at(1_000), ..none.clone() }, "until: is "),
            (Filter { text: Some(String::new()), ..none.clone() }, "text: is empty"),
            (Filter { text: Some(" .- ".to_owned()), ..none.clone() }, "text: has no word"),
            (Filter { text: Some("x".repeat(256)), ..none.clone() }, "text: is 256 bytes long"),
            (Filter { title: Some(String::new()), ..none.clone() }, "title: is empty"),
            (Filter { schedule: Some("a\nb".to_owned()), ..none.clone() }, "schedule: holds the control character"),
            (Filter { worker: Some(String::new()), ..none.clone() }, "worker: is empty"),
        ] {
            let error = filter.check().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert_eq!(filter.check_list().unwrap_err().kind(), StoreErrorKind::Invalid);
        }
        assert_eq!(Filter { from: at(1_000), until: at(1_001), text: Some("a-b".to_owned()), ..none }.check(), Ok(()));
    }

    #[test]
    fn every_word_is_somewhere_in_title_type_or_tags() {
        let meta =
            TaskMeta { title: Some("Invoice 42 for Ann".to_owned()), tags: vec!["eu-west".to_owned()], ..TaskMeta::default() };
        let has = |text: &str| has_words(text, "mail.send", &meta);
        for text in ["invoice", "INVOICE ann", "42 eu", "send west", "mail-send"] {
            assert!(has(text), "{text}");
        }
        for text in ["inv", "invoice bob", "4", "euwest"] {
            assert!(!has(text), "{text}");
        }
    }
}
