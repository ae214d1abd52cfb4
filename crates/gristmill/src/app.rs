//! How a program is put together: its state, its task types, its store.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{BatchHandler, BatchTask, DynamicMany, RunMany, TypedMany};
use crate::beat::{self, Definition, ScheduleError};
use crate::client::{Client, Program};
use crate::core::concurrency::FairBy;
use crate::core::{Env, InvalidInput, KindInfo, KindSpec, Limits, Policy, Source, Store, StoreError, StoreErrorKind, limits};
use crate::handler::{Dynamic, Typed};
use crate::hooks::{EndedTask, FailedAttempt, Hooks, SucceededTask};
use crate::middleware::Layers;
use crate::registry::{Code, Registry};
use crate::routing::{Route, Routed, Routes, Routing};
use crate::runtime::{Ground, Runtime};
use crate::worker::WorkerBuilder;
use crate::{Context, Error, FromRef, Task};

pub use crate::handler::{Handler, HandlerFuture};
pub use crate::registry::RegisterError;

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
    routes: Routes,
    program: Program,
    /// Its schedules that are named after their task type, and the zones that were said for them.
    by_type: Vec<(&'static str, Definition)>,
    zones: Vec<String>,
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
            routes: Routes::default(),
            program: Program { name: program_name(), schedules: Vec::new() },
            by_type: Vec::new(),
            zones: Vec::new(),
            mistake: None,
        }
    }

    /// Adds a task type. Two with one name are refused when the application connects.
    #[must_use]
    pub fn register<T: Task>(self) -> Self
    where
        T::State: FromRef<S>,
    {
        if T::ELSEWHERE {
            let problem = "its code is in another program, so that no worker here can run it; add it with `App::declare`";
            return self.mistaken(RegisterError { name: T::NAME.to_owned(), problem: problem.to_owned() });
        }
        let state = self.state.clone();
        self.added(|registry| registry.add_task::<T>(|| Code::one(Typed::<T, S> { state: state.clone(), task: PhantomData })))
    }

    /// Adds a task type that is known only at run time.
    #[must_use]
    pub fn register_handler(self, kind: KindSpec, handler: impl Handler) -> Self {
        self.added(|registry| registry.add(kind, Code::one(Dynamic(handler))))
    }

    /// Adds a task type whose handler takes many tasks in one call: see [`batch`](crate::batch).
    #[must_use]
    pub fn register_batch<T: BatchTask>(self) -> Self
    where
        T::State: FromRef<S>,
    {
        let many: Arc<dyn RunMany> = Arc::new(TypedMany::<T, S> { state: self.state.clone(), task: PhantomData });
        self.added(|registry| registry.add_task::<T>(|| Code::many(many.clone())))
    }

    /// Adds a task type that is known only at run time, and takes many tasks in one call.
    #[must_use]
    pub fn register_batch_handler(self, kind: KindSpec, handler: impl BatchHandler) -> Self {
        self.added(|registry| registry.add(kind, Code::many(Arc::new(DynamicMany(handler)))))
    }

    /// Makes a task type known that another program runs, so that this one can enqueue its tasks. One that is registered, too, is
    /// just that.
    ///
    /// ```
    /// # use gristmill::{App, Result, task};
    /// # #[task(name = "report.build")] async fn build_report() -> Result<()> { Ok(()) }
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = App::new(()).declare::<BuildReport>().connect("sqlite:tasks.db").await?;
    /// client.enqueue(BuildReport {}).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn declare<T: Task>(self) -> Self {
        self.added(|registry| registry.borrow_task::<T>(Code::one(Dynamic(Elsewhere))))
    }

    /// Defines a schedule that makes a task like this one at the times of a cron expression, by the clock of
    /// [`tz`](Self::tz) or else UTC. It has the name of its task type, and is otherwise as [`schedule`](Self::schedule) says,
    /// which takes a second one of the type under a name of its own.
    ///
    /// What can't be is told when the application connects: a wrong expression, say, or a task type that is not registered.
    ///
    /// ```
    /// # use gristmill::{App, Result, task};
    /// # use std::time::Duration;
    /// # #[task(name = "report.build")] async fn build_report() -> Result<()> { Ok(()) }
    /// # #[task(name = "mail.fetch")] async fn fetch_mail() -> Result<()> { Ok(()) }
    /// let app = App::new(())
    ///     .register::<BuildReport>()
    ///     .register::<FetchMail>()
    ///     .tz("Europe/Rome")
    ///     .cron("0 3 * * *", BuildReport {})
    ///     .every(Duration::from_secs(300), FetchMail {});
    /// ```
    #[must_use]
    pub fn cron<T: Task>(self, expr: impl Into<String>, task: T) -> Self {
        self.by_type::<T>(Definition::cron(expr, task))
    }

    /// Defines a schedule that makes a task like this one again and again, at a distance from one second to 100 years; the first
    /// one distance after the schedule was first written. All else as [`cron`](Self::cron).
    #[must_use]
    pub fn every<T: Task>(self, every: Duration, task: T) -> Self {
        self.by_type::<T>(Definition::every(every, task))
    }

    /// The time zone of what [`cron`](Self::cron) and [`every`](Self::every) define, wherever they stand: an IANA name such as
    /// `Europe/Rome`; `UTC` unless said. A schedule of another zone is for [`schedule`](Self::schedule).
    #[must_use]
    pub fn tz(mut self, name: impl Into<String>) -> Self {
        self.zones.push(name.into());
        self
    }

    /// Defines a schedule. Each start of a beat ([`Client::beat`], or that of a worker) writes those of the program that are new
    /// or changed, and withdraws those that it no longer defines; which are the program's, says [`program`](Self::program). An
    /// operator's pauses and edits survive it. While two versions of a program start in turn, the last start counts.
    ///
    /// What can't be is told when the application connects; a name that is another's, by the start of the beat.
    ///
    /// ```
    /// # use gristmill::{App, Result, task};
    /// use gristmill::beat::{Definition, Overlap};
    /// # #[task(name = "report.build")] async fn build_report() -> Result<()> { Ok(()) }
    /// let tokyo = Definition::cron("0 3 * * *", BuildReport {}).tz("Asia/Tokyo").overlap(Overlap::Allow);
    /// let app = App::new(()).register::<BuildReport>().schedule("report-tokyo", tokyo);
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

    /// Says where tasks of some types go, and with which limits in time, whoever enqueues them with this application: see
    /// [`routing`](crate::routing). What can't be is told when the application connects.
    ///
    /// ```
    /// # use gristmill::App;
    /// use gristmill::routing::Route;
    /// let app = App::new(())
    ///     .route(Route::new("report.*").when("plan", "enterprise").queue("enterprise_{queue}"))
    ///     .route(Route::new("report.*").queue("reports"));
    /// ```
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.add(route);
        self
    }

    /// Takes the place of the options that a task type of this application has by its code, as an operator's file does, for all
    /// [versions](Task::VERSION) that it runs. What can't be, and a
    /// type that is not there, is told when the application connects.
    ///
    /// ```
    /// # use gristmill::{App, Result, Task, task};
    /// use gristmill::options::Policy;
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// let policy = Policy { max_attempts: 2, ..Greet::policy() };
    /// let app = App::new(()).register::<Greet>().options("greet", policy);
    /// ```
    #[must_use]
    pub fn options(mut self, name: &str, policy: Policy) -> Self {
        if let Err(mistake) = self.registry.set_policy(name, policy) {
            self.mistake.get_or_insert(mistake);
        }
        self
    }

    /// Asks a function where each task goes, after the [routes](Self::route), which it may overrule. It is called once for each task that is
    /// enqueued, by whoever enqueues it, and has to be quick: what it looks up it should have at hand. Where it panics, or says what can't
    /// be, the task goes as it would without it. See [`routing`](crate::routing).
    #[must_use]
    pub fn route_by(mut self, by: impl Fn(&Routing<'_>) -> Option<Routed> + Send + Sync + 'static) -> Self {
        self.routes.add_by(by);
        self
    }

    /// What the names of queues begin with in the store, for environments that share one: `staging_` makes of `mail` the queue
    /// `staging_mail`, for all that is enqueued and served with this application. A name that begins with it is left as it is. Whoever looks
    /// at the store sees the whole names.
    #[must_use]
    pub fn queue_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.routes.set_prefix(prefix.into());
        self
    }

    /// The name that a queue has in the store: with the [prefix](Self::queue_prefix), if there is one.
    pub fn real_queue(&self, name: &str) -> String {
        self.routes.real(name).into_owned()
    }

    /// The queues into which tasks come by themselves, as far as their names are known, by their names in the store: those of its task types and
    /// of its routes, and the one of whatever says nothing. A worker that is told of no queues serves these.
    pub fn used_queues(&self) -> Vec<String> {
        used_queues(&self.registry, &self.routes)
    }

    /// How long after it is due a task of this queue is still worth starting, where neither its enqueue nor a route nor its type says so.
    #[must_use]
    pub fn queue_expires(mut self, queue: impl Into<String>, expires: Duration) -> Self {
        self.routes.set_expires(queue.into(), expires);
        self
    }

    /// How many tasks of this queue run at once, in all workers together, beside what limits its task types have: a [limit](crate::options::Concurrency) with the key
    /// `queue:` and the queue's name in the store, which operators may set to another number while all runs. It is given to tasks by whoever enqueues them with
    /// this application; how many one worker runs of a queue is said where that is started.
    #[must_use]
    pub fn queue_concurrency(mut self, queue: impl Into<String>, limit: u32) -> Self {
        self.routes.set_concurrency(queue.into(), limit);
        self
    }

    /// Has the keys of this queue take turns, however many tasks one of them has there: one tenant's ten thousand do not delay the next tenant's first.
    /// Whoever enqueues with this application gives its tasks their turns; nothing is held back, and of each priority keys take turns apart.
    ///
    /// ```
    /// use gristmill::App;
    /// use gristmill::options::FairBy;
    ///
    /// let app = App::new(()).queue_fair_by("imports", FairBy::by("{tenant}".parse()?));
    /// # let _: App<()> = app;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn queue_fair_by(mut self, queue: impl Into<String>, rule: FairBy) -> Self {
        self.routes.set_fair_by(queue.into(), rule);
        self
    }

    /// How long a worker that serves this queue is taken for alive without a heartbeat, where it is not told a [lease](crate::worker::WorkerBuilder::lease) of its own: the
    /// shortest of its queues'. A worker has one lease for all that it runs, so that a queue with a long one is best served by workers of its own.
    #[must_use]
    pub fn queue_lease(mut self, queue: impl Into<String>, lease: Duration) -> Self {
        self.routes.set_lease(queue.into(), lease);
        self
    }

    /// After what time a ready task of this queue goes before all others of it, whatever its priority, so that the least urgent ones have their turn under any
    /// stream of urgent ones. Workers of this application see to that with their sweeps, each few seconds. The time counts from the enqueue, or from when the task was due
    /// at first. Its priority is 0 from then on, the most urgent one.
    ///
    /// ```
    /// # use gristmill::App;
    /// # use std::time::Duration;
    /// let app = App::new(()).queue_aging("default", Duration::from_secs(600));
    /// ```
    #[must_use]
    pub fn queue_aging(mut self, queue: impl Into<String>, after: Duration) -> Self {
        self.routes.set_aging(queue.into(), after);
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
    ///   ([`Tasks::list`](crate::client::Tasks::list)).
    /// - Hooks run one after another on a thread where they may block. They never hold up tasks or settlements: beyond
    ///   1,024 ends that wait for a hook, further ones are dropped, logged, and counted in
    ///   [`ExitReport::untold`](crate::worker::ExitReport::untold). A hook that panics is logged.
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

    /// What its task types declare, by name, with what [routes](Self::route) say of all tasks of a type.
    pub fn kinds(&self) -> Vec<KindSpec> {
        let mut specs = self.registry.specs();
        specs.iter_mut().for_each(|spec| self.routes.declare(spec));
        specs
    }

    /// Opens the store at `url`, brings its tables up to date, and declares the task types there.
    ///
    /// `sqlite:PATH` is the embedded store (feature `sqlite`, on by default); its file is made if it is missing.
    /// `postgres://USER@HOST/DATABASE` is a schema of that database (feature `postgres`), which is made if it is missing.
    ///
    /// # Errors
    /// A mistake in a registration or a schedule, a URL that names no known store, or a store that can't be opened.
    pub async fn connect(self, url: &str) -> Result<Client, ConnectError> {
        // A mistake of the program is told first, and leaves no file behind.
        let checked = self.check()?;
        let store = open_store(url, checked.runtime.env.clone()).await?;
        checked.declare_in(store).await
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
    /// client.enqueue_named("report.build", serde_json::json!({ "year": 2026 })).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_to_enqueue(self, url: &str) -> Result<Client, ConnectError> {
        let mut checked = self.check()?;
        let store = open_store(url, checked.runtime.env.clone()).await?;
        let registry = &mut checked.runtime.registry;
        // Before it borrows others', whose newer declarations must not be overwritten with what was read here.
        store.declare(&registry.specs_for(&*store).await?).await?;
        for kind in store.kinds().await? {
            if let KindInfo { name, schema: Some(schema), policy: Some(policy), .. } = kind {
                let spec = KindSpec { name, schema, fields: Vec::new(), policy };
                // A newer version may have declared what this one can't read; that type stays unknown.
                let _ = registry.borrow(spec, Code::one(Dynamic(Elsewhere)));
            }
        }
        Ok(checked.on(store))
    }

    /// Uses a store that is already open, and declares the task types there.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn with_store(self, store: Arc<dyn Store>) -> Result<Client, ConnectError> {
        self.check()?.declare_in(store).await
    }

    /// Builds a worker on a source of tasks that is no store: it takes tasks from there, runs them, and reports to it, as a
    /// worker of a [`Client`] does with a store. Who puts tasks there is the source's own business.
    ///
    /// What needs a store is not there. No beat runs inside, whatever [`WorkerBuilder::beat`] says, and the program's schedules
    /// are not written; a handler's transaction can't settle its task and fails
    /// ([`transaction`](crate::Context::transaction)). What the source does not do, by its own documentation, the worker
    /// can't either: see the defaults of [`Source`].
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use gristmill::core::{Env, NewTask, Overrides};
    /// use gristmill::testing::MemoryBroker;
    /// use gristmill::options::Limits;
    /// use gristmill::{App, Result, Task, task};
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
        Ok(WorkerBuilder::new(Arc::new(Ground::of_source(source, Arc::new(self.into_parts().0))), None))
    }

    /// What stands against it without a look at a store, or what is needed of it.
    fn check(mut self) -> Result<Checked, ConnectError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake.into());
        }
        if let Some(mistake) = self.routes.mistake() {
            return Err(InvalidInput::new("route", mistake).into());
        }
        for queue in self.used_queues() {
            limits::check_name("queue, with the prefix,", &queue)?;
        }
        if let [first, .., last] = self.zones.as_slice() {
            let problem = format!("is said twice, `{first}` and `{last}`; for one schedule it is `Definition::tz`");
            return Err(InvalidInput::new("tz", problem).into());
        }
        let zone = self.zones.pop();
        for (task, mut definition) in std::mem::take(&mut self.by_type) {
            if self.registry.get(&definition.task).is_none() {
                let problem = "a schedule makes its tasks, but this program does not have it; add it with `App::register`, or, if \
                               another program runs it, with `App::declare`";
                return Err(RegisterError { name: definition.task, problem: problem.to_owned() }.into());
            }
            if let Some(zone) = &zone {
                definition = definition.tz(zone);
            }
            self.program.schedules.push((task.to_owned(), definition));
        }
        self.registry.add_built_in();
        let (runtime, program) = self.into_parts();
        beat::check_alone(&runtime, &program.schedules)?;
        Ok(Checked { runtime, program })
    }

    fn into_parts(self) -> (Runtime, Program) {
        let Self { mut registry, limits, env, hooks, layers, routes, program, .. } = self;
        registry.declare_by(&routes);
        (Runtime { registry, limits, env, hooks, layers, routes }, program)
    }

    fn by_type<T: Task>(mut self, definition: Definition) -> Self {
        self.by_type.push((T::NAME, definition));
        self
    }

    fn added(mut self, add: impl FnOnce(&mut Registry) -> Result<(), RegisterError>) -> Self {
        match add(&mut self.registry) {
            Ok(()) => self,
            Err(mistake) => self.mistaken(mistake),
        }
    }

    fn mistaken(mut self, mistake: RegisterError) -> Self {
        self.mistake.get_or_insert(mistake);
        self
    }
}

/// Those of [`App::used_queues`].
pub(crate) fn used_queues(registry: &Registry, routes: &Routes) -> Vec<String> {
    let of_kind = |mut spec: KindSpec| {
        routes.declare(&mut spec);
        routes.real(&spec.policy.queue).into_owned()
    };
    let of_kinds = registry.specs().into_iter().map(of_kind);
    let mut used: Vec<_> = of_kinds.chain(routes.queues()).chain([routes.real("default").into_owned()]).collect();
    used.sort_unstable();
    used.dedup();
    used
}

/// An application that has no mistake of its own.
struct Checked {
    runtime: Runtime,
    program: Program,
}

impl Checked {
    async fn declare_in(self, store: Arc<dyn Store>) -> Result<Client, ConnectError> {
        let specs = self.runtime.registry.specs_for(&*store).await?;
        // Who has nothing to declare only looks, and is held up by nobody who writes.
        if !specs.is_empty() {
            store.declare(&specs).await?;
        }
        Ok(self.on(store))
    }

    fn on(self, store: Arc<dyn Store>) -> Client {
        Client::new(store, Arc::new(self.runtime), self.program)
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
    /// A schedule of the program can't be.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Something else that the program says of itself can't be.
    #[error("the application's {0}")]
    Invalid(#[from] InvalidInput),
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
        // With blanks or a `@` it is no scheme, and may hold a password.
        scheme if scheme.chars().all(|c| c.is_alphanumeric() || "+-.".contains(c)) => Err(unknown_store(scheme)),
        _ => Err(unknown_store("...")),
    }
}

fn program_name() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let name: String =
        path.file_stem().unwrap_or_default().to_string_lossy().chars().filter(|c| !c.is_control()).take(60).collect();
    if name.is_empty() { "program".to_owned() } else { name }
}

fn unknown_store(scheme: &str) -> StoreError {
    let without = |store: &str, feature: &str| {
        format!("this program was built without {store}: enable the feature `{feature}` of gristmill in its Cargo.toml")
    };
    // Those that are there have been read already.
    let message = match scheme {
        "sqlite" => without("SQLite", "sqlite"),
        "postgres" | "postgresql" => without("PostgreSQL", "postgres"),
        _ => {
            let hint = "write sqlite:PATH, such as sqlite:gristmill.db, or postgres://USER@HOST/DATABASE";
            format!("`{scheme}` is not a store that gristmill has; {hint}")
        }
    };
    StoreError::new(StoreErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_store_that_is_not_built_in_names_the_feature() {
        for (scheme, says) in [
            ("sqlite", "enable the feature `sqlite` of gristmill"),
            ("postgres", "enable the feature `postgres` of gristmill"),
            ("postgresql", "enable the feature `postgres` of gristmill"),
            ("mysql", "write sqlite:PATH, such as sqlite:gristmill.db, or postgres://USER@HOST/DATABASE"),
        ] {
            let error = unknown_store(scheme);
            assert_eq!(error.kind(), StoreErrorKind::Invalid);
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
