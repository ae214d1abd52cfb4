//! What people write as JSON: objects, read key by key, and the options of an enqueue, wherever they stand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Once;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::core::concurrency::{Concurrency, Rates, Rules};
use crate::core::limits::{ATTEMPTS_MAX, DURATION_MAX};
use crate::core::{Overrides, parse_duration};
use crate::near::did_you_mean;

/// The names of the options that [`read_option`] knows.
pub const OPTIONS: [&str; 21] = [
    "id",
    "queue",
    "priority",
    "max_attempts",
    "retries",
    "max_crashes",
    "in",
    "at",
    "timeout",
    "expires",
    "backoff",
    "ack",
    "retention",
    "title",
    "tags",
    "headers",
    "concurrency",
    "sequence",
    "unique",
    "debounce",
    "rate",
];

/// The entries of an object in their order, with their values as they are written. A key that is there twice is here twice.
#[derive(Debug)]
pub struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Entries<'a> {
    /// Reads the text of an object.
    ///
    /// # Errors
    /// That it is none.
    pub fn read(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Each key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), *value))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// The first key that is there twice: readers of JSON take either.
    pub fn twin(&self) -> Option<&str> {
        let mut seen = std::collections::HashSet::new();
        self.iter().map(|(key, _)| key).find(|key| !seen.insert(*key))
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Look)
    }
}

/// Reads one option of an enqueue, as a line of `enqueue --jsonl` and a step of a workflow have them; false if there is none of this
/// name. Labels and headers come to those that are there, and anything else takes the place of what was said before. `null` says nothing.
///
/// # Errors
/// What is wrong with its value.
pub fn read_option(over: &mut Overrides, name: &str, value: &RawValue) -> Result<bool, String> {
    if value.get() == "null" {
        return Ok(OPTIONS.contains(&name));
    }
    match name {
        "id" => over.id = Some(read(value)?),
        "queue" => over.queue = Some(read(value)?),
        "priority" => over.priority = Some(read(value)?),
        "max_attempts" => over.max_attempts = Some(read(value)?),
        "retries" => over.max_attempts = Some(attempts_of(read(value)?)?),
        "max_crashes" => over.max_crashes = Some(read(value)?),
        // One of them takes the place of the other.
        "in" => (over.delay, over.run_at) = (Some(parse_duration(&read::<String>(value)?)?), None),
        "at" => (over.delay, over.run_at) = (None, Some(read(value)?)),
        "timeout" => over.timeout = Some(limit(value)?),
        "expires" => over.expires = Some(limit(value)?),
        "backoff" => over.backoff = Some(read(value)?),
        "ack" => over.ack = Some(read(value)?),
        "retention" => over.retention = Some(read(value)?),
        "title" => over.title = Some(read(value)?),
        "tags" => over.tags.extend(read::<Vec<String>>(value)?),
        "headers" => over.headers.extend(read::<BTreeMap<String, String>>(value)?),
        "concurrency" => over.concurrency = Some(read::<Rules>(value)?.0),
        "rate" => over.rate = Some(read::<Rates>(value)?.0),
        // As with limits, an empty list is none.
        "sequence" if value.get() == "[]" => over.sequence = Some(Vec::new()),
        "sequence" => over.sequence = Some(vec![Concurrency::sequence(read(value)?)]),
        "unique" if value.get() == "false" => over.unique = Some(None),
        "unique" => over.unique = Some(Some(read(value)?)),
        "debounce" if value.get() == "false" => over.debounce = Some(None),
        "debounce" => over.debounce = Some(Some(read(value)?)),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The keys by which an object says one thing in two ways: when a task is due, or how often it runs.
pub fn said_twice(entries: &Entries<'_>) -> Option<[&'static str; 2]> {
    let said = |key: &str| entries.get(key).is_some_and(|value| value.get() != "null");
    [["in", "at"], ["retries", "max_attempts"]].into_iter().find(|keys| keys.iter().all(|key| said(key)))
}

/// How many attempts so many retries are, in the words of other systems: the first run is no retry. Said once by each process.
///
/// # Errors
/// More than can be counted.
pub fn attempts_of(retries: u32) -> Result<u32, String> {
    static SAID: Once = Once::new();
    let most = ATTEMPTS_MAX - 1;
    if retries > most {
        return Err(format!("retries is at most {most}"));
    }
    let attempts = retries + 1;
    SAID.call_once(|| {
        tracing::info!(
            "retries = {retries} is read as max_attempts = {attempts}: the first run counts as an attempt, and as no retry"
        );
    });
    Ok(attempts)
}

/// What is said about a key that is none of these.
pub fn unknown<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    format!("unknown field `{key}`{}", did_you_mean(key, known))
}

/// Reads one value. The error says nothing of a line and a column, which would be within the value.
///
/// # Errors
/// What is wrong with it.
pub fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(value.get()).map_err(|error| {
        let told = error.to_string();
        told.rsplit_once(" at line ").map_or_else(|| told.clone(), |(what, _)| what.to_owned())
    })
}

/// A duration, or `none`, which takes away what the task type says.
fn limit(value: &RawValue) -> Result<Duration, String> {
    let text: String = read(value)?;
    if text == "none" { Ok(DURATION_MAX) } else { parse_duration(&text).map_err(|why| format!("{why}; or none")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Retention;

    fn over(text: &str) -> Result<Overrides, String> {
        let mut over = Overrides { tags: vec!["first".to_owned()], ..Overrides::default() };
        for (key, value) in Entries::read(text).unwrap().iter() {
            if !read_option(&mut over, key, value)? {
                return Err(unknown(key, OPTIONS));
            }
        }
        Ok(over)
    }

    #[test]
    fn each_option_is_read() {
        let value = |name: &str| match name {
            "id" => "\"019a0000-0000-7000-8000-000000000001\"",
            "priority" | "max_attempts" | "max_crashes" | "retries" | "concurrency" => "1",
            "in" | "timeout" | "expires" | "backoff" | "retention" => "\"5s\"",
            "at" => "\"2100-01-01T00:00:00Z\"",
            "rate" => "\"10/s\"",
            "ack" => "\"early\"",
            "tags" => "[\"t\"]",
            "headers" => "{\"k\": \"v\"}",
            "debounce" => "{\"wait\": \"5s\"}",
            _ => "\"x\"",
        };
        for name in OPTIONS {
            let plain = over("{}").unwrap();
            assert_ne!(over(&format!("{{\"{name}\": {}}}", value(name))).unwrap(), plain, "{name}");
            assert_eq!(over(&format!("{{\"{name}\": null}}")).unwrap(), plain, "{name}");
            assert!(over(&format!("{{\"{name}\": {{\"x\": []}}}}")).is_err(), "{name}");
        }
        let both =
            over(r#"{"tags": ["t"], "timeout": "none", "retention": "forever", "in": "5s", "at": "2100-01-01T00:00:00Z"}"#);
        let both = both.unwrap();
        assert_eq!((both.tags.len(), both.timeout, both.retention), (2, Some(DURATION_MAX), Some(Retention::Forever)));
        assert!(both.delay.is_none() && both.run_at.is_some());
        assert_eq!(over(r#"{"retries": 3}"#).unwrap().max_attempts, Some(4));
        assert!(over(r#"{"retries": 4294967295}"#).unwrap_err().contains("at most"));
    }

    #[test]
    fn mistakes_are_told_without_a_place_within_the_value() {
        assert_eq!(over(r#"{"prority": 1}"#).unwrap_err(), "unknown field `prority`; did you mean `priority`?");
        assert_eq!(over(r#"{"priority": "high"}"#).unwrap_err(), "invalid type: string \"high\", expected u8");
        assert!(over(r#"{"timeout": "soon"}"#).unwrap_err().ends_with("; or none"));
    }

    #[test]
    fn entries_keep_order_text_and_twins() {
        let entries = Entries::read(r#"{"b": 1.50, "a": {}, "\u0062": 2}"#).unwrap();
        let texts: Vec<_> = entries.iter().map(|(key, value)| format!("{key}={}", value.get())).collect();
        assert_eq!((texts.join(" ").as_str(), entries.twin()), ("b=1.50 a={} b=2", Some("b")));
        let said = |text: &str| said_twice(&Entries::read(text).unwrap());
        assert_eq!((said_twice(&entries), said(r#"{"in": 1, "at": 2}"#)), (None, Some(["in", "at"])));
        let retries = |attempts| said(&format!(r#"{{"retries": 1, "max_attempts": {attempts}}}"#));
        assert_eq!((retries("2"), retries("null")), (Some(["retries", "max_attempts"]), None));
        assert!(Entries::read("[1]").is_err() && Entries::read("{").is_err());
    }
}
