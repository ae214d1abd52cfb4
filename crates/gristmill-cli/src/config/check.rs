//! What only `config check` looks for: schedules with which no beat starts, though all else goes on; and what the file may say, and
//! mostly is a slip. It warns of that, as another program or machine may have what is missing here.

use std::collections::BTreeSet;

use gristmill::options::KindSpec;
use serde::Serialize;

use super::mistake::{ConfigError, Source};
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

    /// What is doubtful; `own` are the task types of the program besides.
    pub(crate) fn doubts(&self, own: &[KindSpec]) -> Vec<Doubt> {
        let Some(path) = &self.path else { return Vec::new() };
        let source = Source { path, text: &self.text };
        let mut doubts = self.unknown_types(own);
        doubts.extend(self.unserved(source));
        doubts.extend(self.unused(own, source));
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
        self.tasks.iter().filter_map(of_task).chain(self.schedules.iter().enumerate().filter_map(of_schedule)).collect()
    }

    /// Queues of the worker in which nothing waits by itself.
    fn unused(&self, own: &[KindSpec], source: Source<'_>) -> Vec<Doubt> {
        let kinds = self.kinds(own).map(|kind| kind.policy.queue.as_str());
        let schedules = self.schedules.iter().filter_map(|schedule| schedule.definition.options.queue.as_deref());
        let used: BTreeSet<&str> = kinds.chain(schedules).collect();
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
