//! Task types without Rust: commands and HTTP targets.

mod batch;
mod command;
pub(crate) mod guard;
mod http;
mod lock;
mod program;
mod result;
mod signature;

use gristmill::App;

pub(crate) use command::{Command, DEFAULT_ENV};
use http::Connections;
pub(crate) use http::Http;
pub(crate) use program::Program;
pub(crate) use result::Output;
pub(crate) use signature::Secret;

use crate::config::{Target, TaskType};

/// Adds the task types of the configuration to an application.
pub(crate) fn register<S: Send + Sync + 'static>(app: App<S>, tasks: Vec<TaskType>) -> App<S> {
    let connections = Connections::default();
    tasks.into_iter().fold(app, |app, TaskType { spec, target }| match (target, spec.policy.batch.is_some()) {
        (Target::Command(command), false) => app.register_handler(spec, command),
        (Target::Command(command), true) => app.register_batch_handler(spec, command),
        (Target::Http(http), many) => {
            let http = Http { connections: connections.clone(), ..http };
            if many { app.register_batch_handler(spec, http) } else { app.register_handler(spec, http) }
        }
    })
}
