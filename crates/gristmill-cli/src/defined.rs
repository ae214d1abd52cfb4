//! The schedules of the configuration, brought into the store where a beat starts.

use std::path::Path;

use gristmill::Client;
use gristmill::beat::{Origin, ScheduleError};

use crate::config::ConfigSchedule;
use crate::exit::CliError;
use crate::output;
use gristmill::near::did_you_mean;

/// The schedules of a configuration file.
#[derive(Debug)]
pub(crate) struct Defined {
    /// The file's name without its folder, under which the store knows its schedules: where a release is installed may
    /// change from one to the next.
    owner: String,
    schedules: Vec<ConfigSchedule>,
}

impl Defined {
    pub(crate) fn new(path: &Path, schedules: Vec<ConfigSchedule>) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self { owner: name.to_string_lossy().into_owned(), schedules }
    }

    /// Brings the store's schedules in line with those of the file, withdraws those that are no longer in it, and says so.
    ///
    /// # Errors
    /// Arguments that do not fit their task type, a name that belongs to another file, or the store's.
    pub(crate) async fn sync(self, client: &Client) -> Result<(), CliError> {
        let Self { owner, schedules } = self;
        let list = schedules.iter().map(|schedule| (schedule.name.clone(), schedule.definition.clone())).collect();
        let synced = client.schedules().sync(&owner, Origin::Config, list).await;
        let report = synced.map_err(|error| match schedules.iter().find_map(|schedule| place_of(&error, schedule)) {
            Some(place) => CliError::usage(format!("{place}: {error}")),
            None => error.into(),
        })?;
        let names: Vec<_> = schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        output::note(&format!("schedules {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") }));
        if !report.withdrawn.is_empty() {
            output::note(&format!("withdrawn, as {owner} no longer has them: {}", report.withdrawn.join(", ")));
        }
        if !report.left.is_empty() {
            output::note(&format!("left as an operator made or edited them: {}", report.left.join(", ")));
        }
        for schedule in schedules.iter().filter(|schedule| report.unknown_tasks.contains(&schedule.name)) {
            tell_unknown(schedule, client).await?;
        }
        Ok(())
    }
}

/// Says that nobody has the task type. That is no error: the program that has it may be started later.
async fn tell_unknown(schedule: &ConfigSchedule, client: &Client) -> Result<(), CliError> {
    let (place, task) = (&schedule.task_place, &schedule.definition.task);
    let kinds = client.kinds().list().await?;
    let hint = did_you_mean(task, kinds.iter().map(|kind| kind.name.as_str()));
    output::note(&format!(
        "{place}: no program has declared the task type `{task}` so far, and until one does the ticks of `{}` fail{hint}",
        schedule.name
    ));
    Ok(())
}

/// Where a mistake is written, if it is in this schedule.
fn place_of<'a>(error: &ScheduleError, schedule: &'a ConfigSchedule) -> Option<&'a str> {
    let (name, place) = match error {
        ScheduleError::Invalid { name, error } if error.field.starts_with("args") => (name, &schedule.args_place),
        ScheduleError::Rule { name, .. } | ScheduleError::Invalid { name, .. } | ScheduleError::Owned { name, .. } => {
            (name, &schedule.task_place)
        }
        _ => return None,
    };
    (*name == schedule.name).then_some(place)
}
