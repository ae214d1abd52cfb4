//! What only `config check` looks for: schedules with which no beat starts, though all else goes on; and what the file may say, and
//! mostly is a slip. It warns of that, as another program or machine may have what is missing here.

use std::collections::BTreeSet;

use gristmill::options::{KindSpec, Policy};
use serde::Serialize;

use super::mistake::{ConfigError, Source};
use super::route::ConfigRoute;
use super::{Config, ConfigSchedule, Target, TaskType};
use crate::kinds::Program;
use gristmill::near::did_you_mean;

/// Where everything waits that says nothing else: whoever serves it means no slip.
const DEFAULT_QUEUE: &str = "default";

#[derive(Debug, Serialize)]
pub(crate) struct Doubt {
    /// `FILE:LINE:COLUMN`.
    pub(crate) place: String,
    pub(crate) message: String,
}

impl Config {
    /// Looks for schedules whose arguments do not fit their task type, if it is of the file or one of `own`.
    ///
    /// # Errors
    /// All of them.
    pub(crate) fn check_schedules(&self, own: &[KindSpec]) -> Result<(), ConfigError> {
        let Some(path) = &self.path else { return Ok(()) };
        let source = Source { path, text: &self.text };
        let mistake = |(number, schedule): (usize, &ConfigSchedule)| {
            let (name, definition) = (&schedule.name, &schedule.definition);
            let kind = self.kinds(own).find(|kind| kind.name == definition.task)?;
            let error = definition.check_args(kind).err()?;
            Some(source.at(&["schedule", &number.to_string(), "args"], format!("schedule `{name}`: {error}")))
        };
        ConfigError::all(self.schedules.iter().enumerate().filter_map(mistake).collect()).map_or(Ok(()), Err)
    }

    /// Task types of the program with the options that the file gives them.
    pub(crate) fn with_options(&self, mut own: Vec<KindSpec>) -> Vec<KindSpec> {
        for (name, policy) in &self.options {
            own.iter_mut().filter(|kind| kind.name == *name).for_each(|kind| kind.policy = policy.clone());
        }
        own
    }

    /// What is doubtful; `own` are the task types of the program besides.
    pub(crate) fn doubts(&self, own: &[KindSpec]) -> Vec<Doubt> {
        let Some(path) = &self.path else { return Vec::new() };
        let source = Source { path, text: &self.text };
        let mut doubts = self.unknown_types(own);
        doubts.extend(self.unserved(source));
        doubts.extend(self.unused(own, source));
        doubts.extend(self.idle_routes(own));
        doubts.extend(self.tasks.iter().filter_map(|task| {
            let Target::Command(command) = &task.target else { return None };
            let lack = Program::of(command).lack()?;
            let place = source.place_of(&["tasks", &task.spec.name, lack.key]);
            Some(Doubt { place, message: format!("{}, at least on this machine", lack.why) })
        }));
        doubts
    }

    fn kinds<'a>(&'a self, own: &'a [KindSpec]) -> impl Iterator<Item = &'a KindSpec> {
        own.iter().chain(self.tasks.iter().map(|task| &task.spec))
    }

    fn unknown_types(&self, own: &[KindSpec]) -> Vec<Doubt> {
        let known = || self.kinds(own).map(|kind| kind.name.as_str());
        let doubt = |schedule: &ConfigSchedule| {
            let (name, task) = (&schedule.name, &schedule.definition.task);
            (!known().any(|known| known == task)).then(|| Doubt {
                place: schedule.task_place.clone(),
                message: format!(
                    "there is no task type `{task}` here, and until a program has it the ticks of `{name}` fail{}",
                    did_you_mean(task, known())
                ),
            })
        };
        self.schedules.iter().filter_map(doubt).collect()
    }

    /// Queues in which something waits that a worker of this file does not serve.
    fn unserved(&self, source: Source<'_>) -> Vec<Doubt> {
        let served = &self.worker.queues;
        let doubt = |place: String, queue: &str| {
            (!served.is_empty() && !served.contains_key(queue)).then(|| Doubt {
                place,
                message: format!(
                    "`queues` of [worker] does not have the queue `{queue}`, so that only another worker runs what waits there{}",
                    did_you_mean(queue, served.keys().map(String::as_str))
                ),
            })
        };
        let of_task = |task: &TaskType| doubt(source.place_of(&["tasks", &task.spec.name, "queue"]), &task.spec.policy.queue);
        let of_schedule = |(number, schedule): (usize, &ConfigSchedule)| {
            let queue = schedule.definition.options.queue.as_deref()?;
            doubt(source.place_of(&["schedule", &number.to_string(), "queue"]), queue)
        };
        let of_options = |(name, policy): &(String, Policy)| doubt(source.place_of(&["tasks", name, "queue"]), &policy.queue);
        let tasks = self.tasks.iter().filter_map(of_task).chain(self.options.iter().filter_map(of_options));
        let schedules = self.schedules.iter().enumerate().filter_map(of_schedule);
        let routes = self.plain_routes().filter_map(|(route, queue)| doubt(self.place_of_route(route), queue));
        tasks.chain(schedules).chain(routes).collect()
    }

    /// The routes to a queue whose name is known.
    fn plain_routes(&self) -> impl Iterator<Item = (&ConfigRoute, &str)> {
        self.routing
            .routes
            .iter()
            .filter_map(|route| Some((route, route.queue.as_deref().filter(|queue| !queue.contains(['{', '}']))?)))
    }

    /// The queues into which something comes by itself: those of task types and of routes, and the one of whatever says nothing.
    pub(crate) fn used_queues(&self, kinds: &[KindSpec]) -> Vec<String> {
        let of_kinds = kinds.iter().map(|kind| kind.policy.queue.as_str());
        of_kinds.chain(self.plain_routes().map(|(_, queue)| queue)).chain([DEFAULT_QUEUE]).map(str::to_owned).collect()
    }

    /// Looked for only for who asks: that goes through the whole file.
    pub(crate) fn place_of_route(&self, route: &ConfigRoute) -> String {
        self.place_of(&["route", &route.number.to_string(), "match"]).unwrap_or_default()
    }

    /// Routes that no task type here fits.
    fn idle_routes(&self, own: &[KindSpec]) -> Vec<Doubt> {
        let idle = self.routing.routes.iter().filter(|route| !self.kinds(own).any(|kind| route.pattern.fits(&kind.name)));
        let doubt = |route: &ConfigRoute| Doubt {
            place: self.place_of_route(route),
            message: format!(
                "no task type here fits `{}`, so that only those of other programs go by it{}",
                route.pattern,
                did_you_mean(&route.pattern.to_string(), self.kinds(own).map(|kind| kind.name.as_str()))
            ),
        };
        idle.map(doubt).collect()
    }

    /// Queues of the worker in which nothing waits by itself.
    fn unused(&self, own: &[KindSpec], source: Source<'_>) -> Vec<Doubt> {
        let kinds = self.kinds(own).map(|kind| kind.policy.queue.as_str());
        let schedules = self.schedules.iter().filter_map(|schedule| schedule.definition.options.queue.as_deref());
        let used: BTreeSet<&str> = kinds.chain(schedules).chain(self.plain_routes().map(|(_, queue)| queue)).collect();
        if self.routing.routes.iter().any(|route| route.queue.as_ref().is_some_and(|queue| queue.contains('{'))) {
            // Whatever is put in there.
            return Vec::new();
        }
        let unused = self.worker.queues.keys().filter(|queue| *queue != DEFAULT_QUEUE && !used.contains(queue.as_str()));
        let doubt = |queue: &String| Doubt {
            place: source.place_of(&["worker", "queues", queue]),
            message: format!(
                "no task type and no schedule here uses the queue `{queue}`, so that only tasks enqueued into it by name come there{}",
                did_you_mean(queue, used.iter().copied())
            ),
        };
        unused.map(doubt).collect()
    }
}
