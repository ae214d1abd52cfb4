use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gristmill_core::kit::fnv;
use gristmill_core::{Fleet, WorkerId, WorkerSpec};

use crate::hints::Hints;
use crate::names::{Names, Sort};
use crate::origin::Origin;

/// A floor hides what other processes put back below it; this is for how long.
const FLOOR_AGE: Duration = Duration::from_secs(1);
/// A look at a whole queue that took longer than this is not repeated at once: something holds many dead rows in it.
const LOOK_CHEAP: Duration = Duration::from_millis(50);

/// A look at a whole queue that took longer than this and found too little may have gone through what other services have to do.
const LOOK_DEAR: Duration = Duration::from_millis(5);
/// How long it is believed that a queue is crowded, or that it is not.
const CROWD_AGE: Duration = Duration::from_secs(60);
/// The same where the index that leads past the crowd is still to be built.
const BUILD_AGE: Duration = Duration::from_secs(1);

/// A worker, as far as claims ask.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) key: i64,
    pub(crate) epoch: i32,
    pub(crate) kinds: Vec<i32>,
}

/// The living workers, from the point of view of one of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fleets {
    pub(crate) all: Fleet,
    /// Those that serve the same.
    pub(crate) alike: Fleet,
}

/// What a worker of this process serves.
#[derive(Debug)]
struct Serving {
    queues: HashSet<String>,
    kinds: HashSet<String>,
    /// See [`Workers::trade`].
    trade: u64,
    lease: Duration,
    /// When it last entered, or beat.
    beaten: Instant,
}

impl Serving {
    /// One that was stopped for longer may beat again, and is known again then.
    fn lives(&self) -> bool {
        self.beaten.elapsed() < self.lease.saturating_mul(2)
    }
}

fn trade_of(spec: &WorkerSpec) -> u64 {
    let mut kinds: Vec<&str> = spec.kind_names().collect();
    kinds.sort_unstable();
    let queues = spec.queues.keys().map(String::as_str);
    // No name holds this byte, so that no two lists read alike.
    fnv(queues.chain([""]).chain(kinds).flat_map(|name| name.bytes().chain([0xff])))
}

/// What is remembered of workers between their claims. All of it can be read again.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    pub(crate) hints: Hints,
    here: Mutex<HashMap<WorkerId, Serving>>,
    /// Until when looks at the heads of queues are not made.
    dear: Mutex<Option<Instant>>,
    servers: Mutex<HashMap<WorkerId, (Origin, Arc<Server>)>>,
    floors: Mutex<HashMap<(i64, i32), Floor>>,
    crowds: Mutex<HashMap<(i64, i32), Crowd>>,
    /// Whether all queues count as crowded, for a test.
    always_by_kind: AtomicBool,
}

/// Whether a queue is so full of what a worker does not serve that it takes its tasks by their types.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    by_kind: bool,
    until: Instant,
}

/// How a worker finds its tasks in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In the order of the queue.
    InLine,
    /// In the order of each of its types.
    ByKind,
    /// By type until now; whether that is still the better way has to be asked.
    Unknown,
}

/// Where the ready tasks of a queue begin, for a worker. Below are rows that were claimed and are dead, which would have to be
/// passed over each time, and tasks that it does not serve.
#[derive(Debug)]
struct Floor {
    /// `None` after a look at the whole queue.
    lowest: Option<[i64; PRIORITIES]>,
    since: Instant,
    /// How long the last look at the whole queue took.
    cost: Duration,
}

/// Stands for a worker that takes anything, where the heads of queues are looked at: no worker has this key.
pub(crate) const HEADS: i64 = -1;
/// How many priorities there are.
pub(crate) const PRIORITIES: usize = 10;

impl Workers {
    /// A worker of this process begins.
    pub(crate) fn enter(&self, spec: &WorkerSpec) {
        let serving = Serving {
            queues: spec.queues.keys().cloned().collect(),
            kinds: spec.kind_names().map(str::to_owned).collect(),
            trade: trade_of(spec),
            lease: spec.lease,
            beaten: Instant::now(),
        };
        lock(&self.here).insert(spec.id, serving);
    }

    /// A worker of this process lives. Returns those that do not: a worker whose lease has run out goes on under a new id, and nobody
    /// says of the old one that it has left.
    pub(crate) fn beat(&self, id: WorkerId) -> Vec<WorkerId> {
        let mut here = lock(&self.here);
        if let Some(serving) = here.get_mut(&id) {
            serving.beaten = Instant::now();
        }
        here.iter().filter(|(_, serving)| !serving.lives()).map(|(id, _)| *id).collect()
    }

    /// A number that workers have in common with those who serve the same, in whatever process; `None` if there is none here.
    pub(crate) fn trade(&self) -> Option<u64> {
        let mut trades: Vec<u64> =
            lock(&self.here).values().filter(|serving| serving.lives()).map(|serving| serving.trade).collect();
        trades.sort_unstable();
        trades.dedup();
        (!trades.is_empty()).then(|| fnv(trades.into_iter().flat_map(u64::to_be_bytes)))
    }

    /// The queues that are served here.
    pub(crate) fn queues(&self) -> Vec<String> {
        let here = lock(&self.here);
        let living = here.values().filter(|serving| serving.lives());
        let all: HashSet<&String> = living.flat_map(|serving| &serving.queues).collect();
        all.into_iter().cloned().collect()
    }

    /// Whether one may take tasks of this queue and type; yes if there is none, as somebody else may wait for them.
    pub(crate) fn serve(&self, names: &Names, origin: Origin, queue: i32, kind: i32) -> bool {
        let here = lock(&self.here);
        let is_among = |sort, number, of: &HashSet<String>| match names.by_id(origin, sort, number) {
            Some(name) => of.contains(&*name),
            // Another's, unless it is one of ours whose number was not learned yet.
            None => of.iter().any(|name| names.by_name(origin, sort, name).is_none()),
        };
        let serves = |of: &Serving| is_among(Sort::Queue, queue, &of.queues) && is_among(Sort::Kind, kind, &of.kinds);
        let mut living = here.values().filter(|serving| serving.lives()).peekable();
        living.peek().is_none() || living.any(serves)
    }

    pub(crate) fn server(&self, origin: Origin, id: WorkerId) -> Option<Arc<Server>> {
        lock(&self.servers).get(&id).filter(|(of, _)| *of == origin).map(|(_, server)| server.clone())
    }

    pub(crate) fn keep(&self, origin: Origin, id: WorkerId, server: Arc<Server>) {
        let mut servers = lock(&self.servers);
        if servers.len() > 1_000 {
            servers.clear();
        }
        servers.insert(id, (origin, server));
    }

    /// It ended.
    pub(crate) fn leave(&self, id: WorkerId) {
        lock(&self.here).remove(&id);
        self.hints.leave(id);
        self.forget(id);
    }

    pub(crate) fn forget(&self, id: WorkerId) {
        if let Some((_, server)) = lock(&self.servers).remove(&id) {
            self.look_anew(server.key);
        }
    }

    /// A worker takes other types than before.
    pub(crate) fn look_anew(&self, key: i64) {
        lock(&self.floors).retain(|(worker, _), _| *worker != key);
        lock(&self.crowds).retain(|(worker, _), _| *worker != key);
    }

    /// Whether a look at the heads of queues is worth its while: one that took long, through dead rows that something holds there, is
    /// not made again soon.
    pub(crate) fn may_look(&self) -> bool {
        lock(&self.dear).is_none_or(|until| Instant::now() >= until)
    }

    /// The heads of queues were looked at.
    pub(crate) fn looked_around(&self, cost: Duration) {
        *lock(&self.dear) = (cost > LOOK_CHEAP).then(|| Instant::now() + cost * 20);
    }

    /// From where on to look; `None` for the whole queue.
    pub(crate) fn floor(&self, worker: i64, queue: i32) -> Option<[i64; PRIORITIES]> {
        let floors = lock(&self.floors);
        let floor = floors.get(&(worker, queue))?;
        let age = FLOOR_AGE.max(floor.cost * 10);
        floor.lowest.filter(|_| floor.since.elapsed() < age)
    }

    /// A full batch was taken, the lowest of each priority from there on.
    pub(crate) fn raise(&self, worker: i64, queue: i32, lowest: [Option<i64>; PRIORITIES]) {
        let mut floors = lock(&self.floors);
        let floor = floors.entry((worker, queue)).or_insert_with(Floor::new);
        let before = floor.lowest.unwrap_or([i64::MIN; PRIORITIES]);
        floor.lowest = Some(std::array::from_fn(|n| lowest[n].unwrap_or(before[n])));
    }

    /// Less was found than asked for. Whether to look at the whole queue at once.
    pub(crate) fn ran_short(&self, worker: i64, queue: i32) -> bool {
        let mut floors = lock(&self.floors);
        let Some(floor) = floors.get_mut(&(worker, queue)) else { return false };
        if floor.lowest.is_none() || (floor.cost > LOOK_CHEAP && floor.since.elapsed() < floor.cost * 10) {
            return false;
        }
        floor.lowest = None;
        true
    }

    /// The whole queue was looked at.
    pub(crate) fn looked(&self, worker: i64, queue: i32, cost: Duration) {
        let mut floors = lock(&self.floors);
        if floors.len() > 10_000 {
            floors.clear();
        }
        let floor = floors.entry((worker, queue)).or_insert_with(Floor::new);
        (floor.lowest, floor.since, floor.cost) = (None, Instant::now(), cost);
    }

    /// How to look for a worker's tasks.
    pub(crate) fn way(&self, worker: i64, queue: i32) -> Way {
        if self.always_by_kind.load(Ordering::Relaxed) {
            return Way::ByKind;
        }
        match lock(&self.crowds).get(&(worker, queue)) {
            Some(Crowd { by_kind: true, until }) if *until <= Instant::now() => Way::Unknown,
            Some(Crowd { by_kind: true, .. }) => Way::ByKind,
            _ => Way::InLine,
        }
    }

    /// Whether a look at the whole queue in its order, which found too little, is a reason to ask what it went through.
    pub(crate) fn is_dear(&self, worker: i64, queue: i32, cost: Duration) -> bool {
        cost >= LOOK_DEAR && lock(&self.crowds).get(&(worker, queue)).is_none_or(|crowd| crowd.until <= Instant::now())
    }

    /// What was seen: whether others' tasks crowd the queue, and whether there is an index that leads past them.
    pub(crate) fn saw_crowd(&self, worker: i64, queue: i32, crowded: bool, indexed: bool) {
        let mut crowds = lock(&self.crowds);
        if crowds.len() > 10_000 {
            crowds.clear();
        }
        let age = if crowded && !indexed { BUILD_AGE } else { CROWD_AGE };
        crowds.insert((worker, queue), Crowd { by_kind: crowded && indexed, until: Instant::now() + age });
    }

    /// From now on all queues count as crowded.
    pub(crate) fn always_by_kind(&self) {
        self.always_by_kind.store(true, Ordering::Relaxed);
    }

    /// A task came back to this place.
    pub(crate) fn lower(&self, places: &[(i32, i16, i64)]) {
        if places.is_empty() {
            return;
        }
        for ((_, queue), floor) in lock(&self.floors).iter_mut() {
            let Some(lowest) = &mut floor.lowest else { continue };
            for (_, priority, seq) in places.iter().filter(|(place, ..)| place == queue) {
                if let Some(lowest) = usize::try_from(*priority).ok().and_then(|priority| lowest.get_mut(priority)) {
                    *lowest = (*lowest).min(*seq);
                }
            }
        }
    }

    /// Tasks came back, and nobody knows where.
    pub(crate) fn forget_floors(&self) {
        lock(&self.floors).clear();
    }

    /// It is another database, in which all this may be otherwise.
    pub(crate) fn forget_numbers(&self) {
        self.forget_floors();
        lock(&self.servers).clear();
        lock(&self.crowds).clear();
        *lock(&self.dear) = None;
        self.hints.came_somewhere();
    }
}

impl Floor {
    fn new() -> Self {
        Self { lowest: None, since: Instant::now(), cost: Duration::ZERO }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Maps, which are whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use gristmill_core::Env;

    use super::*;
    use crate::names::Named;

    fn spec(queues: &[&str]) -> WorkerSpec {
        WorkerSpec {
            id: Env::system().worker_id(),
            name: String::new(),
            lease: Duration::from_secs(1),
            kinds: vec!["send".into()],
            queues: queues.iter().map(|queue| ((*queue).to_owned(), 1)).collect(),
            version: String::new(),
        }
    }

    #[test]
    fn only_what_is_known_to_be_anothers_is_passed_over() {
        let (names, workers, origin) = (Names::default(), Workers::default(), Origin::default());
        let know = |sort, name: &str, id| names.keep(origin, sort, Named { name: name.into(), id, known: true });
        know(Sort::Queue, "mail", 1);
        know(Sort::Queue, "other", 2);
        know(Sort::Kind, "send", 1);
        assert!(workers.serve(&names, origin, 2, 9), "nobody here serves anything, so that whoever waits waits for all");
        let worker = spec(&["mail"]);
        workers.enter(&worker);
        assert!(workers.serve(&names, origin, 1, 1));
        assert!(!workers.serve(&names, origin, 2, 1), "another queue");
        assert!(!workers.serve(&names, origin, 1, 2), "another type, as all of ours have their numbers");
        assert!(!workers.serve(&names, origin, 3, 1), "another queue, whatever its name");
        let late = spec(&["mail", "not there yet"]);
        workers.enter(&late);
        assert!(workers.serve(&names, origin, 3, 1), "it may be the one that was not there yet");
        workers.leave(late.id);
        assert!(!workers.serve(&names, origin, 3, 1));
    }

    #[test]
    fn workers_that_serve_the_same_have_it_in_common() {
        let trade = |all: &[&[&str]]| {
            let workers = Workers::default();
            all.iter().for_each(|queues| workers.enter(&spec(queues)));
            workers.trade()
        };
        assert_eq!(trade(&[]), None);
        assert_eq!(trade(&[&["a", "b"]]), trade(&[&["b", "a"], &["a", "b"]]));
        assert_ne!(trade(&[&["a", "b"]]), trade(&[&["a"]]));
        assert_ne!(trade(&[&["a", "b"]]), trade(&[&["ab"]]));
        assert_ne!(trade(&[&["a"], &["b"]]), trade(&[&["a", "b"]]));
    }

    /// Whose lease has run out goes on under a new id, and nobody says that the old one has left.
    #[test]
    fn what_one_served_that_beats_no_more_is_served_no_more() {
        let (names, workers, origin) = (Names::default(), Workers::default(), Origin::default());
        names.keep(origin, Sort::Queue, Named { name: "mail".into(), id: 1, known: true });
        names.keep(origin, Sort::Kind, Named { name: "send".into(), id: 1, known: true });
        let (old, new) = (spec(&["mail"]), spec(&[]));
        let of_both = |workers: &Workers| (workers.serve(&names, origin, 1, 1), workers.queues().len());
        workers.enter(&old);
        workers.enter(&new);
        assert_eq!((of_both(&workers), workers.beat(new.id)), ((true, 1), vec![]));
        let before = Instant::now().checked_sub(old.lease * 3).expect("the machine has run for seconds");
        lock(&workers.here).get_mut(&old.id).unwrap().beaten = before;
        assert_eq!((of_both(&workers), workers.beat(new.id)), ((false, 0), vec![old.id]));
        assert_eq!((workers.beat(old.id), of_both(&workers)), (vec![], (true, 1)));
    }
}
