//! What is often meant otherwise than it was read: for those whose query finds nothing.

use super::term::{Name, Term};
use super::{Node, Query};
use crate::State;

/// Fields that are typed with a `=` by who is used to that.
const FIELDS: [&str; 17] = [
    "state", "queue", "kind", "task", "tag", "title", "schedule", "worker", "parent", "id", "age", "created", "due", "ended",
    "priority", "attempt", "crashes",
];

impl Query {
    /// What in it is often meant otherwise, one sentence each: words that look like conditions, and the like. For who found
    /// nothing.
    ///
    /// ```
    /// # use gristmill_core::{Query, Timestamp};
    /// # let now: Timestamp = "2027-01-31T09:00:00Z".parse().unwrap();
    /// let query = Query::parse("queue=mail", now).unwrap();
    /// assert_eq!(query.doubts(), ["`queue=mail` was looked for as words; the condition is queue:mail"]);
    /// ```
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        self.root.doubts(&self.text, &mut doubts);
        doubts
    }
}

impl Node {
    fn doubts(&self, text: &str, doubts: &mut Vec<String>) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.doubts(text, doubts)),
            Self::Not(node) => node.doubts(text, doubts),
            Self::Is(term, at) => {
                let written = text.get(at.clone()).unwrap_or_default();
                // What stands in quotes is meant as it is.
                if !written.contains('"') {
                    doubts.extend(doubt(term, written));
                }
            }
        }
    }
}

fn doubt(term: &Term, written: &str) -> Option<String> {
    match term {
        Term::Words(word) if matches!(word.as_str(), "or" | "and" | "not") => {
            Some(format!("`{word}` was looked for as a word; what joins conditions is {}", word.to_uppercase()))
        }
        Term::Words(word) if word.parse::<State>().is_ok() => {
            Some(format!("`{word}` was looked for as a word; those in that state are state:{word}"))
        }
        Term::Words(word) => {
            let condition = word.split_once('=').filter(|(field, _)| {
                FIELDS.contains(field) || ["args.", "result.", "header."].iter().any(|begin| field.starts_with(begin))
            });
            match condition {
                Some((field, value)) => Some(format!("`{word}` was looked for as words; the condition is {field}:{value}")),
                None if word.contains('*') => Some(format!(
                    "`{word}` was looked for as a whole word; a `*` stands for anything behind a field, as in kind:{word}"
                )),
                None => None,
            }
        }
        Term::Name(Name::Queue | Name::Kind | Name::Tag, pattern) => {
            let (field, _) = written.split_once(':')?;
            let names = pattern.exact().filter(|name| name.contains(','))?;
            let each: Vec<String> = names.split(',').map(|name| format!("{field}:{name}")).collect();
            Some(format!("`{names}` was looked for as one name; any of several is ({})", each.join(" OR ")))
        }
        _ => None,
    }
}
