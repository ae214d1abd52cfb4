//! `[[route]]`, `[queues.NAME]` and `queue_prefix`: where tasks go that say nothing else.

use std::collections::BTreeMap;

use gristmill::App;
use gristmill::core::concurrency::FairBy;
use gristmill::core::format_duration;
use gristmill::core::limits::{self, DURATION_MAX};
use gristmill::routing::{FAIR_AND_AGING, Pattern, Route};
use serde::Deserialize;

use super::file::File;
use super::mistake::{ConfigError, Source};
use super::values::{Limit, Span};

/// One `[[route]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteEntry {
    #[serde(rename = "match")]
    pattern: Option<String>,
    #[serde(default)]
    when: BTreeMap<String, serde_json::Value>,
    queue: Option<String>,
    priority: Option<u8>,
    timeout: Option<Limit>,
    expires: Option<Limit>,
}

/// One `[queues.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueueEntry {
    pub(crate) expires: Option<Span>,
    pub(crate) concurrency: Option<u32>,
    pub(crate) fair_by: Option<FairBy>,
    pub(crate) aging: Option<Span>,
    pub(crate) lease: Option<Span>,
}

/// What the file says of where tasks go.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    pub(crate) routes: Vec<ConfigRoute>,
    pub(crate) queues: BTreeMap<String, QueueEntry>,
    pub(crate) prefix: String,
}

/// A route of the file.
#[derive(Clone, Debug)]
pub(crate) struct ConfigRoute {
    pub(crate) pattern: Pattern,
    /// As it is written, with what stands in braces.
    pub(crate) queue: Option<String>,
    /// Which one of the file it is.
    pub(crate) number: usize,
    /// All that it says, for people.
    pub(crate) says: String,
    route: Route,
}

impl Routing {
    /// Takes it from the file; what is wrong with it goes to `mistakes`. Entries that are broken are told of already.
    pub(super) fn take(
        file: &mut File,
        source: Source<'_>,
        is_broken: impl Fn(&str, &str) -> bool,
        mistakes: &mut Vec<ConfigError>,
    ) -> Self {
        let mut routing = Self::default();
        for (number, entry) in std::mem::take(&mut file.route).into_iter().enumerate() {
            if !is_broken("route", &number.to_string()) {
                match entry.resolve(number, source) {
                    Ok(route) => routing.routes.push(route),
                    Err(mistake) => mistakes.push(mistake),
                }
            }
        }
        for (name, entry) in std::mem::take(&mut file.queues) {
            if let Err(error) = limits::check_name("a queue's name", &name) {
                mistakes.push(source.at(&["queues", &name], error));
            }
            let most = limits::CONCURRENCY_MAX;
            if entry.concurrency.is_some_and(|limit| !(1..=most).contains(&limit)) {
                let why = format!("concurrency is no whole number from 1 to {most}; `limits set queue:{name} 0` closes a queue");
                mistakes.push(source.at(&["queues", &name, "concurrency"], why));
            }
            if let Some(Err(error)) = entry.fair_by.as_ref().map(FairBy::check) {
                mistakes.push(source.at(&["queues", &name, "fair_by"], error));
            }
            if entry.fair_by.is_some() && entry.aging.is_some() {
                mistakes.push(source.at(&["queues", &name, "aging"], FAIR_AND_AGING));
            }
            if entry.lease.is_some_and(|Span(lease)| lease < limits::LEASE_MIN || lease > DURATION_MAX) {
                mistakes.push(source.at(&["queues", &name, "lease"], "a lease is at least 100ms and at most 100 years"));
            }
            if entry.aging.is_some_and(|Span(after)| after.as_millis() == 0 || after > DURATION_MAX) {
                mistakes.push(source.at(&["queues", &name, "aging"], "aging is at least 1ms and at most 100 years"));
            }
            routing.queues.insert(name, entry);
        }
        if let Some(prefix) = file.queue_prefix.take() {
            if let Err(error) = limits::check_name("queue_prefix", &prefix) {
                mistakes.push(source.at(&["queue_prefix"], error));
            }
            routing.prefix = prefix;
        }
        // One that begins with the prefix has it already.
        let twin =
            |name: &&String| !routing.prefix.is_empty() && routing.queues.contains_key(&format!("{}{name}", routing.prefix));
        if let Some(name) = routing.queues.keys().find(twin) {
            let why = format!(
                "with the prefix `{}`, `{name}` is the queue `{0}{name}`, which has a table of its own; keep one",
                routing.prefix
            );
            mistakes.push(source.at(&["queues", name], why));
        }
        routing
    }

    /// Adds it to an application.
    pub(crate) fn add_to<S: Send + Sync + 'static>(self, app: App<S>) -> App<S> {
        let app = self.routes.into_iter().fold(app, |app, route| app.route(route.route));
        let app =
            self.queues.into_iter().fold(app, |app, (queue, QueueEntry { expires, concurrency, fair_by, aging, lease })| {
                let app = match lease {
                    Some(Span(lease)) => app.queue_lease(queue.clone(), lease),
                    None => app,
                };
                let app = match fair_by {
                    Some(rule) => app.queue_fair_by(queue.clone(), rule),
                    None => app,
                };
                let app = match aging {
                    Some(Span(after)) => app.queue_aging(queue.clone(), after),
                    None => app,
                };
                let app = match concurrency {
                    Some(limit) => app.queue_concurrency(queue.clone(), limit),
                    None => app,
                };
                match expires {
                    Some(Span(expires)) => app.queue_expires(queue, expires),
                    None => app,
                }
            });
        if self.prefix.is_empty() { app } else { app.queue_prefix(self.prefix) }
    }
}

impl RouteEntry {
    fn resolve(self, number: usize, source: Source<'_>) -> Result<ConfigRoute, ConfigError> {
        let nth = number.to_string();
        let at = |keys: &[&str], why: String| {
            let keys: Vec<&str> = ["route", nth.as_str()].into_iter().chain(keys.iter().copied()).collect();
            source.at(&keys, why)
        };
        let Some(pattern) = &self.pattern else {
            return Err(at(
                &[],
                "the key `match` is missing: a task type's name, or a pattern such as \"app.tasks.*\"".to_owned(),
            ));
        };
        let pattern: Pattern = pattern.parse().map_err(|error| at(&["match"], format!("{error}")))?;
        let mut route = Route::new(&pattern.to_string());
        let mut says = Vec::new();
        for (what, is) in self.when {
            says.push(format!("when {what} = {is}"));
            route = route.when(what, is);
        }
        let longest = |Limit(limit): Limit| limit.unwrap_or(DURATION_MAX);
        if let Some(queue) = &self.queue {
            says.push(format!("queue {queue}"));
            route = route.queue(queue);
        }
        says.extend(self.priority.map(|priority| format!("priority {priority}")));
        let written = |Limit(limit): Limit| limit.map_or_else(|| "none".to_owned(), format_duration);
        says.extend(self.timeout.map(|timeout| format!("timeout {}", written(timeout))));
        says.extend(self.expires.map(|expires| format!("expires {}", written(expires))));
        route = self.priority.into_iter().fold(route, Route::priority);
        route = self.timeout.map(longest).into_iter().fold(route, Route::timeout);
        route = self.expires.map(longest).into_iter().fold(route, Route::expires);
        if let Some(mistake) = route.mistake() {
            // Of a condition, the way is named behind a dot.
            let key: Vec<&str> = mistake.field.splitn(2, '.').collect();
            return Err(at(if mistake.field == "route" { &[] } else { &key }, mistake.to_string()));
        }
        Ok(ConfigRoute { pattern, queue: self.queue, number, says: says.join(", "), route })
    }
}
