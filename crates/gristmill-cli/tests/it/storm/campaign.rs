//! The storm itself: one fault after the other, while all others work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gristmill_sqlite::rusqlite::Connection;
use rustix::process::Signal;

use super::checker::{self, Steady};
use super::clock::Clock;
use super::crew::Shared;
use super::flows;
use super::journal::{Journal, now, task_types};
use super::plan::{Dice, EVERYWHERE, Fault, ON_POSTGRES, ON_SQLITE, Plan, WITH_CLOCK};
use super::proxy::{Answer, Proxy};
use crate::sandbox::{PATIENCE, Sandbox, Worker, until};
use crate::versions::older;

/// Which of the workers is of the older version.
pub(super) const OLDER: usize = 2;
pub(super) const LEASE: Duration = Duration::from_secs(1);
/// Longer than anything here takes: whoever waits for somebody's lock waits in vain, and never comes through by trying again.
pub(super) const LOCKS: &str = "lock_timeout=10m";
/// How many schedules tick each second, and are left alone.
const STEADY: usize = 3;

/// How long the faults go on; a storm ends when each fault has come as often as the others.
fn seconds() -> u64 {
    std::env::var("GRISTMILL_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

pub(super) fn steady() -> Vec<String> {
    (0..STEADY).map(|n| format!("steady{n}")).collect()
}

/// Schedules make up for what beats missed while one of them died; not for all of a trip of the clock, which would leave thousands.
pub(crate) fn config() -> String {
    let schedule = |name: &str| {
        format!(
            "[[schedule]]\nname = \"{name}\"\ntask = \"tick\"\nargs = {{ schedule = \"{name}\" }}\ntick_arg = \"tick\"\nevery = \"1s\"\n\
             overlap = \"allow\"\ncatch_up = \"all:300,5m\"\n"
        )
    };
    let schedules: String = steady().iter().map(|name| schedule(name)).chain([schedule("edited")]).collect();
    task_types() + &schedules
}

/// How the store is reached by those who mean harm.
pub(crate) enum Reach {
    /// With the clock of all processes, if there is one to be moved.
    File {
        open: Box<dyn Fn() -> Connection>,
        clock: Option<Clock>,
    },
    Server {
        url: String,
        proxy: Proxy,
    },
}

/// What workers and beats say when they have begun.
const BEGUN: &str = "started, process";

/// Goes through a storm, and looks afterwards whether all is well.
pub(crate) fn storm(sandbox: &Sandbox, reach: Reach) {
    let mut dice = Dice::new();
    tell(&format!("GRISTMILL_STORM_SEED={} has the same faults in the same order", dice.seed()));
    let (sort, far) = match &reach {
        Reach::File { clock: None, .. } => (ON_SQLITE, None),
        Reach::File { .. } => (WITH_CLOCK, None),
        Reach::Server { url, proxy } => (ON_POSTGRES, Some(format!("{}&{LOCKS}", proxy.url(url)))),
    };
    let mut plan = Plan::new(&[EVERYWHERE, sort], dice.split());
    let (operators, starters) = (dice.split(), dice.split());
    let shared = Shared::new(sandbox, far);
    shared.ledger.lock().unwrap().schedules.extend(steady().into_iter().chain(["edited".to_owned()]));
    let journal = Journal::new(sandbox.path("journal.jsonl"));
    let mut campaign = Campaign { shared: &shared, reach, journal, workers: Vec::new(), beats: Vec::new(), dice, tripped: None };
    campaign.workers = (0..3).map(|n| campaign.worker(n)).collect();
    campaign.beats = (0..2).map(|_| campaign.beat()).collect();
    let since = Instant::now();
    std::thread::scope(|scope| {
        let _ends = Ends(&shared);
        scope.spawn(|| shared.call());
        scope.spawn(|| shared.operate(operators));
        scope.spawn(|| shared.look());
        scope.spawn(|| shared.start_flows(starters));
        // The first use of a name is of concern to all who need it.
        campaign.until_it_goes_on();
        while since.elapsed() < Duration::from_secs(seconds()) || plan.left() > 0 {
            let fault = plan.next();
            tell(&format!("{:.1?} {fault:?}", since.elapsed()));
            campaign.strike(fault);
            campaign.until_it_goes_on();
        }
        tell(&format!("{:.1?} the last fault is over", since.elapsed()));
    });
    campaign.end();
}

pub(super) struct Campaign<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) reach: Reach,
    pub(super) journal: Journal,
    /// The last one is of the older version.
    pub(super) workers: Vec<Worker>,
    beats: Vec<Worker>,
    dice: Dice,
    /// When the clock first went elsewhere, after which there are seconds that never were, or twice.
    tripped: Option<u64>,
}

/// However the storm ends, all others stop.
struct Ends<'a, 'b>(&'a Shared<'b>);

impl Drop for Ends<'_, '_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

#[expect(clippy::print_stderr, reason = "for whoever wants the same storm again")]
pub(super) fn tell(text: &str) {
    eprintln!("storm: {text}");
}

impl Campaign<'_> {
    /// Starts those who run tasks, and beats, by way of the network.
    fn start(&self, program: &str, args: &[&str]) -> Worker {
        let mut command = self.shared.sandbox.command_of(program, args);
        if let Some(url) = &self.shared.far {
            command.env("GRISTMILL_STORE", url);
        }
        Worker::spawn(command)
    }

    pub(super) fn worker(&self, place: usize) -> Worker {
        let (lease, older) = (format!("{}ms", LEASE.as_millis()), older());
        let program = if place == OLDER { &older } else { env!("CARGO_BIN_EXE_gristmill") };
        let queues = if place == OLDER { "default=4,ticks=4" } else { "default=4,ticks=4,flows=2" };
        self.start(program, &["worker", "--no-beat", "--queues", queues, "--lease", &lease])
    }

    fn beat(&self) -> Worker {
        self.start(env!("CARGO_BIN_EXE_gristmill"), &["beat"])
    }

    /// Replaces a worker after it was sent a signal that ends it.
    fn replace(&mut self, place: usize, signal: Signal) {
        self.workers[place].signal(signal);
        let next = self.worker(place);
        std::mem::replace(&mut self.workers[place], next).ended();
    }

    fn strike(&mut self, fault: Fault) {
        let place = self.dice.below(self.workers.len());
        match fault {
            Fault::KillWorker => self.replace(place, Signal::KILL),
            Fault::StopWorker => self.replace(place, Signal::TERM),
            Fault::PauseWorker => {
                let _unsure = Unsure::since_now(self.shared);
                pause(&self.workers[place]);
            }
            Fault::KillBeat => {
                let next = self.beat();
                let beat = self.dice.below(self.beats.len());
                std::mem::replace(&mut self.beats[beat], next).signal(Signal::KILL);
            }
            Fault::PauseBeat => pause(&self.beats[self.dice.below(self.beats.len())]),
            Fault::CutConnections => self.proxy().cut(),
            Fault::LoseCommits => self.lose(Answer::Commit),
            Fault::LoseReplies => self.lose(Answer::Statement),
            Fault::OpenRead | Fault::OpenCancel | Fault::OpenCancelOfTick | Fault::OpenName | Fault::OpenId => {
                self.hold_up(fault)
            }
            Fault::TripClock => self.trip(place % OLDER),
            Fault::HoldLock => {
                let Reach::File { open, .. } = &self.reach else { return };
                let file = open();
                file.busy_timeout(PATIENCE).unwrap();
                file.execute_batch("BEGIN IMMEDIATE").unwrap();
                let since = Instant::now();
                until("the lock was held for a while", || since.elapsed() > LEASE / 2);
            }
        }
    }

    fn proxy(&self) -> &Proxy {
        let Reach::Server { proxy, .. } = &self.reach else { panic!("a file has no network") };
        proxy
    }

    fn lose(&mut self, answer: Answer) {
        let count = 1 + self.dice.below(6);
        self.proxy().lose(answer, count);
        let since = Instant::now();
        // It may be that all go without such an answer now.
        until("answers are lost", || !self.proxy().is_armed() || since.elapsed() > 2 * LEASE);
        self.proxy().disarm();
    }

    /// Waits until tasks and ticks go on that began after now.
    fn until_it_goes_on(&mut self) {
        let since = now();
        let (shared, journal) = (self.shared, &mut self.journal);
        let from = journal.events().len();
        until("tasks and ticks go on", || {
            let events = &journal.events()[from..];
            let begun = |kind: &str| events.iter().filter(|event| event.kind == kind && event.at > since).count();
            let goes_on = begun("job") > 4 && begun("tick") > 0;
            shared.ended.store(journal.ended, Ordering::Relaxed);
            goes_on
        });
    }

    /// The clock is in the future for a while, and a worker dies there.
    fn trip(&mut self, place: usize) {
        // The older version has yet to learn this.
        self.workers[OLDER].signal(Signal::KILL);
        // One that starts when the clock is ahead already, and before the others' next heartbeat, can't know that they live.
        for (_, worker) in self.workers.iter_mut().enumerate().filter(|(place, _)| *place != OLDER) {
            worker.hears(BEGUN);
        }
        let (id, from) = (self.shared.ask(), self.journal.events().len());
        self.shared.sandbox.ok(&["enqueue", "held", "--id", &id]);
        let times = |journal: &mut Journal, end| {
            journal.events()[from..].iter().filter(|event| event.id == id && event.end == end).count()
        };
        until("the task runs", || times(&mut self.journal, false) > 0);
        self.tripped.get_or_insert_with(now);
        self.clock().set("+1h");
        until("the task ends", || times(&mut self.journal, true) > 0);
        let starts = times(&mut self.journal, false);
        assert_eq!(starts, 1, "{id} ran again, as the clock went ahead, and nothing else happened to it");
        self.replace(place, Signal::KILL);
        self.until_it_goes_on();
        self.clock().set("+0");
        self.release();
        self.workers[OLDER] = self.worker(OLDER);
    }

    /// Does by hand what a clock that was ahead leaves to do: what was to run a moment later then waits for an hour now.
    fn release(&mut self) {
        let ledger = self.shared.ledger.lock().unwrap().clone();
        let mut left: Vec<_> = checker::unfinished(self.journal.events(), &ledger).into_iter().collect();
        left.extend(flows::scheduled(self.shared.sandbox, &ledger.flows));
        if left.is_empty() {
            return;
        }
        let args: Vec<_> = ["tasks", "release"].into_iter().chain(left.iter().map(String::as_str)).collect();
        let _unsure = Unsure::since_now(self.shared);
        // Some have ended meanwhile, of which it says so.
        self.shared.sandbox.run(&args);
    }

    fn clock(&self) -> &Clock {
        let Reach::File { clock: Some(clock), .. } = &self.reach else { panic!("there is no clock to be moved") };
        clock
    }

    /// Starts anew, as a supervisor would, whoever could not begin because its connection was cut off just then. Who has begun never ends by
    /// itself.
    fn supervise(&mut self) {
        for place in 0..self.workers.len() {
            while !self.workers[place].begins(BEGUN) {
                self.workers[place] = self.worker(place);
            }
        }
        for place in 0..self.beats.len() {
            while !self.beats[place].begins(BEGUN) {
                self.beats[place] = self.beat();
            }
        }
    }

    /// Lets all end that was begun, and looks.
    fn end(mut self) {
        self.supervise();
        if self.tripped.is_some() {
            self.release();
        }
        let (ledger, journal) = (self.shared.ledger.lock().unwrap().clone(), &mut self.journal);
        let since = Instant::now();
        // What is left when the patience is over is told below, with its story.
        while !checker::unfinished(journal.events(), &ledger).is_empty() && since.elapsed() < PATIENCE {
            std::thread::sleep(LEASE / 4);
        }
        let sandbox = self.shared.sandbox;
        // Those whose members the older version has settled are counted when they have stood still for a while.
        while !flows::open(sandbox, &ledger.flows).is_empty() && since.elapsed() < PATIENCE {
            std::thread::sleep(LEASE);
        }
        for one in self.beats.drain(..).chain(self.workers.drain(..)) {
            one.signal(Signal::TERM);
            let (status, said) = one.ended();
            assert!(status.success(), "{said}");
        }
        sandbox.ok(&["worker", "--drain", "--queues", "default=4,ticks=4,flows=2"]);
        let events = self.journal.events().to_vec();
        let wrong = checker::check(&events, &ledger, &Steady { schedules: steady(), until: self.tripped });
        assert!(self.journal.garbled.is_empty(), "{:?}", self.journal.garbled);
        assert!(wrong.is_empty(), "{}", checker::stories(&wrong, &events, &ledger));
        let wrong = flows::check(sandbox, &ledger.flows, &events);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        sandbox.ok(&["doctor"]);
        tell(&format!("{} tasks, {} lines of the journal, all in order", ledger.enqueued.len(), events.len()));
    }
}

/// While tasks are taken from workers, who may start them all the same.
struct Unsure<'a>(&'a AtomicU64);

impl<'a> Unsure<'a> {
    fn since_now(shared: &'a Shared<'_>) -> Self {
        shared.unsure_until.store(u64::MAX, Ordering::Relaxed);
        Self(&shared.unsure_until)
    }
}

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        let last_start = now() + u64::try_from(2 * LEASE.as_micros()).unwrap();
        self.0.store(last_start, Ordering::Relaxed);
    }
}

/// For longer than its lease, so that others take over.
fn pause(process: &Worker) {
    process.signal(Signal::STOP);
    let since = Instant::now();
    until("the lease is long over", || since.elapsed() > LEASE * 5 / 2);
    process.signal(Signal::CONT);
}
