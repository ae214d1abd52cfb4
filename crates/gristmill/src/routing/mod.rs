//! Which queue a task goes to, and with which limits in time, said in one place: by the exact name of its type, by a pattern, or by a
//! function of the task itself.
//!
//! It is decided once, when the task is enqueued, whoever does that (a client, a handler, a beat, a step of a workflow); the task keeps it
//! through all of its attempts. Option by option, what the call says wins over the route, the route over the task type, and the task type
//! over the [default of its queue](crate::App::queue_expires).
//!
//! Routes of an exact name come first, then those of patterns, each in the order in which they were added. The first one that fits decides,
//! and no other. Then the [function](crate::App::route_by) is asked, and may decide otherwise. A route is never an error: one that needs what
//! the task does not have does not fit, and what a function or a route says that can't be is left out, with a warning.
//!
//! ```
//! use std::time::Duration;
//! use gristmill::routing::{Route, Routed};
//! use gristmill::{App, Result, task};
//!
//! #[task(name = "app.tasks.notify")]
//! async fn notify(repo: u64, plan: String) -> Result<()> {
//!     println!("{repo} is on the plan {plan}");
//!     Ok(())
//! }
//!
//! # fn example() -> App<()> {
//! App::new(())
//!     .register::<Notify>()
//!     .route(Route::new("app.tasks.*").queue("tasks").timeout(Duration::from_secs(600)))
//!     // Whoever pays has queues of his own.
//!     .route_by(|task| {
//!         let pays = task.arg("plan").is_some_and(|plan| plan == "enterprise");
//!         pays.then(|| Routed::default().queue(format!("enterprise_{}", task.queue())))
//!     })
//! # }
//! ```
//!
//! A route of a task type is of all [versions](crate::Task::VERSION) of its arguments; one of version 2 alone is written `email.send@2`.
//!
//! Tasks that SQL enqueues, and those of programs in which the routes are not set, have what was declared with the type: what the first
//! route says that fits all tasks of the type. Conditions, functions, the prefix and defaults of queues are not for them.

mod pattern;
mod route;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;

pub use pattern::Pattern;
pub use route::{Route, Routed};

use crate::core::concurrency::FairBy;
use crate::core::version::split;
use crate::core::{Aging, KindSpec, Overrides, Policy, limits};
use crate::{Error, panics};

type By = Arc<dyn Fn(&Routing<'_>) -> Option<Routed> + Send + Sync>;

/// Why a queue has one of them and not both.
pub const FAIR_AND_AGING: &str =
    "`fair_by` has keys take turns, so that the first in line is not the oldest, by which `aging` goes; take one of them";

/// All that a program says of where tasks go.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    /// Those of an exact name first, which are so many.
    rules: Vec<Route>,
    exact: usize,
    by: Vec<By>,
    prefix: String,
    expires: BTreeMap<String, Duration>,
    concurrency: BTreeMap<String, u32>,
    fair_by: BTreeMap<String, FairBy>,
    aging: BTreeMap<String, Duration>,
    leases: BTreeMap<String, Duration>,
}

impl Routes {
    pub(crate) fn add(&mut self, route: Route) {
        if route.pattern().is_exact() {
            self.rules.insert(self.exact, route);
            self.exact += 1;
        } else {
            self.rules.push(route);
        }
    }

    pub(crate) fn add_by(&mut self, by: impl Fn(&Routing<'_>) -> Option<Routed> + Send + Sync + 'static) {
        self.by.push(Arc::new(by));
    }

    pub(crate) fn set_prefix(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    pub(crate) fn set_expires(&mut self, queue: String, expires: Duration) {
        self.expires.insert(queue, expires);
    }

    pub(crate) fn set_concurrency(&mut self, queue: String, limit: u32) {
        self.concurrency.insert(queue, limit);
    }

    pub(crate) fn set_fair_by(&mut self, queue: String, fair_by: FairBy) {
        self.fair_by.insert(queue, fair_by);
    }

    pub(crate) fn set_aging(&mut self, queue: String, after: Duration) {
        self.aging.insert(queue, after);
    }

    pub(crate) fn set_lease(&mut self, queue: String, lease: Duration) {
        self.leases.insert(queue, lease);
    }

    /// The shortest lease that one of these queues has; they are named as in the store.
    pub(crate) fn lease_of<'q>(&self, queues: impl Iterator<Item = &'q String>) -> Option<Duration> {
        queues.filter_map(|queue| self.of_queue(&self.leases, queue)).min()
    }

    /// The queues whose tasks age, by their names in the store.
    pub(crate) fn aging(&self) -> Vec<Aging> {
        self.aging.iter().map(|(queue, after)| Aging { queue: self.real(queue).into_owned(), after: *after }).collect()
    }

    /// What can't be, if anything.
    pub(crate) fn mistake(&self) -> Option<String> {
        let of_prefix = (!self.prefix.is_empty()).then(|| limits::check_name("queue_prefix", &self.prefix).err()).flatten();
        let of_rules = || self.rules.iter().find_map(|rule| Some(format!("{}: {}", rule.what(), rule.mistake()?)));
        let too_long = |queue: &String| limits::check_name("queue", queue).err().map(|error| format!("{error}, with the prefix"));
        let of_lengths = || self.queues().find_map(|queue| too_long(&queue));
        let of_queues = || {
            let (queue, _) = self.expires.iter().find(|(_, expires)| **expires > limits::DURATION_MAX)?;
            Some(format!("the default expiry of the queue {queue} is longer than 100 years"))
        };
        let of_limits = || {
            let (queue, _) = self.concurrency.iter().find(|(_, limit)| !(1..=limits::CONCURRENCY_MAX).contains(*limit))?;
            let most = limits::CONCURRENCY_MAX;
            Some(format!(
                "the concurrency of the queue {queue} is no whole number from 1 to {most}; `limits set queue:{queue} 0` closes it"
            ))
        };
        let of_both = || {
            let queue = self.aging.keys().find(|queue| self.fair_by.keys().any(|fair| self.real(fair) == self.real(queue)))?;
            Some(format!("the queue {queue}: {FAIR_AND_AGING}"))
        };
        let of_turns =
            || self.fair_by.iter().find_map(|(queue, rule)| Some(format!("the queue {queue}: {}", rule.check().err()?)));
        let of_aging = || {
            let is_wrong = |after: &Duration| after.as_millis() == 0 || *after > limits::DURATION_MAX;
            let (queue, _) = self.aging.iter().find(|(_, after)| is_wrong(after))?;
            Some(format!("the aging of the queue {queue} is at least 1ms and at most 100 years"))
        };
        let of_leases = || {
            let is_wrong = |lease: &Duration| *lease < limits::LEASE_MIN || *lease > limits::DURATION_MAX;
            let (queue, _) = self.leases.iter().find(|(_, lease)| is_wrong(lease))?;
            Some(format!("the lease of the queue {queue} is at least 100ms and at most 100 years"))
        };
        let of_names = || of_rules().or_else(of_lengths).or_else(of_queues);
        of_prefix
            .map(|error| error.to_string())
            .or_else(of_names)
            .or_else(of_limits)
            .or_else(of_turns)
            .or_else(of_aging)
            .or_else(of_leases)
            .or_else(of_both)
    }

    /// The name by which a queue is known in the store. One that begins with the prefix has it already.
    pub(crate) fn real<'q>(&self, queue: &'q str) -> Cow<'q, str> {
        if self.prefix.is_empty() || queue.starts_with(&self.prefix) {
            return Cow::Borrowed(queue);
        }
        Cow::Owned(format!("{}{queue}", self.prefix))
    }

    /// What a task type declares: what holds of all of its tasks is in it, for those that no program of ours enqueues. Not the prefix: the
    /// declaration is one for all environments that share a store.
    pub(crate) fn declare(&self, spec: &mut KindSpec) {
        if let Some(wanted) = self.always(&spec.name) {
            let Policy { queue, priority, timeout, expires, .. } = &mut spec.policy;
            *queue = wanted.queue.unwrap_or_else(|| std::mem::take(queue));
            *priority = wanted.priority.unwrap_or(*priority);
            *timeout = wanted.timeout.map_or(*timeout, none_if_longest);
            *expires = wanted.expires.map_or(*expires, none_if_longest);
        }
    }

    /// What is said of all tasks of a type.
    fn always(&self, name: &str) -> Option<Routed> {
        let mut fitting = self.rules.iter().filter(|rule| rule.fits(name));
        fitting.find_map(Route::always).map(|to| to.checked(name))
    }

    /// The queues to which routes lead, as far as their names are known, by the names that they have in the store.
    pub(crate) fn queues(&self) -> impl Iterator<Item = String> {
        self.rules.iter().filter_map(Route::known_queue).map(|queue| self.real(&queue).into_owned())
    }

    /// Says of a task what its enqueue does not.
    pub(crate) fn apply(&self, name: &str, args: &str, policy: &Policy, over: &mut Overrides) {
        if self.is_empty() {
            return;
        }
        if !self.rules.is_empty() || !self.by.is_empty() {
            let mut to = self.decide(name, args, policy, over);
            if let Some(queue) = &to.queue
                && let Err(error) = limits::check_name("queue", &self.real(queue))
            {
                tracing::warn!(task = name, %error, "the queue that a route says can't be; the task goes where it would without it");
                to.queue = None;
            }
            over.queue = over.queue.take().or(to.queue);
            over.priority = over.priority.or(to.priority);
            over.timeout = over.timeout.or(to.timeout);
            over.expires = over.expires.or(to.expires.filter(|_| over.expires_at.is_none()));
        }
        let real = self.real(over.queue.as_deref().unwrap_or(&policy.queue));
        if policy.expires.is_none() && over.expires.is_none() && over.expires_at.is_none() {
            over.expires = self.of_queue(&self.expires, &real);
        }
        over.queue_concurrency = self.of_queue(&self.concurrency, &real);
        over.queue_fair_by = self.of_queue(&self.fair_by, &real);
        if let Cow::Owned(queue) = real {
            over.queue = Some(queue);
        }
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty()
            && self.by.is_empty()
            && self.prefix.is_empty()
            && self.expires.is_empty()
            && self.concurrency.is_empty()
            && self.fair_by.is_empty()
    }

    fn decide(&self, name: &str, args: &str, policy: &Policy, over: &Overrides) -> Routed {
        // Where it goes by what is said of all tasks of its type: whoever declares that, and whoever does not, is to see the same.
        let of_all = || self.always(name).and_then(|to| to.queue);
        let queue = over.queue.clone().or_else(of_all).unwrap_or_else(|| policy.queue.clone());
        let queue = queue.strip_prefix(&self.prefix).map(str::to_owned).unwrap_or(queue);
        let mut task = Routing { name, args, headers: &over.headers, read: OnceLock::new(), queue };
        let mut to = self.rules.iter().find_map(|rule| rule.lead(&task)).unwrap_or_default().checked(name);
        for by in &self.by {
            if over.queue.is_none() {
                task.queue = to.queue.clone().unwrap_or(task.queue);
            }
            match panics::catch(|| by(&task)) {
                Ok(Some(otherwise)) => to = otherwise.checked(name).or(to),
                Ok(None) => {}
                Err(panicked) => {
                    tracing::warn!(task = name, error = %Error::from(panicked), "a function of routes panicked; the task goes where it would without it");
                }
            }
        }
        to
    }

    /// What is said of a queue, by the name that it has in the store.
    fn of_queue<T: Clone>(&self, said: &BTreeMap<String, T>, real: &str) -> Option<T> {
        said.iter().find_map(|(queue, value)| (self.real(queue) == real).then(|| value.clone()))
    }
}

fn none_if_longest(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| *duration < limits::DURATION_MAX)
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("rules", &self.rules).field("functions", &self.by.len()).finish_non_exhaustive()
    }
}

/// A task that is about to be enqueued, as a function of routes sees it.
#[derive(Debug)]
pub struct Routing<'a> {
    /// In the store.
    name: &'a str,
    args: &'a str,
    headers: &'a BTreeMap<String, String>,
    /// The arguments, once somebody has asked for one of them.
    read: OnceLock<Value>,
    queue: String,
}

impl Routing<'_> {
    /// The name of the task type, whatever the version.
    pub fn name(&self) -> &str {
        split(self.name).0
    }

    /// The [version](crate::Task::VERSION) of its arguments.
    pub fn version(&self) -> u32 {
        split(self.name).1
    }

    /// The queue to which it would go, without the prefix of the environment.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// An argument, as it is written down. They are read for the first one that is asked for.
    pub fn arg(&self, name: &str) -> Option<&Value> {
        self.args().get(name)
    }

    /// A header: what the caller gave it, what it inherits from its parent, and what middleware has added.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn args(&self) -> &Value {
        self.read.get_or_init(|| serde_json::from_str(self.args).unwrap_or_default())
    }
}
