//! One task a key: an enqueue whose key is taken makes no second task, and is answered with the one that is there.
//!
//! A key is taken by the row of the enqueue, in its transaction, and is free as soon as the task that has it has ended, as a look at that task says:
//! nothing has to be given back, so that nothing is forgotten by a crash or by a program of the version before.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::concurrency::{Need, SEQUENCE};
use crate::limits::{DURATION_MAX, NAME_BYTES_MAX};
use crate::{InvalidInput, Template, format_duration, parse_duration};

/// How a task type's tasks are unique. Keys are apart for each task type.
///
/// ```
/// use gristmill_core::unique::{OnConflict, Unique, Until};
/// use gristmill_core::Template;
///
/// let template: Template = "sync:{repo}".parse()?;
/// let rule = Unique::by(template).until(Until::Started).on_conflict(OnConflict::Reject);
/// assert_eq!(rule, serde_json::from_str(r#"{"key": "sync:{repo}", "until": "started", "on_conflict": "reject"}"#)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unique {
    /// Made of the arguments, at the enqueue. `None`: all tasks of the type have one key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
    /// How long a task has it.
    #[serde(skip_serializing_if = "Until::is_ended")]
    pub until: Until,
    /// What becomes of an enqueue whose key another task has.
    #[serde(skip_serializing_if = "OnConflict::is_existing")]
    pub on_conflict: OnConflict,
}

/// How long a task has its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// Until it has ended, all attempts included.
    #[default]
    Ended,
    /// Until its first attempt begins: what is enqueued from then on makes a new task.
    Started,
    /// So long from the enqueue on, however it ends; at least a millisecond, at most [`DURATION_MAX`].
    For(Duration),
}

/// What becomes of an enqueue whose key another task has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// That task stands for it.
    #[default]
    Existing,
    /// An error that names that task.
    Reject,
    /// If that task has begun, one more runs once it has ended; if it has not, it stands for this one. So whatever was true at the enqueue, a run that
    /// begins after it sees it, and there are never two at once.
    RunAfter,
}

/// The key of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueKey {
    /// Filled.
    pub key: String,
    /// See [`Unique::until`].
    #[serde(default, skip_serializing_if = "Until::is_ended")]
    pub until: Until,
    /// See [`Unique::on_conflict`]; stores do not look at it.
    #[serde(default, skip_serializing_if = "OnConflict::is_existing")]
    pub on_conflict: OnConflict,
}

impl OnConflict {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_existing(&self) -> bool {
        *self == Self::Existing
    }
}

impl Until {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_ended(&self) -> bool {
        *self == Self::Ended
    }

    /// Its period, if it has one.
    pub fn period(self) -> Option<Duration> {
        match self {
            Self::For(period) => Some(period),
            Self::Ended | Self::Started => None,
        }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("ended"),
            Self::Started => f.write_str("started"),
            Self::For(period) => f.write_str(&format_duration(*period)),
        }
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ended" => Ok(Self::Ended),
            "started" => Ok(Self::Started),
            text => match parse_duration(text) {
                Ok(period) if !period.is_zero() && period <= DURATION_MAX => Ok(Self::For(period)),
                Ok(_) => Err("is from 1ms to 100 years".to_owned()),
                Err(why) => Err(format!("{why}; or `ended`, or `started`")),
            },
        }
    }
}

impl Serialize for Until {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            key: Option<Template>,
            #[serde(default)]
            until: Until,
            #[serde(default)]
            on_conflict: OnConflict,
        }
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a key such as \"sync:{repo}\", or { key = \"sync:{repo}\", until = \"ended\", on_conflict = \"existing\" }",
                )
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Unique, E> {
                key.parse().map(Unique::by).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Unique, A::Error> {
                let Written { key, until, on_conflict } = Written::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Unique { key, until, on_conflict })
            }
        }
        deserializer.deserialize_any(Look)
    }
}

impl Unique {
    /// One task a key, until it has ended.
    pub fn by(key: Template) -> Self {
        Self { key: Some(key), ..Self::of_type() }
    }

    /// One task of the type.
    pub fn of_type() -> Self {
        Self { key: None, until: Until::Ended, on_conflict: OnConflict::Existing }
    }

    /// See [`Unique::until`].
    #[must_use]
    pub fn until(self, until: Until) -> Self {
        Self { until, ..self }
    }

    /// See [`Unique::on_conflict`].
    #[must_use]
    pub fn on_conflict(self, on_conflict: OnConflict) -> Self {
        Self { on_conflict, ..self }
    }

    /// The names of the arguments that its key takes, with the ways to their parts.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.key.iter().flat_map(Template::fields)
    }

    /// Checks what does not depend on arguments.
    ///
    /// # Errors
    /// A period that is out of range, or `run_after` with another time than [`Until::Ended`].
    pub fn check(&self) -> Result<(), InvalidInput> {
        if self.on_conflict == OnConflict::RunAfter && self.until != Until::Ended {
            let problem = "`run_after` has one run after the other ended, so that its `until` is `ended`; leave `until` out";
            return Err(InvalidInput::new("unique", problem));
        }
        match self.until.period() {
            Some(period) if period.is_zero() || period > DURATION_MAX => {
                Err(InvalidInput::new("unique", "has a period from 1ms to 100 years"))
            }
            _ => Ok(()),
        }
    }

    /// The key of a task of this type with these arguments, and the slot that it needs to run after the one before.
    ///
    /// # Errors
    /// As [`check`](Self::check); a key that names an argument which is missing, null, a list or an object, or that is longer than a name may be.
    pub fn resolve(&self, kind: &str, args: &Value) -> Result<(UniqueKey, Option<Need>), InvalidInput> {
        self.check()?;
        let key = self.key.as_ref().map(|key| key.fill(|name| args.get(name))).transpose()?.unwrap_or_default();
        if self.on_conflict != OnConflict::RunAfter {
            return Ok((UniqueKey { key, until: self.until, on_conflict: self.on_conflict }, None));
        }
        let line = format!("{SEQUENCE}unique:{kind}:{key}");
        if line.len() > NAME_BYTES_MAX {
            let problem = format!(
                "has {} bytes with the task type's name, as `run_after` needs it; at most {NAME_BYTES_MAX} are allowed",
                line.len()
            );
            return Err(InvalidInput::new("unique key", problem));
        }
        // Whoever waits stands for all who come until he begins; he begins when the one before has ended.
        let after = Need { key: line, limit: 1, cost: 1, until_ended: true };
        Ok((UniqueKey { key, until: Until::Started, on_conflict: OnConflict::RunAfter }, Some(after)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(rule: Value) -> Result<Unique, String> {
        serde_json::from_value(rule).map_err(|error| error.to_string())
    }

    fn resolve(rule: Value, args: Value) -> Result<(UniqueKey, Option<Need>), String> {
        read(rule)?.resolve("mail", &args).map_err(|error| error.to_string())
    }

    #[test]
    fn forms_survive_a_round_trip() {
        for (given, written) in [
            (json!("sync:{repo}"), json!({ "key": "sync:{repo}" })),
            (json!({}), json!({})),
            (json!({ "key": "a", "until": "started" }), json!({ "key": "a", "until": "started" })),
            (
                json!({ "key": "a", "until": "1h", "on_conflict": "reject" }),
                json!({ "key": "a", "until": "1h", "on_conflict": "reject" }),
            ),
            (
                json!({ "key": "a", "until": "ended", "on_conflict": "run_after" }),
                json!({ "key": "a", "on_conflict": "run_after" }),
            ),
        ] {
            let rule = read(given).unwrap();
            assert_eq!(serde_json::to_value(&rule).unwrap(), written);
            assert_eq!(read(written).unwrap(), rule);
        }
    }

    #[test]
    fn a_task_has_a_key_and_whoever_runs_after_another_waits_for_him() {
        let key = |key: &str, until, on_conflict| UniqueKey { key: key.to_owned(), until, on_conflict };
        assert_eq!(resolve(json!("s:{a}"), json!({ "a": 7 })), Ok((key("s:7", Until::Ended, OnConflict::Existing), None)));
        assert_eq!(resolve(json!({}), json!({})), Ok((key("", Until::Ended, OnConflict::Existing), None)));
        let (taken, after) = resolve(json!({ "key": "s:{a}", "on_conflict": "run_after" }), json!({ "a": 7 })).unwrap();
        assert_eq!(taken, key("s:7", Until::Started, OnConflict::RunAfter));
        assert_eq!(after, Some(Need { key: "sequence:unique:mail:s:7".to_owned(), limit: 1, cost: 1, until_ended: true }));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (rule, args, says) in [
            (json!({ "key": "a", "until": "soon" }), json!({}), "or `ended`, or `started`"),
            (json!({ "key": "a", "until": "0s" }), json!({}), "from 1ms"),
            (json!({ "key": "a", "on_conflict": "explode" }), json!({}), "unknown variant"),
            (json!({ "kee": "a" }), json!({}), "unknown field `kee`"),
            (json!(7), json!({}), "a key such as"),
            (json!(""), json!({}), "is empty"),
            (json!({ "key": "a", "until": "1h", "on_conflict": "run_after" }), json!({}), "leave `until` out"),
            (json!("{a}"), json!({}), "takes `a`, which is not there"),
            (json!("{a}"), json!({ "a": null }), "which is null"),
            (json!("{a}"), json!({ "a": [1] }), "a list or an object"),
            (json!("{a}"), json!({ "a": "x".repeat(256) }), "more than 255 bytes"),
            (json!({ "key": "{a}", "on_conflict": "run_after" }), json!({ "a": "x".repeat(250) }), "as `run_after` needs it"),
        ] {
            let error = resolve(rule.clone(), args).unwrap_err();
            assert!(error.contains(says), "{rule}: {error}");
        }
    }
}
