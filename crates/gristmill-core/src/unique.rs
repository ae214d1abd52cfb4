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

use crate::concurrency::{AFTER, Need, RULES_MAX};
use crate::limits::{DURATION_MAX, NAME_BYTES_MAX};
use crate::{InvalidInput, Template, Timestamp, format_duration, parse_duration};

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
    /// The argument whose lists are put together, with [`OnConflict::Collect`], and with no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
}

/// How long a task has its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// Until it has ended, all attempts included.
    #[default]
    Ended,
    /// Until a worker first claims it: what is enqueued from then on makes a new task.
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
    /// If that task has not begun, it has this one's arguments from then on; if it has, this one is made.
    Replace,
    /// As `RunAfter`, and the task that stands for this one gets its list beside those of all others: one run sees what all of them brought. Which
    /// argument is the list says [`Unique::list`]; of the others those of the last enqueue count.
    Collect,
}

/// What an enqueue whose key another task has writes into that one, if it has not begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// Its arguments in place of those.
    Replace,
    /// The same, but the list with this name is that of both, one behind the other. If that is more than [`COLLECTED_BYTES_MAX`], or one of them is no list, the
    /// enqueue makes a task of its own, which has the key from then on.
    Collect(String),
}

/// As large do arguments become of which lists are collected, in bytes.
pub const COLLECTED_BYTES_MAX: usize = 256 * 1024;

impl Merge {
    /// The name of the list whose parts are put together; empty if nothing is kept of the arguments of before.
    pub fn list(&self) -> &str {
        match self {
            Self::Replace => "",
            Self::Collect(list) => list,
        }
    }
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
    /// If it is debounced, it has its key until it is due, whatever `until` says, and another enqueue with the key gives it that one's arguments and puts it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Waits>,
    /// If another enqueue with the key writes into its task. Programs of before this was there read it past, and let that task stand as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
}

/// How a debounced task waits, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// From the last enqueue with its key on.
    pub wait_ms: u64,
    /// From the first on; `None` for as long as there is always another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait_ms: Option<u64>,
}

impl Waits {
    /// When it is due, of a task that was made at `made_at`, if there is an enqueue `now`.
    pub fn due(self, made_at: Timestamp, now: Timestamp) -> Timestamp {
        let due = now.saturating_add(Duration::from_millis(self.wait_ms));
        self.max_wait_ms.map_or(due, |most| due.min(made_at.saturating_add(Duration::from_millis(most))))
    }
}

/// How a task type's tasks are debounced: of all enqueues with one key there is one task, with the arguments of the last. It is due once there was
/// none for a time.
///
/// ```
/// use gristmill_core::unique::Debounce;
///
/// let rule: Debounce = serde_json::from_str(r#"{"key": "notify:{user}", "wait": "5s", "max_wait": "1m"}"#)?;
/// assert!(rule.check().is_ok());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debounce {
    /// Made of the arguments, at the enqueue. `None`: all tasks of the type have one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
    /// How long there has to be no other; at least a millisecond.
    #[serde(with = "span")]
    pub wait: Duration,
    /// The longest that it is put off, from the first enqueue on; at least `wait`. `None`: as long as there is always another.
    #[serde(default, with = "some_span", skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Duration>,
}

impl Debounce {
    /// Checks the times.
    ///
    /// # Errors
    /// One that is out of range.
    pub fn check(&self) -> Result<(), InvalidInput> {
        let is_in_range = |time: Duration| time.as_millis() > 0 && time <= DURATION_MAX;
        if !is_in_range(self.wait) || self.max_wait.is_some_and(|most| !is_in_range(most)) {
            return Err(InvalidInput::new("debounce", "has times from 1ms to 100 years"));
        }
        if self.max_wait.is_some_and(|most| most < self.wait) {
            return Err(InvalidInput::new(
                "debounce",
                "has a `max_wait` below its `wait`; it is the longest that `wait` may be begun anew",
            ));
        }
        Ok(())
    }

    /// Checks it beside a rule of unique keys.
    ///
    /// # Errors
    /// As [`check`](Self::check), or that there is one.
    pub fn check_beside(&self, unique: Option<&Unique>) -> Result<(), InvalidInput> {
        self.check()?;
        unique.map_or(Ok(()), |_| {
            Err(InvalidInput::new("debounce", "has one task a key by itself, and so has `unique`; take one of them"))
        })
    }

    /// The names of the arguments that its key takes, with the ways to their parts.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.key.iter().flat_map(Template::fields)
    }

    /// The key of a task with these arguments.
    ///
    /// # Errors
    /// As [`check`](Self::check); a key that can't be made of these arguments.
    pub fn resolve(&self, args: &Value) -> Result<UniqueKey, InvalidInput> {
        self.check()?;
        let key = self.key.as_ref().map(|key| key.fill(|name| args.get(name))).transpose()?.unwrap_or_default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let debounce = Some(Waits { wait_ms: ms(self.wait), max_wait_ms: self.max_wait.map(ms) });
        Ok(UniqueKey { key, until: Until::Ended, on_conflict: OnConflict::Existing, debounce, merge: None })
    }
}

mod span {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::{format_duration, parse_duration};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        parse_duration(&text).map_err(D::Error::custom)
    }
}

mod some_span {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::span::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::span::deserialize(deserializer).map(Some)
    }
}

impl UniqueKey {
    /// Whether an enqueue whose key another task has is to be refused.
    pub fn rejects(&self) -> bool {
        self.on_conflict == OnConflict::Reject
    }
}

impl OnConflict {
    /// Whether its tasks take turns: whoever is made begins when the one before has ended.
    pub fn takes_turns(self) -> bool {
        matches!(self, Self::RunAfter | Self::Collect)
    }

    /// As it stands in rules.
    fn word(self) -> &'static str {
        match self {
            Self::Existing => "existing",
            Self::Reject => "reject",
            Self::RunAfter => "run_after",
            Self::Replace => "replace",
            Self::Collect => "collect",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_existing(&self) -> bool {
        *self == Self::Existing
    }
}

impl Until {
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
            list: Option<String>,
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
                let Written { key, until, on_conflict, list } = Written::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Unique { key, until, on_conflict, list })
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
        Self { key: None, until: Until::Ended, on_conflict: OnConflict::Existing, list: None }
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

    /// One run of all that many enqueues bring: [`OnConflict::Collect`], with the lists in this argument.
    #[must_use]
    pub fn collect(self, list: impl Into<String>) -> Self {
        Self { on_conflict: OnConflict::Collect, list: Some(list.into()), ..self }
    }

    /// The names of the arguments that it takes, with the ways to their parts.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.key.iter().flat_map(Template::fields).chain(self.list.as_deref())
    }

    /// Checks what does not depend on arguments.
    ///
    /// # Errors
    /// A period that is out of range; `run_after`, `replace` or `collect` with a time of another sort; `collect` without the name of an argument, or that
    /// without `collect`.
    pub fn check(&self) -> Result<(), InvalidInput> {
        let problem = match self.on_conflict {
            OnConflict::RunAfter | OnConflict::Collect if self.until != Until::Ended => {
                Some("has one run after the other ended, so that its `until` is `ended`; leave `until` out")
            }
            OnConflict::Replace if !matches!(self.until, Until::Ended | Until::Started) => {
                Some("writes into a task that has not begun, so that its `until` is `started`; leave `until` out")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(InvalidInput::new("unique", format!("`{}` {problem}", self.on_conflict.word())));
        }
        match (&self.list, self.on_conflict == OnConflict::Collect) {
            (None, true) => {
                let problem = "`collect` puts lists together; say in which argument they are, as in `list = \"items\"`";
                return Err(InvalidInput::new("unique", problem));
            }
            (Some(_), false) => {
                return Err(InvalidInput::new("unique", "has a `list`, which only `on_conflict = \"collect\"` puts together"));
            }
            // It stands in paths of several dialects.
            (Some(list), true) if list.is_empty() || !list.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                let problem = format!("has the list {list:?}; it is the name of an argument, of letters, digits and underscores");
                return Err(InvalidInput::new("unique", problem));
            }
            _ => {}
        }
        match self.until.period() {
            Some(period) if period.is_zero() || period > DURATION_MAX => {
                Err(InvalidInput::new("unique", "has a period from 1ms to 100 years"))
            }
            _ => Ok(()),
        }
    }

    /// Checks it beside so many rules of how many may run at once.
    ///
    /// # Errors
    /// As [`check`](Self::check); one rule too many, as tasks that take turns do so by one more.
    pub fn check_beside(&self, rules: usize) -> Result<(), InvalidInput> {
        self.check()?;
        if self.on_conflict.takes_turns() && rules >= RULES_MAX {
            let word = self.on_conflict.word();
            let problem = format!("with `{word}` takes its turn as if by one rule more, and there are {RULES_MAX} already");
            return Err(InvalidInput::new("unique", problem));
        }
        Ok(())
    }

    /// The key of a task of this type with these arguments, and the slot that it needs to run after the one before.
    ///
    /// # Errors
    /// As [`check`](Self::check); a key that names an argument which is missing, null, a list or an object, or that is longer than a name may be; no
    /// list where one is to be collected.
    pub fn resolve(&self, kind: &str, args: &Value) -> Result<(UniqueKey, Option<Need>), InvalidInput> {
        self.check()?;
        let key = self.key.as_ref().map(|key| key.fill(|name| args.get(name))).transpose()?.unwrap_or_default();
        let merge = match (self.on_conflict, &self.list) {
            (OnConflict::Replace, _) => Some(Merge::Replace),
            (OnConflict::Collect, Some(list)) => {
                if !args.get(list).is_some_and(Value::is_array) {
                    let problem =
                        format!("have no list in {list:?}, where `collect` puts lists together; give one, if of one element");
                    return Err(InvalidInput::new("args", problem));
                }
                Some(Merge::Collect(list.clone()))
            }
            _ => None,
        };
        // Whoever waits stands for all who come until he begins.
        let until = if merge.is_some() || self.on_conflict.takes_turns() { Until::Started } else { self.until };
        let on_conflict = if merge.is_some() { OnConflict::Existing } else { self.on_conflict };
        let taken = UniqueKey { key, until, on_conflict, debounce: None, merge };
        if !self.on_conflict.takes_turns() {
            return Ok((taken, None));
        }
        let line = format!("{AFTER}{kind}:{}", taken.key);
        if line.len() > NAME_BYTES_MAX {
            let problem = format!(
                "has {} bytes with the task type's name, as `{}` needs it; at most {NAME_BYTES_MAX} are allowed",
                line.len(),
                self.on_conflict.word()
            );
            return Err(InvalidInput::new("unique key", problem));
        }
        // He begins when the one before has ended.
        let after = Need { until_ended: true, ..Need::of(line, 1) };
        Ok((taken, Some(after)))
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
                json!({ "key": "a", "on_conflict": "collect", "list": "items" }),
                json!({ "key": "a", "on_conflict": "collect", "list": "items" }),
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
        let key =
            |key: &str, until, on_conflict| UniqueKey { key: key.to_owned(), until, on_conflict, debounce: None, merge: None };
        assert_eq!(resolve(json!("s:{a}"), json!({ "a": 7 })), Ok((key("s:7", Until::Ended, OnConflict::Existing), None)));
        assert_eq!(resolve(json!({}), json!({})), Ok((key("", Until::Ended, OnConflict::Existing), None)));
        let (taken, after) = resolve(json!({ "key": "s:{a}", "on_conflict": "run_after" }), json!({ "a": 7 })).unwrap();
        assert_eq!(taken, key("s:7", Until::Started, OnConflict::RunAfter));
        assert_eq!(after, Some(Need { until_ended: true, ..Need::of("after:mail:s:7", 1) }));
    }

    #[test]
    fn what_is_written_into_the_task_that_waits_goes_along_in_words_that_others_read_past() {
        let args = json!({ "a": 7, "items": [1] });
        let (taken, after) = resolve(json!({ "key": "s:{a}", "on_conflict": "replace" }), args.clone()).unwrap();
        assert_eq!((taken.merge.clone(), taken.until, after), (Some(Merge::Replace), Until::Started, None));
        assert_eq!(serde_json::to_value(&taken).unwrap(), json!({ "key": "s:7", "until": "started", "merge": "replace" }));
        let (taken, after) = resolve(json!({ "key": "s:{a}", "on_conflict": "collect", "list": "items" }), args).unwrap();
        let written = json!({ "key": "s:7", "until": "started", "merge": { "collect": "items" } });
        assert_eq!((serde_json::to_value(&taken).unwrap(), after.unwrap().key), (written, "after:mail:s:7".to_owned()));
    }

    #[test]
    fn a_debounced_task_waits_for_the_last_enqueue_but_not_for_ever() {
        let read = |rule: Value| serde_json::from_value::<Debounce>(rule).map_err(|error| error.to_string());
        let written = json!({ "key": "u:{user}", "wait": "5s", "max_wait": "1m" });
        let rule = read(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&rule).unwrap(), written);
        let key = rule.resolve(&json!({ "user": 7 })).unwrap();
        let waits = Waits { wait_ms: 5_000, max_wait_ms: Some(60_000) };
        assert_eq!((key.key.as_str(), key.debounce), ("u:7", Some(waits)));
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        assert_eq!(waits.due(at(0), at(0)), at(5));
        assert_eq!(waits.due(at(0), at(50)), at(55));
        assert_eq!(waits.due(at(0), at(58)), at(60));
        assert_eq!(Waits { max_wait_ms: None, ..waits }.due(at(0), at(58)), at(63));
        for (rule, says) in [
            (json!({ "wait": "0s" }), "from 1ms"),
            (json!({ "wait": "5s", "max_wait": "1s" }), "below its `wait`"),
            (json!({ "key": "a" }), "missing field `wait`"),
            (json!({ "wait": "soon" }), "soon"),
            (json!({ "wait": "5s", "kee": 1 }), "kee"),
            (json!({ "wait": "5s", "key": "{nobody}" }), "takes `nobody`"),
        ] {
            let error =
                read(rule.clone()).and_then(|rule| rule.resolve(&json!({})).map_err(|error| error.to_string())).unwrap_err();
            assert!(error.contains(says), "{rule}: {error}");
        }
    }

    /// A store that takes 8 needs would else drop all of them.
    #[test]
    fn whoever_takes_turns_has_one_rule_more() {
        let rule = |n: usize| crate::concurrency::Concurrency::of(format!("{n}").parse().unwrap(), 1);
        let policy = |rules| crate::Policy {
            concurrency: (0..rules).map(rule).collect(),
            unique: Some(Unique::of_type().on_conflict(OnConflict::RunAfter)),
            ..crate::Policy::default()
        };
        assert!(policy(7).check().is_ok());
        assert!(policy(8).check().unwrap_err().to_string().contains("one rule more"));
        let new = |rules| {
            let (over, id) = (crate::Overrides::default(), crate::Env::system().task_id());
            crate::NewTask::resolve("mail", &policy(rules), "{}".to_owned(), over, id, &crate::Limits::default())
        };
        assert_eq!(new(7).unwrap().meta.unwrap().needs.len(), 8);
        assert!(new(8).unwrap_err().to_string().contains("one rule more"));
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
            (json!({ "on_conflict": "collect" }), json!({ "items": [] }), "say in which argument"),
            (json!({ "list": "items" }), json!({ "items": [] }), "only `on_conflict = \"collect\"`"),
            (json!({ "on_conflict": "collect", "list": "a.b" }), json!({}), "the name of an argument"),
            (json!({ "on_conflict": "collect", "list": "items" }), json!({ "items": 7 }), "have no list in \"items\""),
            (json!({ "on_conflict": "collect", "list": "items" }), json!({}), "have no list in \"items\""),
            (json!({ "on_conflict": "collect", "list": "items", "until": "1h" }), json!({ "items": [] }), "leave `until` out"),
            (json!({ "on_conflict": "replace", "until": "1h" }), json!({}), "its `until` is `started`"),
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
