use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::{Pattern, Routing};
use crate::core::version::split;
use crate::core::{InvalidInput, Template, limits};

/// Where tasks of some types go, and with which limits in time. See the [module](super).
#[derive(Clone, Debug)]
pub struct Route {
    pattern: Result<Pattern, InvalidInput>,
    when: BTreeMap<String, Value>,
    queue: Option<Result<Template, InvalidInput>>,
    to: Routed,
}

/// What a route says of a task; what it leaves out is as it would be without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routed {
    pub(super) queue: Option<String>,
    pub(super) priority: Option<u8>,
    pub(super) timeout: Option<Duration>,
    pub(super) expires: Option<Duration>,
}

impl Route {
    /// Of the task type of this name, or of those of which `*` and `?` in it make a [pattern](Pattern).
    pub fn new(pattern: &str) -> Self {
        Self::of(pattern.parse())
    }

    fn of(pattern: Result<Pattern, InvalidInput>) -> Self {
        Self { pattern, when: BTreeMap::new(), queue: None, to: Routed::default() }
    }

    /// Only tasks that have this argument; or, where the value is a list, one of these. A part of an argument is `owner.plan`, a header
    /// is `headers.tenant`. Of several all have to hold.
    #[must_use]
    pub fn when(mut self, what: impl Into<String>, is: impl Into<Value>) -> Self {
        self.when.insert(what.into(), is.into());
        self
    }

    /// The queue. In braces there may stand an argument, a part of it, a header (`{headers.tenant}`), or the queue to which all tasks of
    /// its type go: `enterprise_{queue}`. A task that has no such value goes by another route.
    #[must_use]
    pub fn queue(mut self, queue: &str) -> Self {
        self.queue = Some(queue.parse());
        self
    }

    /// The priority: 0 is served first, 9 last.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.to.priority = Some(priority);
        self
    }

    /// The longest that one attempt may run; [`DURATION_MAX`](limits::DURATION_MAX) is as good as none.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.to.timeout = Some(timeout);
        self
    }

    /// How long after it is due a task is still worth starting; [`DURATION_MAX`](limits::DURATION_MAX) is none.
    #[must_use]
    pub fn expires(mut self, expires: Duration) -> Self {
        self.to.expires = Some(expires);
        self
    }

    /// What can't be, if anything, and in which part: `match`, `when.WHAT`, `queue`, `priority`, `timeout`, `expires`, or `route` as a whole.
    pub fn mistake(&self) -> Option<InvalidInput> {
        if let Err(error) = &self.pattern {
            return Some(error.clone());
        }
        if let Some(mistake) = self.when.iter().find_map(|(what, is)| mistaken(what, is)) {
            return Some(mistake);
        }
        match &self.queue {
            Some(Err(error)) => return Some(InvalidInput::new("queue", error.to_string())),
            Some(Ok(queue)) if queue.fields().next().is_none() => {
                if let Err(error) = queue.fill(|_| None) {
                    return Some(InvalidInput::new("queue", error.to_string()));
                }
            }
            Some(Ok(_)) => {}
            None if self.to == Routed::default() => {
                let problem = "says nothing; give it a queue, a priority, a timeout or an expiry";
                return Some(InvalidInput::new("route", problem));
            }
            None => {}
        }
        self.to.mistake()
    }

    /// Which one, for people.
    pub(super) fn what(&self) -> String {
        self.pattern.as_ref().map_or_else(|_| "a route".to_owned(), |pattern| format!("the route of {pattern}"))
    }

    /// The queue to which it leads, if that is always the same.
    pub(super) fn known_queue(&self) -> Option<String> {
        self.queue.as_ref()?.as_ref().ok()?.fill(|_| None).ok()
    }

    pub(super) fn pattern(&self) -> &Pattern {
        static NONE: Pattern = Pattern::nothing();
        self.pattern.as_ref().unwrap_or(&NONE)
    }

    /// Whether it is of the tasks of this name in a store: by that of their type, or of this version alone.
    pub(super) fn fits(&self, name: &str) -> bool {
        let (plain, version) = split(name);
        self.pattern().fits(plain) || version > 1 && self.pattern().fits(name)
    }

    /// What it says of all tasks that it is of, if it says the same of all.
    pub(super) fn always(&self) -> Option<Routed> {
        let is_known = self.queue.is_none() || self.known_queue().is_some();
        (is_known && self.when.is_empty()).then(|| Routed { queue: self.known_queue(), ..self.to.clone() })
    }

    /// What it says of a task, if it is of it.
    pub(super) fn lead(&self, task: &Routing<'_>) -> Option<Routed> {
        if !self.fits(task.name) {
            return None;
        }
        let own = Own::of(task);
        let holds = |(what, is): (&String, &Value)| {
            let found = own.part(what);
            found.is_some_and(|found| {
                is_equal(found, is) || is.as_array().is_some_and(|any| any.iter().any(|is| is_equal(found, is)))
            })
        };
        if !self.when.iter().all(holds) {
            return None;
        }
        let queue = match &self.queue {
            Some(queue) => Some(queue.as_ref().ok()?.fill(|name| own.get(name)).ok()?),
            None => None,
        };
        Some(Routed { queue, ..self.to.clone() })
    }
}

/// Numbers by what they are, and not by how they are written: 1 is 1.0. Two whole ones are exact, as large ids differ in their last digit.
fn is_equal(found: &Value, is: &Value) -> bool {
    let is_fraction = found.is_f64() || is.is_f64();
    found == is || is_fraction && found.as_f64().is_some_and(|found| is.as_f64() == Some(found))
}

/// What of a condition can never hold.
fn mistaken(what: &str, is: &Value) -> Option<InvalidInput> {
    let wrong = |problem: &str| Some(InvalidInput::new(format!("when.{what}"), problem));
    if what.split('.').any(|name| name.is_empty() || name != name.trim()) {
        return wrong("names no value; write `name`, or `name.part`");
    }
    let one = std::slice::from_ref(is);
    let any = is.as_array().map_or(one, Vec::as_slice);
    if any.is_empty() || any.iter().any(|is| !(is.is_string() || is.is_number() || is.is_boolean())) {
        return wrong("is compared with a text, a number, true or false, or a list of these");
    }
    if what.starts_with("headers.") && !any.iter().all(Value::is_string) {
        return wrong("is compared with what is no text; a header is text");
    }
    None
}

/// What a route may name of a task.
struct Own<'t, 'a> {
    task: &'t Routing<'a>,
    headers: Value,
    queue: Value,
}

impl<'t, 'a> Own<'t, 'a> {
    fn of(task: &'t Routing<'a>) -> Self {
        let headers = task.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        Self { task, headers: Value::Object(headers), queue: task.queue().into() }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        match name {
            "queue" => Some(&self.queue),
            "headers" => Some(&self.headers),
            "args" => Some(self.task.args()),
            name => self.task.arg(name),
        }
    }

    fn part(&self, way: &str) -> Option<&Value> {
        let mut names = way.split('.');
        let first = names.next().and_then(|name| self.get(name));
        names.try_fold(first, |value, name| Some(value?.get(name))).flatten()
    }
}

impl Routed {
    /// To this queue, without the prefix of the environment.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> Self {
        Self { queue: Some(queue.into()), ..self }
    }

    /// With this priority: 0 is served first, 9 last.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        Self { priority: Some(priority), ..self }
    }

    /// The longest that one attempt may run.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// How long after it is due it is still worth starting.
    #[must_use]
    pub fn expires(self, expires: Duration) -> Self {
        Self { expires: Some(expires), ..self }
    }

    /// What it leaves out is as the other one says.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            queue: self.queue.or(other.queue),
            priority: self.priority.or(other.priority),
            timeout: self.timeout.or(other.timeout),
            expires: self.expires.or(other.expires),
        }
    }

    fn mistake(&self) -> Option<InvalidInput> {
        if self.priority.is_some_and(|priority| priority > limits::PRIORITY_MAX) {
            return Some(InvalidInput::new("priority", format!("is from 0 (first) to {} (last)", limits::PRIORITY_MAX)));
        }
        for (field, duration) in [("timeout", self.timeout), ("expires", self.expires)] {
            if duration.is_some_and(|duration| duration > limits::DURATION_MAX) {
                return Some(InvalidInput::new(field, "is at most 100 years"));
            }
        }
        if self.timeout.is_some_and(|timeout| timeout < Duration::from_millis(1)) {
            return Some(InvalidInput::new("timeout", "is at least 1ms"));
        }
        self.queue.as_ref().and_then(|queue| limits::check_name("queue", queue).err())
    }

    /// Without what can't be: a task goes where it would go without that, and is not refused.
    pub(super) fn checked(self, name: &str) -> Self {
        match self.mistake() {
            None => self,
            Some(problem) => {
                tracing::warn!(task = name, %problem, "what a route says of this task can't be; it goes as it would without it");
                Self::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_equal;

    #[test]
    fn numbers_are_compared_by_what_they_are() {
        assert!(is_equal(&json!(1), &json!(1.0)) && is_equal(&json!("a"), &json!("a")));
        assert!(!is_equal(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
        assert!(!is_equal(&json!(1), &json!("1")) && !is_equal(&json!(null), &json!(false)));
    }
}
