//! A day of which little is kept is replaced by one that holds just that.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gristmill_core::{
    Claim, Ending, Filter, LeaseRef, NewTask, Overrides, Retention, Settlement, Severity, Source, State, Store, TaskId, TaskMeta,
    Wanted,
};
use gristmill_postgres::PostgresStore;

use crate::common::{client, task};
use crate::house::{DAY, House, START};

const PATIENCE: Duration = Duration::from_secs(240);
const HOUR: Duration = Duration::from_secs(3_600);
/// What is over is so at START plus a day; an hour later than this it would be deleted row by row.
const DUE: Duration = Duration::from_secs(49 * 3_600 + 60);
const KEPT: Retention = Retention::For(Duration::from_secs(30 * 86_400));
const OVER: Retention = Retention::For(DAY);

impl House {
    /// Ended tasks of the day, of `bytes` each, of which one in `nth` is kept for 30 days and has a tag, and the others for one.
    async fn filled(tasks: i32, nth: i32, bytes: i32) -> Self {
        let house = Self::new().await;
        house.enqueue(vec![house.task(OVER)]).await;
        house.run("first").await;
        let fill = "WITH new AS (
               INSERT INTO task(id, seq, retention, created_at, run_at, queue, kind, max_attempts, max_crashes, priority, ack, args, meta)
               SELECT (lpad(to_hex($1::bigint + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, nextval('arrival'), $2::bigint, $1, $1,
                      t.queue, t.kind, t.max_attempts, t.max_crashes, t.priority, t.ack, t.args,
                      CASE WHEN n % $4 = 0 THEN '{\"tags\": [\"kept\"]}' END
               FROM generate_series(1, $3) AS g(n), (SELECT * FROM task ORDER BY seq LIMIT 1) t RETURNING id, seq, meta
             )
             INSERT INTO outcome(id, seq, finished_at, started_at, keep_until, claim_no, attempt, crashes, state, ended, result)
             SELECT id, seq, $1, $1, $1 + CASE WHEN meta IS NULL THEN $2 ELSE 30 * $2 END, 1, 1, 0, 1, 1, rpad(md5(id::text), $5, md5(id::text))
             FROM new";
        let (start, day) = (START.as_millis(), DAY.as_millis() as i64);
        house.sql.execute(fill, &[&start, &day, &tasks, &nth, &bytes]).await.unwrap();
        house
    }

    async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.sql.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn begin(&self) -> bool {
        self.sql.query_one("SELECT thin_begin($1)", &[&self.env.now().as_millis()]).await.unwrap().get(0)
    }

    /// As soon as no vacuum holds the tables.
    async fn begin_soon(&self) {
        let until = Instant::now() + PATIENCE;
        while !self.begin().await {
            let wait = self.value::<i64>("SELECT try_at FROM thin").await - self.env.now().as_millis();
            assert!(Instant::now() < until && wait == 300_000, "it is not begun");
            self.pass_by().await;
        }
    }

    async fn step(&self) -> bool {
        self.sql.query_one("SELECT thin_step($1)", &[&self.env.now().as_millis()]).await.unwrap().get(0)
    }

    async fn is_begun(&self) -> bool {
        self.value("SELECT day IS NOT NULL FROM thin").await
    }

    /// Waits for as long as nobody is to try, by the store's clock.
    async fn pass_by(&self) {
        let until: i64 = self.value("SELECT try_at FROM thin").await;
        let left = u64::try_from(until - self.env.now().as_millis()).unwrap_or_default();
        self.time.advance(Duration::from_millis(left));
    }

    /// Goes on until the day is replaced. A vacuum may hold the tables just then.
    async fn finish(&self) {
        let until = Instant::now() + PATIENCE;
        while self.is_begun().await {
            assert!(Instant::now() < until, "it is never replaced");
            while self.step().await {}
            self.pass_by().await;
        }
    }

    /// What there is of the day, and whatever else was made for it.
    async fn tables(&self) -> Vec<String> {
        let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' \
                   AND relname ~ '20270115' ORDER BY 1";
        self.sql.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    async fn expect_a_clean_house(&self) {
        assert_eq!(self.tables().await, ["label_20270115", "outcome_20270115", "task_20270115"]);
        let triggers = "SELECT count(*) FROM pg_trigger WHERE tgname = 'thin' \
                        AND tgrelid IN ('task_20270115'::regclass, 'outcome_20270115'::regclass)";
        assert_eq!(self.value::<i64>(triggers).await, 0);
        assert_eq!(self.value::<i64>("SELECT count(*) FROM thin_change").await, 0);
        self.expect_a_content_doctor().await;
    }

    async fn expect_a_content_doctor(&self) {
        for finding in self.store.check().await.unwrap() {
            let is_about_tables = ["autovacuum", "indexes", "locks", "rights"].contains(&finding.code.as_str());
            assert!(!is_about_tables || finding.severity == Severity::Ok, "{finding:?}");
        }
    }

    async fn tagged(&self, tag: &str) -> Vec<TaskId> {
        let filter = Filter { tag: Some(tag.to_owned()), ..Filter::default() };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list_ids(&filter, after, 1_000).await.unwrap();
            found.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return found,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_which_little_is_kept_is_replaced_by_that() {
    let house = House::filled(202_000, 101, 40).await;
    let size = "SELECT sum(pg_total_relation_size(t))::bigint FROM unnest('{task_20270115,outcome_20270115,label_20270115}'::regclass[]) t";
    let oids = "SELECT 'task_20270115'::regclass::oid::bigint + 'outcome_20270115'::regclass::oid::bigint";
    let (large, before) = (house.value::<i64>(size).await, house.value::<i64>(oids).await);
    // By now it would be deleted row by row.
    house.time.advance(DUE + 2 * HOUR);
    let (until, mut turn) = (Instant::now() + PATIENCE, Instant::now());
    while house.value::<i64>(oids).await == before || house.is_begun().await {
        assert!(Instant::now() < until, "it is never replaced");
        assert_eq!(house.store.prune(1_000).await.unwrap(), 0, "nothing is deleted row by row");
        house.pass_by().await;
        house.time.advance(std::mem::replace(&mut turn, Instant::now()).elapsed());
    }
    for table in ["task", "outcome"] {
        assert_eq!(house.value::<i64>(&format!("SELECT count(*) FROM {table}_20270115")).await, 2_000);
        let deleted = format!("SELECT pg_stat_get_tuples_deleted('{table}_20270115'::regclass)");
        assert_eq!(house.value::<i64>(&deleted).await, 0);
    }
    let small: i64 = house.value(size).await;
    assert!(small < large / 20, "{large} bytes have become {small}");
    house.expect_a_clean_house().await;
    assert_eq!(house.tagged("kept").await.len(), 2_000);
    let (over, kept) = (TaskId::from_uuid(id_of(100)), TaskId::from_uuid(id_of(101)));
    assert_eq!((house.state(over).await, house.state(kept).await), (None, Some(State::Succeeded)));
    assert_eq!(house.partition_of("outcome", kept).await.as_deref(), Some("outcome_20270115"));
    // It is a day as any other.
    let late = NewTask { id: over, ..house.task(OVER) };
    house.enqueue(vec![late]).await;
    assert_eq!(house.partition_of("task", over).await.as_deref(), Some("task_20270115"));
    assert!(!house.begin().await, "all that is left is kept");
    house.pass(40).await;
    house.pass(1).await;
    assert_eq!(house.listed().await, [over], "what waits is carried on");
    assert!(!house.days().await.contains(&"task_20270115".to_owned()), "{:?}", house.days().await);
}

/// The id that `filled` gives the nth.
fn id_of(nth: u64) -> uuid::Uuid {
    let ms = START.as_millis() as u64 + nth;
    uuid::Uuid::from_u128((u128::from(ms) << 80) | (0x7000_8000_u128 << 48) | u128::from(nth))
}

/// What somebody does to a task of the day while it is replaced, and what has to be found of it.
struct Change {
    ids: Vec<TaskId>,
    leases: Vec<LeaseRef>,
    late: NewTask,
}

impl Change {
    async fn new(house: &House) -> Self {
        let ended = [KEPT, KEPT, OVER, OVER].map(|retention| house.task(retention)).to_vec();
        let mut ids = house.enqueue(ended).await;
        house.run("once").await;
        let running = [KEPT, Retention::None, KEPT].map(|retention| house.task(retention)).to_vec();
        ids.extend(house.enqueue(running).await);
        let leases: Vec<_> = house.claim().await.iter().map(|claimed| claimed.lease).collect();
        assert_eq!(leases.len(), 3);
        let waiting = (0..2).map(|_| NewTask { queue: "unserved".to_owned(), ..house.task(KEPT) }).collect();
        ids.extend(house.enqueue(waiting).await);
        let meta = TaskMeta { tags: vec!["late".to_owned()], ..TaskMeta::default() };
        Self { ids, leases, late: NewTask { meta: Some(Box::new(meta)), queue: "unserved".to_owned(), ..house.task(KEPT) } }
    }

    async fn make(&self, house: &House) {
        house.store.retry(&[self.ids[0], self.ids[2]]).await.unwrap();
        house.store.delete(&[self.ids[1]]).await.unwrap();
        let endings = [Ending::Succeeded, Ending::Succeeded, Ending::Failed];
        let settle = |(lease, ending): (&LeaseRef, Ending)| Settlement::new(*lease, ending);
        house.store.settle(self.leases.iter().zip(endings).map(settle).collect()).await.unwrap();
        house.store.cancel(&[self.ids[7]]).await.unwrap();
        house.store.enqueue(vec![self.late.clone()]).await.unwrap();
    }

    async fn expect(&self, house: &House, when: usize) {
        let ids: Vec<_> = self.ids.iter().copied().chain([self.late.id]).collect();
        let mut states = Vec::new();
        for id in &ids {
            states.push(house.state(*id).await);
        }
        let states: Vec<_> = states.into_iter().map(|state| state.map(|state| state.to_string())).collect();
        let found: Vec<_> = states.iter().map(|state| state.as_deref().unwrap_or("gone")).collect();
        let wanted = ["ready", "gone", "ready", "gone", "succeeded", "gone", "failed", "cancelled", "ready", "ready"];
        assert_eq!(found, wanted, "the change that came as number {when}");
        let history = house.store.get(self.ids[2]).await.unwrap().unwrap().attempts.len();
        assert_eq!(history, 1, "its history came along, {when}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_meanwhile_is_not_lost() {
    let house = House::filled(24_000, 12, 900).await;
    let mut changes = Vec::new();
    for _ in 0..10 {
        changes.push(Change::new(&house).await);
    }
    house.time.advance(DUE);
    let (meanwhile, afterwards) = changes.split_at(8);
    let mut made = 0;
    meanwhile[0].make(&house).await;
    house.begin_soon().await;
    while house.value::<bool>("SELECT copied IS NOT NULL FROM thin").await {
        made += 1;
        if let Some(change) = meanwhile.get(made) {
            change.make(&house).await;
        }
        assert!(house.step().await);
    }
    assert!(made >= 4, "in several parts: {made}");
    // All is copied; what has changed since is copied again, and again.
    for change in afterwards {
        change.make(&house).await;
        assert!(house.step().await);
    }
    house.finish().await;
    let made: Vec<_> = meanwhile.iter().take(made + 1).chain(afterwards).collect();
    for (when, change) in made.iter().enumerate() {
        change.expect(&house, when).await;
    }
    house.expect_a_clean_house().await;
    assert_eq!(house.tagged("kept").await.len(), 2_000);
    assert_eq!(house.tagged("late").await.len(), made.len());
    let of_none = "SELECT count(*) FROM label l WHERE NOT EXISTS (SELECT FROM task t WHERE t.id = l.id)";
    assert_eq!(house.value::<i64>(of_none).await, 0);
    let of_none = "SELECT count(*) FROM outcome o WHERE NOT EXISTS (SELECT FROM task t WHERE t.id = o.id)";
    assert_eq!(house.value::<i64>(of_none).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_in_a_step_or_between_two_leaves_it_to_the_next() {
    let house = House::filled(24_000, 12, 900).await;
    house.time.advance(DUE);
    let dies_in = async |what: &str| {
        let now = house.env.now().as_millis();
        let victim = client().await;
        victim.batch_execute(&format!("SET search_path = {}; BEGIN", house.schema.0)).await.unwrap();
        victim.query_one(&format!("SELECT {what}($1)"), &[&now]).await.unwrap();
        let pid: i32 = victim.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        drop(victim);
        let gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
        let until = Instant::now() + PATIENCE;
        while !house.sql.query_one(gone, &[&pid]).await.unwrap().get::<_, bool>(0) {
            assert!(Instant::now() < until, "the server keeps its connection");
        }
    };
    dies_in("thin_begin").await;
    assert!(!house.is_begun().await);
    house.expect_a_clean_house().await;
    house.begin_soon().await;
    let until = Instant::now() + PATIENCE;
    while house.is_begun().await {
        assert!(Instant::now() < until, "it is never replaced");
        dies_in("thin_step").await;
        assert_eq!(house.tagged("kept").await.len(), 2_000);
        house.expect_a_content_doctor().await;
        assert!(house.begin().await, "another one goes on with it");
        // The last step may find a vacuum at the tables.
        house.step().await;
        house.pass_by().await;
    }
    assert_eq!(house.value::<i64>("SELECT count(*) FROM task_20270115").await, 2_000);
    assert_eq!(house.value::<i64>("SELECT count(*) FROM outcome_20270115").await, 2_000);
    house.expect_a_clean_house().await;
}

/// Several processes sweep, and others wait for a lock at most half a second before they fail, of which none does.
#[tokio::test(flavor = "multi_thread")]
async fn many_sweepers_replace_it_once_and_nobody_waits_long() {
    let mut house = House::filled(48_000, 24, 900).await;
    let old: Vec<_> = (0..400).map(|_| house.task(KEPT)).collect();
    let before: i64 = house.value("SELECT 'task_20270115'::regclass::oid::bigint").await;
    house.time.advance(DUE);
    house.store.sweep(10).await.unwrap();
    house.hire().await;
    let over = Arc::new(AtomicBool::new(false));
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = PostgresStore::connect(&house.schema.url(""), house.env.clone()).await.unwrap();
        let over = over.clone();
        others.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                store.prune(1_000).await.unwrap();
            }
        });
    }
    // New tasks, and some of the day itself.
    for (n, old) in old.chunks(200).enumerate() {
        let busy = PostgresStore::connect(&house.schema.url("&lock_timeout=500ms"), house.env.clone()).await.unwrap();
        let (over, env, worker, mut old) = (over.clone(), house.env.clone(), house.worker, old.to_vec());
        others.spawn(async move {
            while !over.load(Ordering::Relaxed) || !old.is_empty() {
                let retention = if n == 0 { Retention::None } else { KEPT };
                let mut new: Vec<_> = (0..5)
                    .map(|_| task(&env, "mail", Overrides { retention: Some(retention), ..Overrides::default() }))
                    .collect();
                new.extend(old.pop());
                busy.enqueue(new).await.unwrap();
                let claim = Claim { worker, fence: env.fence(), wanted: vec![Wanted::new("default", 20)], again: false };
                let claimed = busy.claim(&claim).await.unwrap();
                busy.settle(claimed.iter().map(|task| Settlement::new(task.lease, Ending::Succeeded)).collect()).await.unwrap();
                busy.list(&Filter { tag: Some("kept".to_owned()), ..Filter::default() }, None, 10).await.unwrap();
            }
        });
    }
    let (until, mut turn) = (Instant::now() + PATIENCE, Instant::now());
    while house.value::<i64>("SELECT 'task_20270115'::regclass::oid::bigint").await == before || house.is_begun().await {
        assert!(Instant::now() < until, "it is never replaced");
        house.pass_by().await;
        // Whoever could not have the turn tries again a minute later.
        house.time.advance(10 * std::mem::replace(&mut turn, Instant::now()).elapsed());
    }
    over.store(true, Ordering::Relaxed);
    others.join_all().await;
    house.run("late").await;
    for old in &old {
        assert_eq!(house.state(old.id).await, Some(State::Succeeded), "{}", old.id);
    }
    assert_eq!(house.value::<i64>("SELECT count(*) FROM task_20270115").await, 2_400);
    house.expect_a_clean_house().await;
    assert_eq!(house.tagged("kept").await.len(), 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_puts_it_off_and_nothing_is_done_twice() {
    let house = House::filled(24_000, 12, 900).await;
    let change = Change::new(&house).await;
    house.time.advance(DUE);
    let holder = client().await;
    holder.batch_execute(&format!("SET search_path = {}", house.schema.0)).await.unwrap();
    // As an application that has enqueued a task of that day.
    let hold = "BEGIN; UPDATE task SET priority = 4 WHERE id = (SELECT id FROM task ORDER BY seq LIMIT 1)";
    holder.batch_execute(hold).await.unwrap();
    assert!(!house.begin().await);
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert!(!house.begin().await, "nobody tries again so soon");
    assert!(house.tables().await.iter().all(|table| !table.ends_with("thin")), "{:?}", house.tables().await);
    house.time.advance(HOUR / 12);
    house.begin_soon().await;
    while house.value::<bool>("SELECT copied IS NOT NULL FROM thin").await {
        assert!(house.step().await);
    }
    holder.batch_execute("BEGIN").await.unwrap();
    let late = house.task(KEPT);
    let retry = "UPDATE outcome SET ended = 0, keep_until = NULL WHERE id = $1";
    holder.execute(retry, &[&change.ids[3].as_uuid()]).await.unwrap();
    let row = "INSERT INTO ready(id, seq, queue, kind, attempt, claim_no, crashes, priority, flags)
               SELECT id, seq, queue, kind, 0, 1, 0, priority, 0 FROM task WHERE id = $1";
    holder.execute(row, &[&change.ids[3].as_uuid()]).await.unwrap();
    let filled = "SELECT sum(pg_relation_size(oid))::bigint FROM pg_class \
                  WHERE relname IN ('task_20270115_thin', 'outcome_20270115_thin') AND relnamespace = current_schema()::regnamespace";
    let copied: i64 = house.value(filled).await;
    // Row by row nothing is deleted meanwhile either.
    for _ in 0..30 {
        assert!(!house.step().await);
        assert_eq!(house.store.prune(1_000).await.unwrap(), 0);
        house.time.advance(HOUR / 12);
        assert_eq!(house.value::<i64>(filled).await, copied, "it is copied once");
    }
    holder.batch_execute("COMMIT").await.unwrap();
    change.make(&house).await;
    house.enqueue(vec![late]).await;
    house.finish().await;
    assert_eq!(house.state(change.ids[3]).await, Some(State::Ready), "what was committed last is there");
    assert_eq!(house.tagged("kept").await.len(), 2_000);
    house.expect_a_clean_house().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_cleared_away_when_it_is_of_no_use_any_more() {
    let house = House::filled(24_000, 12, 900).await;
    house.time.advance(DUE);
    for alter in [
        "ALTER TABLE outcome ADD COLUMN weight integer NOT NULL DEFAULT 1",
        "CREATE INDEX task_by_hand ON task(created_at)",
        "DROP TRIGGER thin ON outcome_20270115",
    ] {
        house.begin_soon().await;
        assert!(house.step().await);
        house.expect_a_content_doctor().await;
        house.sql.batch_execute(alter).await.unwrap();
        // A vacuum may hold the tables.
        while house.is_begun().await {
            assert!(!house.step().await, "{alter}");
            house.time.advance(HOUR / 12);
        }
        house.expect_a_clean_house().await;
        assert!(!house.begin().await, "nobody tries again so soon");
        house.time.advance(HOUR);
    }
    house.begin_soon().await;
    assert!(house.step().await);
    // Nothing is kept any more, so that the day goes as a whole.
    house.sql.execute("UPDATE outcome SET keep_until = 0", &[]).await.unwrap();
    let until = Instant::now() + PATIENCE;
    let drop = "SELECT drop_day($1)";
    while house.sql.query_one(drop, &[&house.env.now().as_millis()]).await.unwrap().get::<_, Option<i64>>(0).is_none() {
        assert!(Instant::now() < until, "it is never dropped");
        house.time.advance(HOUR / 6);
    }
    assert!(!house.step().await);
    assert!(!house.is_begun().await);
    assert_eq!(house.tables().await, ["label_20270115"], "which goes with the next look at labels");
    house.expect_a_content_doctor().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_can_go_as_a_whole_or_of_which_much_is_kept_is_not_copied() {
    let half = House::filled(24_000, 2, 900).await;
    half.time.advance(DUE);
    assert!(!half.begin().await);
    let whole = House::filled(24_000, 100, 900).await;
    whole.time.advance(DUE);
    assert!(!whole.begin().await, "240 can be carried");
    let small = House::filled(2_400, 2, 40).await;
    small.time.advance(DUE);
    assert!(!small.begin().await);
    let early = House::filled(24_000, 12, 900).await;
    early.time.advance(DUE - HOUR);
    assert!(!early.begin().await, "it may be that all of it can go soon");
}

/// A program of the version before finds what is kept, before, in and after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_released_program_works_on_beside_it() {
    let house = House::filled(24_000, 12, 900).await;
    let older = std::env::var("GRISTMILL_TEST_OLDER")
        .unwrap_or_else(|_| panic!("GRISTMILL_TEST_OLDER names no program; run cargo xtask test, which builds one"));
    let url = house.schema.url("");
    let runs = |args: &[&str]| {
        let done = Command::new(&older).args(["--store", &url]).args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let (kept, over) = (id_of(12).to_string(), id_of(13));
    house.time.advance(DUE);
    house.begin_soon().await;
    let mut retried = Vec::new();
    let mut look = || {
        assert!(runs(&["tasks", "show", &kept, "-o", "json"]).contains("succeeded"), "after {} steps", retried.len());
        let id = id_of(24 + 12 * retried.len() as u64);
        runs(&["tasks", "retry", &id.to_string()]);
        retried.push(TaskId::from_uuid(id));
    };
    while house.value::<bool>("SELECT copied IS NOT NULL FROM thin").await {
        look();
        assert!(house.step().await);
    }
    look();
    house.finish().await;
    look();
    for (step, id) in retried.iter().enumerate() {
        assert_eq!(house.state(*id).await, Some(State::Ready), "retried before step {step}");
    }
    assert_eq!(house.state(TaskId::from_uuid(over)).await, None);
    house.expect_a_clean_house().await;
}
