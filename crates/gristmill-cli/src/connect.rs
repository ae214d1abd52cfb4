//! From flags, environment and file to a connected client.

use std::time::Duration;

use gristmill::app::open_store;
use gristmill::core::Env;
use gristmill::options::KindSpec;
use gristmill::workflow::NESTED;
use gristmill::{App, Client};

use crate::cli::Global;
use crate::config::{Config, DEFAULT_STORE, Target, WorkerOptions};
use crate::defined::Defined;
use crate::exit::CliError;
use crate::kinds::Program;
use crate::{kinds, output, stores};

/// How often a worker that can't start yet looks at its store.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// An application with its configuration, not yet connected.
pub(crate) struct Session<S> {
    app: App<S>,
    /// The store's URL.
    pub(crate) store: String,
    /// The configuration file, for people.
    pub(crate) source: Option<String>,
    pub(crate) worker: WorkerOptions,
    /// The file's task types that start programs, with those, for `doctor`.
    pub(crate) programs: Vec<(String, Program)>,
    /// The schedules of the file, if there is one.
    pub(crate) defined: Option<Defined>,
}

impl<S: Send + Sync + 'static> Session<S> {
    /// Reads the configuration and adds its task types to the application's.
    ///
    /// # Errors
    /// A mistake in the configuration.
    pub(crate) fn new(app: App<S>, global: &Global) -> Result<Self, CliError> {
        let config = Config::load(global.config.as_deref(), app.limits_set(), &app.kinds())?;
        let source = config.path.as_ref().map(|path| path.display().to_string());
        let programs = config.tasks.iter().filter_map(|task| match &task.target {
            Target::Command(command) => Some((task.spec.name.clone(), Program::of(command))),
            Target::Http(_) => None,
        });
        let programs = programs.collect();
        let app = kinds::register(app.limits(config.limits), config.tasks);
        let app = config.options.into_iter().fold(app, |app, (name, policy)| app.options(&name, policy));
        let app = config.routing.add_to(app);
        let defined = config.path.as_deref().map(|path| Defined::new(path, config.schedules));
        Ok(Self {
            app,
            store: global.store.clone().or(config.store).unwrap_or_else(|| DEFAULT_STORE.to_owned()),
            source,
            worker: config.worker,
            programs,
            defined,
        })
    }

    /// The task types of this program and of the configuration.
    pub(crate) fn kinds(&self) -> Vec<KindSpec> {
        self.app.kinds()
    }

    /// The queues into which something comes by itself.
    pub(crate) fn used_queues(&self) -> Vec<String> {
        self.app.used_queues()
    }

    /// The name that a queue has in the store.
    pub(crate) fn real_queue(&self, name: &str) -> String {
        self.app.real_queue(name)
    }

    /// Opens the store, which brings its tables up to date.
    ///
    /// # Errors
    /// A store that can't be used, or task types that contradict each other.
    pub(crate) async fn connect(self) -> Result<Client, CliError> {
        Ok(self.app.connect(&self.store).await?)
    }

    /// As [`connect`](Self::connect), for a command that only looks, or changes what is there: it makes no store.
    ///
    /// # Errors
    /// As there, and a store that is not there.
    pub(crate) async fn connect_to_look(mut self) -> Result<Client, CliError> {
        self.make_no_store()?;
        self.connect().await
    }

    /// A client for what is asked while a command is still being typed: makes, changes and declares nothing. `None` if there is no store, or
    /// one whose tables are not up to date.
    ///
    /// # Errors
    /// A store that can't be read.
    pub(crate) async fn connect_untouched(&self) -> Result<Option<Client>, CliError> {
        if stores::migration_status(&self.store).await?.iter().any(|step| step.applied_at.is_none()) {
            return Ok(None);
        }
        let store = open_store(&self.store, Env::system()).await?;
        Ok(Some(App::new(()).with_store(store).await?))
    }

    /// From here on a store that is not there is refused, and not made.
    ///
    /// # Errors
    /// One that is not there.
    pub(crate) fn make_no_store(&mut self) -> Result<(), CliError> {
        self.store = stores::only_if_there(&self.store)?;
        Ok(())
    }

    /// The same, unless the task type is known here: a store that is made now would not know it either.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn make_no_store_unless_known(&mut self, task: &str) -> Result<(), CliError> {
        let kinds = self.kinds();
        // Whatever runs tasks has that one, too.
        if kinds.iter().any(|kind| kind.name == task) || (task == NESTED && !kinds.is_empty()) {
            return Ok(());
        }
        let near = gristmill::near::did_you_mean(task, kinds.iter().map(|kind| kind.name.as_str()));
        self.make_no_store().map_err(|error| error.and_usage(&format!("no task type `{task}` here{near}")))
    }

    /// As [`connect`](Self::connect), for a worker that is to run: waits, and says so, as long as the store is a standby that may
    /// become the primary, or is busy with others.
    ///
    /// # Errors
    /// As there, of any other kind.
    pub(crate) async fn connect_when_writable(self) -> Result<Client, CliError> {
        let env = Env::system();
        let (kinds, mut said) = (self.app.kinds(), String::new());
        let store = loop {
            let error = match open_store(&self.store, env.clone()).await {
                Ok(store) => match store.declare(&kinds).await {
                    Ok(()) => break store,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if !stores::may_come_right(&self.store, &error) {
                return Err(error.into());
            }
            if error.to_string() != said {
                said = error.to_string();
                output::note(&format!("waiting: {said}"));
            }
            tokio::time::sleep(LOOK_AGAIN.mul_f64(0.5 + env.random())).await;
        };
        Ok(self.app.with_store(store).await?)
    }

    /// As [`connect`](Self::connect), and lends the client the task types that other programs declared in the store, so
    /// that their tasks can be enqueued and checked from here. Only for a client: they have no handlers.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn connect_to_enqueue(self) -> Result<Client, CliError> {
        Ok(self.app.connect_to_enqueue(&self.store).await?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use gristmill::Context;
    use gristmill::app::{Handler, HandlerFuture};

    use super::*;
    use crate::cli::Cli;
    use crate::commands::config;
    use crate::output::{Format, Out};

    struct Elsewhere;

    impl Handler for Elsewhere {
        fn run<'a>(&'a self, _: &'a Context, _: &'a str) -> HandlerFuture<'a> {
            Box::pin(std::future::ready(Ok(String::new())))
        }
    }

    #[test]
    fn a_task_type_of_the_file_does_not_replace_one_of_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.toml");
        std::fs::write(&path, "[tasks.mine]\ncommand = [\"cat\"]").unwrap();
        let cli = Cli::parse_from(["x", "kinds", "--config", path.to_str().unwrap()]);
        let kind = |name: &str| KindSpec {
            name: name.to_owned(),
            schema: serde_json::json!({}),
            fields: Vec::new(),
            policy: gristmill::options::Policy::default(),
        };
        let own = Session::new(App::new(()).register_handler(kind("other"), Elsewhere), &cli.global).unwrap();
        assert_eq!(own.kinds().iter().map(|kind| kind.name.as_str()).collect::<Vec<_>>(), ["mine", "other"]);
        let Err(error) = Session::new(App::new(()).register_handler(kind("mine"), Elsewhere), &cli.global) else {
            panic!("two task types with one name");
        };
        assert!(format!("{error:?}").contains("`mine` is in this program already"), "{error:?}");
        let app = App::new(()).register_handler(kind("mine"), Elsewhere);
        let checked = config::run(config::Args::Check, &app, &cli.global, &Out::new(Format::Table)).unwrap_err();
        assert!(format!("{checked:?}").contains("g.toml:2:1: the task type `mine` is in this program already"), "{checked:?}");
    }
}
