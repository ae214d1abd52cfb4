use std::marker::PhantomData;
use std::sync::Arc;

use crate::beat::Definition;
use crate::client::{Client, Program};
use crate::core::{Env, KindInfo, KindSpec, Limits, Source, Store, StoreError, StoreErrorKind};
use crate::handler::{Dynamic, Run, Typed};
use crate::hooks::{EndedTask, FailedAttempt, Hooks, SucceededTask};
use crate::middleware::Layers;
use crate::registry::{RegisterError, Registry};
use crate::runtime::{Ground, Runtime};
use crate::{Context, Error, FromRef, Handler, HandlerFuture, Task, WorkerBuilder};

/// An application: its state and its task types, before it is connected to a store.
///
/// ```
/// use gristmill::{App, Result, task};
///
/// #[task(name = "greet")]
/// async fn greet(name: String) -> Result<String> {
///     Ok(format!("hello {name}"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let url = format!("sqlite:{}", dir.path().join("app.db").display());
/// let client = App::new(()).register::<Greet>().connect(&url).await?;
/// let worker = client.worker().queue("default", 4).start().await?;
/// let handle = client.enqueue(Greet { name: "world".into() }).await?;
/// assert_eq!(handle.result().await?, "hello world");
/// worker.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct App<S> {
    state: Arc<S>,
    registry: Registry,
    limits: Limits,
    env: Env,
    hooks: Hooks,
    pub(crate) layers: Layers,
    program: Program,
    /// The first mistake of a registration, told at the start: builders that return errors at every step are no joy.
    mistake: Option<RegisterError>,
}

impl<S: Send + Sync + 'static> App<S> {
    /// An application with this state, and no task types yet.
    pub fn new(state: S) -> Self {
        Self {
            state: Arc::new(state),
            registry: Registry::default(),
            limits: Limits::default(),
            env: Env::system(),
            hooks: Hooks::default(),
            layers: Layers::default(),
            program: Program { name: program_name(), schedules: Vec::new() },
            mistake: None,
        }
    }

    /// Adds a task type. Two with one name are refused when the application connects.
    #[must_use]
    pub fn register<T: Task>(self) -> Self
    where
        T::State: FromRef<S>,
    {
        let run = Typed::<T, S> { state: self.state.clone(), task: PhantomData };
        self.add(T::kind(), Box::new(run), true)
    }

    /// Adds a task type that is known only at run time.
    #[must_use]
    pub fn register_handler(self, kind: KindSpec, handler: impl Handler) -> Self {
        self.add(kind, Box::new(Dynamic(handler)), false)
    }

    /// Defines a schedule. Each start of a beat ([`Client::beat`], or that of a worker) writes those of the program that are new
    /// or changed, and withdraws those that it no longer defines; which are the program's, says [`program`](Self::program). An
    /// operator's pauses and edits survive it. While two versions of a program start in turn, the last start counts.
    ///
    /// What can't be is told by the start of the beat.
    ///
    /// ```
    /// # use gristmill::{App, Result, task};
    /// use gristmill::beat::Definition;
    /// use gristmill::schedule::{Rule, Timing};
    /// # #[task(name = "report.build")] async fn build_report() -> Result<()> { Ok(()) }
    /// let nightly = Timing::new(Rule::cron("0 3 * * *")).timezone("Europe/Rome");
    /// let app = App::new(()).register::<BuildReport>().schedule("nightly-report", Definition::new(nightly, "report.build"));
    /// ```
    #[must_use]
    pub fn schedule(mut self, name: impl Into<String>, definition: Definition) -> Self {
        self.program.schedules.push((name.into(), definition));
        self
    }

    /// What this program is called, as the owner of its schedules; the name of the executable file unless said. Programs that
    /// share a store need different ones, and all processes of one program the same.
    #[must_use]
    pub fn program(mut self, name: impl Into<String>) -> Self {
        self.program.name = name.into();
        self
    }

    /// Sets the limits on what comes from outside.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The limits that hold.
    pub fn limits_set(&self) -> Limits {
        self.limits
    }

    /// Sets where time and randomness come from; for tests.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// Adds a hook that a worker of this application calls for every task that succeeded. The guarantees are those of
    /// [`on_failed_attempt`](Self::on_failed_attempt), but that no more than 512 successes wait, so that there is room for failures.
    /// What has to count every success is a [`Middleware`](crate::middleware::Middleware).
    ///
    /// ```
    /// # use gristmill::{App, Result, task};
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// let app = App::new(())
    ///     .register::<Greet>()
    ///     .on_succeeded(|event| println!("{} {} took {:?}", event.kind, event.id, event.ran_for));
    /// ```
    #[must_use]
    pub fn on_succeeded(mut self, hook: impl Fn(&SucceededTask) + Send + Sync + 'static) -> Self {
        self.hooks.on_succeeded.push(Arc::new(hook));
        self
    }

    /// Adds a hook that a worker of this application calls for every attempt that failed: one that returned an error,
    /// panicked or ran too long, whether there is another attempt or not. Attempts that took their worker down are told
    /// only by [`on_ended`](Self::on_ended), once they have ended their task.
    ///
    /// ```
    /// # use gristmill::{App, Result, task};
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = App::new(())
    ///     .register::<Greet>()
    ///     .on_failed_attempt(|event| println!("{} {}: {} ({:?})", event.kind, event.id, event.failure.message, event.next))
    ///     .on_ended(|event| println!("{} {} has ended as {}", event.kind, event.id, event.state))
    ///     .connect("sqlite:tasks.db")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Guarantees
    /// - A hook is called after the store has acknowledged what it is told, at most once, in the process that wrote it. If
    ///   that process dies first, it is called nowhere: for what must not be lost, list the failed tasks
    ///   ([`Client::list`]).
    /// - Hooks run one after another on a thread where they may block. They never hold up tasks or settlements: beyond
    ///   1,024 ends that wait for a hook, further ones are dropped, logged, and counted in
    ///   [`ExitReport::untold`](crate::ExitReport::untold). A hook that panics is logged.
    /// - A worker that stops waits up to ten seconds for its hooks.
    #[must_use]
    pub fn on_failed_attempt(mut self, hook: impl Fn(&FailedAttempt) + Send + Sync + 'static) -> Self {
        self.hooks.on_failed_attempt.push(Arc::new(hook));
        self
    }

    /// Adds a hook that a worker of this application calls for every task that ended as failed, cancelled or expired: in
    /// an attempt of its own, or found by its housekeeping (tasks whose worker died once too often, tasks that were not
    /// started in time). A task that a client cancelled before it was started is answered to that client and to nobody
    /// else. The guarantees are those of [`on_failed_attempt`](Self::on_failed_attempt).
    #[must_use]
    pub fn on_ended(mut self, hook: impl Fn(&EndedTask) + Send + Sync + 'static) -> Self {
        self.hooks.on_ended.push(Arc::new(hook));
        self
    }

    /// What is wrong with a task type, if anything is; [`connect`](Self::connect) would refuse it.
    pub fn mistake(&self) -> Option<&RegisterError> {
        self.mistake.as_ref()
    }

    /// What its task types declare, by name.
    pub fn kinds(&self) -> Vec<KindSpec> {
        self.registry.specs()
    }

    /// Opens the store at `url`, brings its tables up to date, and declares the task types there.
    ///
    /// `sqlite:PATH` is the embedded store (feature `sqlite`, on by default); its file is made if it is missing.
    /// `postgres://USER@HOST/DATABASE` is a schema of that database (feature `postgres`), which is made if it is missing.
    ///
    /// # Errors
    /// A mistake in a registration, a URL that names no known store, or a store that can't be opened.
    pub async fn connect(self, url: &str) -> Result<Client, ConnectError> {
        // A mistake of the program is told first, and leaves no file behind.
        if let Some(mistake) = self.mistake {
            return Err(mistake.into());
        }
        let store = open_store(url, self.env.clone()).await?;
        self.with_store(store).await
    }

    /// As [`connect`](Self::connect), for a program that enqueues tasks whose code is in others: what they declared in the
    /// store counts as known here, so that [`enqueue_named`](Client::enqueue_named) checks the arguments and takes the
    /// options of the task type. The declarations are read once, now.
    ///
    /// A worker of such a client serves the program's own types only: the others wait for a program that has their code. Without
    /// any of its own it does not start.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # use gristmill::App;
    /// let client = App::new(()).connect_to_enqueue("sqlite:tasks.db").await?;
    /// client.enqueue_named("report.build", r#"{"year": 2026}"#).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_to_enqueue(mut self, url: &str) -> Result<Client, ConnectError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake.into());
        }
        let store = open_store(url, self.env.clone()).await?;
        // Before it borrows others', whose newer declarations must not be overwritten with what was read here.
        store.declare(&self.registry.specs()).await?;
        for kind in store.kinds().await? {
            if let KindInfo { name, schema: Some(schema), policy: Some(policy), .. } = kind
                && self.registry.get(&name).is_none()
            {
                let spec = KindSpec { name, schema, fields: Vec::new(), policy };
                // A newer version may have declared what this one can't read; that type stays unknown.
                let _ = self.registry.borrow(spec, Box::new(Dynamic(Elsewhere)));
            }
        }
        Ok(self.on(store))
    }

    /// Uses a store that is already open, and declares the task types there.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn with_store(self, store: Arc<dyn Store>) -> Result<Client, ConnectError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake.into());
        }
        store.declare(&self.registry.specs()).await?;
        Ok(self.on(store))
    }

    /// Builds a worker on a source of tasks that is no store: it takes tasks from there, runs them, and reports to it, as a
    /// worker of a [`Client`] does with a store. Who puts tasks there is the source's own business.
    ///
    /// What needs a store is not there. No beat runs inside, whatever [`WorkerBuilder::beat`] says, and the program's schedules
    /// are not written; a handler's transaction can't settle its task and fails
    /// ([`transaction_on`](crate::Context::transaction_on)). What the source does not do, by its own documentation, the worker
    /// can't either: see the defaults of [`Source`].
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use gristmill::core::{Env, NewTask, Overrides};
    /// use gristmill::testing::MemoryBroker;
    /// use gristmill::{App, Limits, Result, Task, task};
    ///
    /// #[task(name = "greet")]
    /// async fn greet(name: String) -> Result<String> {
    ///     Ok(format!("hello {name}"))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let env = Env::system();
    /// let broker = MemoryBroker::new(env.clone());
    /// let args = r#"{"name": "world"}"#.to_owned();
    /// broker.publish(NewTask::of(&Greet::kind(), args, Overrides::default(), env.task_id(), &Limits::default())?);
    /// let worker = App::new(()).register::<Greet>().worker_on(broker)?.queue("default", 4).drain(true).start().await?;
    /// assert_eq!(worker.ended().await.succeeded, 1);
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    ///
    /// # Errors
    /// A mistake in a registration.
    pub fn worker_on(self, source: Arc<dyn Source>) -> Result<WorkerBuilder, RegisterError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        Ok(WorkerBuilder::new(Arc::new(Ground::of_source(source, self.into_runtime())), None))
    }

    fn on(self, store: Arc<dyn Store>) -> Client {
        let program = self.program.clone();
        Client::new(store, self.into_runtime(), program)
    }

    fn into_runtime(self) -> Arc<Runtime> {
        let Self { registry, limits, env, hooks, layers, .. } = self;
        Arc::new(Runtime { registry, limits, env, hooks, layers })
    }

    fn add(mut self, kind: KindSpec, run: Box<dyn Run>, typed: bool) -> Self {
        if let Err(mistake) = self.registry.add(kind, run, typed) {
            self.mistake.get_or_insert(mistake);
        }
        self
    }
}

/// Stands for code that is in another program.
struct Elsewhere;

impl Handler for Elsewhere {
    fn run<'a>(&'a self, _: &'a Context, _: &'a str) -> HandlerFuture<'a> {
        Box::pin(std::future::ready(Err(Error::fail("this program only enqueues tasks of this type"))))
    }
}

/// Why an application could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A task type is declared wrongly.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The store can't be used.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Opens a store by its URL.
///
/// # Errors
/// If the URL names no store that this build has, or the store can't be opened.
pub async fn open_store(url: &str, env: Env) -> Result<Arc<dyn Store>, StoreError> {
    match url.split_once(':').map_or(url, |(scheme, _)| scheme) {
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let url = url.to_owned();
            // Opening a file may wait for another process's lock; that must not hold up the runtime.
            let opened = tokio::task::spawn_blocking(move || gristmill_sqlite::SqliteStore::connect(&url, env)).await;
            let store = opened
                .map_err(|error| StoreError::new(StoreErrorKind::Other, "opening the store was cut off").with_source(error))??;
            Ok(store)
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(gristmill_postgres::PostgresStore::connect(url, env).await?),
        scheme => {
            let _ = env;
            Err(unknown_store(scheme))
        }
    }
}

/// Checks the URL of a store as [`open_store`] reads it, and opens nothing.
///
/// # Errors
/// If the URL names no store that this build has, or has a mistake in it.
pub fn check_store_url(url: &str) -> Result<(), StoreError> {
    match url.split_once(':').map_or(url, |(scheme, _)| scheme) {
        #[cfg(feature = "sqlite")]
        "sqlite" => url.parse::<gristmill_sqlite::SqliteOptions>().map(drop),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => url.parse::<gristmill_postgres::PostgresOptions>().map(drop),
        scheme => Err(unknown_store(scheme)),
    }
}

fn program_name() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let name: String =
        path.file_stem().unwrap_or_default().to_string_lossy().chars().filter(|c| !c.is_control()).take(60).collect();
    if name.is_empty() { "program".to_owned() } else { name }
}

fn unknown_store(scheme: &str) -> StoreError {
    let hint = if cfg!(feature = "postgres") {
        "write sqlite:PATH, such as sqlite:gristmill.db, or postgres://USER@HOST/DATABASE"
    } else {
        "write sqlite:PATH, such as sqlite:gristmill.db"
    };
    StoreError::new(StoreErrorKind::Invalid, format!("`{scheme}` is not a store that this program knows; {hint}"))
}
