use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gristmill_core::durable::{Checkpoint, Due, Durable as _, Kept, Memory, NewEvent};
use gristmill_core::{Claim, Ending, NewTask, Overrides, Retention, Settlement, Severity, Source, State, Store, TaskId, Wanted};
use gristmill_postgres::PostgresStore;
use uuid::Uuid;

use crate::common::task;
use crate::house::{DAY, House, START};

const ALL: usize = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_made_ahead_and_tasks_lie_in_their_day() {
    let house = House::new().await;
    assert_eq!(
        house.days().await,
        ["outcome", "task"]
            .map(|table| (15..=18).map(move |day| format!("{table}_202701{day}")))
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    );
    let id = house.enqueue(vec![house.task(Retention::default())]).await[0];
    house.run("x").await;
    assert_eq!(house.partition_of("task", id).await.as_deref(), Some("task_20270115"));
    assert_eq!(house.partition_of("outcome", id).await.as_deref(), Some("outcome_20270115"));
    house.pass(2).await;
    assert!(house.days().await.contains(&"task_20270120".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_day_goes_as_a_whole_and_what_is_wanted_of_it_stays() {
    let mut house = House::new().await;
    let for_ever = house.enqueue(vec![house.task(Retention::Forever)]).await[0];
    house.run("kept").await;
    let retried = house.enqueue(vec![house.task(Retention::default())]).await[0];
    house.run("again").await;
    let usual = house.large_day().await;
    let running = house.enqueue(vec![house.task(Retention::default())]).await[0];
    let lease = house.claim().await.pop().unwrap().lease;
    let far = NewTask { run_at: Some(START.saturating_add(30 * DAY)), ..house.task(Retention::default()) };
    let far = house.enqueue(vec![far]).await[0];
    let waiting = house.task(Retention::default());
    let waiting = house.enqueue(vec![NewTask { queue: "unserved".to_owned(), ..waiting }]).await[0];
    house.store.retry(&[retried]).await.unwrap();
    let wanted = [waiting, far, running, retried, for_ever];

    house.pass(6).await;
    assert_eq!(house.state(usual[0]).await, Some(State::Succeeded), "not before its retention is over");
    house.pass(2).await;
    assert!(!house.days().await.iter().any(|name| name.ends_with("20270115")), "{:?}", house.days().await);
    for id in usual {
        assert_eq!(house.state(id).await, None);
    }
    assert_eq!(house.listed().await, wanted, "newest first, as before");
    for id in wanted {
        assert_eq!(house.partition_of("task", id).await.as_deref(), Some("task_rest"));
    }
    let record = house.store.get(for_ever).await.unwrap().unwrap();
    assert_eq!((record.state, record.result.as_deref()), (State::Succeeded, Some("\"kept\"")));
    assert_eq!(house.store.get(retried).await.unwrap().unwrap().attempts.len(), 1, "its history came along");

    house.store.settle(vec![Settlement::new(lease, Ending::Succeeded)]).await.unwrap();
    house.hire().await;
    house.run("late").await;
    assert_eq!((house.state(running).await, house.state(retried).await), (Some(State::Succeeded), Some(State::Succeeded)));
    assert_eq!(house.state(far).await, Some(State::Scheduled));
    house.pass(31).await;
    house.run("late").await;
    assert_eq!((house.state(far).await, house.state(waiting).await), (Some(State::Succeeded), Some(State::Ready)));
    house.pass(8).await;
    assert_eq!(house.listed().await, [waiting, for_ever], "one by one, from the default partitions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_day_is_deleted_row_by_row_before_it_goes() {
    let house = House::new().await;
    let usual = house.enqueue(vec![house.task(Retention::default())]).await[0];
    let month = house.enqueue(vec![house.task(Retention::For(30 * DAY))]).await[0];
    house.run("x").await;
    house.pass(6).await;
    assert!(house.days().await.contains(&"task_20270115".to_owned()), "a row of it is soon to be deleted");
    house.time.advance(DAY);
    assert_eq!(house.store.prune(ALL).await.unwrap(), 1, "each is counted");
    assert_eq!(house.state(usual).await, None);
    house.pass(1).await;
    assert!(!house.days().await.contains(&"task_20270115".to_owned()));
    assert_eq!(house.state(month).await, Some(State::Succeeded));
    house.pass(23).await;
    assert_eq!(house.state(month).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_day_of_which_much_is_wanted_is_deleted_row_by_row_a_day_later() {
    let house = House::new().await;
    let usual = house.large_day().await;
    let many =
        (0..1_001).map(|_| NewTask { queue: "unserved".to_owned(), ..house.task(Retention::default()) }).collect::<Vec<_>>();
    for some in many.chunks(1_000) {
        house.enqueue(some.to_vec()).await;
    }
    house.pass(7).await;
    assert_eq!(house.state(usual[0]).await, Some(State::Succeeded), "it waits for its day to go");
    house.time.advance(DAY + Duration::from_secs(7_200));
    house.keep_house().await;
    assert_eq!(house.state(usual[0]).await, None);
    assert!(house.days().await.contains(&"task_20270115".to_owned()));
    assert_eq!(house.state(many[1_000].id).await, Some(State::Ready));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_slept_for_a_year_wakes_up() {
    let mut house = House::new().await;
    for _ in 0..3 {
        house.large_day().await;
        house.pass(1).await;
    }
    let waiting = house.enqueue(vec![house.task(Retention::default())]).await[0];
    house.time.advance(365 * DAY);
    // Before anybody has swept, there is no partition for today.
    let early = house.enqueue(vec![house.task(Retention::default())]).await[0];
    assert_eq!(house.partition_of("task", early).await.as_deref(), Some("task_rest"));
    house.keep_house().await;
    assert_eq!(house.partition_of("task", early).await.as_deref(), Some("task_20280118"));
    assert_eq!(house.days().await.len(), 8, "today, and three days ahead: {:?}", house.days().await);
    house.hire().await;
    house.run("at last").await;
    assert_eq!((house.state(waiting).await, house.state(early).await), (Some(State::Succeeded), Some(State::Succeeded)));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_of_no_day_are_kept_and_deleted_too() {
    let house = House::new().await;
    let strange = ["00000000-0000-7000-8000-000000000001", "ffffffff-ffff-7fff-bfff-ffffffffffff"];
    let ids = strange.map(|id| TaskId::from_uuid(Uuid::parse_str(id).unwrap()));
    house.enqueue(ids.map(|id| NewTask { id, ..house.task(Retention::default()) }).to_vec()).await;
    house.run("x").await;
    for id in ids {
        assert_eq!(house.partition_of("outcome", id).await.as_deref(), Some("outcome_rest"));
    }
    house.time.advance(7 * DAY);
    assert_eq!(house.store.prune(ALL).await.unwrap(), 2);
    assert_eq!(house.listed().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sweepers_drop_a_day_once() {
    let house = House::new().await;
    let for_ever = house.enqueue(vec![house.task(Retention::Forever)]).await[0];
    house.large_day().await;
    let mut stores = vec![house.store.clone()];
    for _ in 0..3 {
        stores.push(PostgresStore::connect(&house.schema.url(""), house.env.clone()).await.unwrap());
    }
    house.time.advance(9 * DAY);
    let mut sweepers = tokio::task::JoinSet::new();
    for store in stores {
        sweepers.spawn(async move {
            store.sweep(1_000).await.unwrap();
            store.prune(1_000).await.unwrap();
        });
    }
    sweepers.join_all().await;
    // One of them may have met another's lock; the next look finds the day.
    house.time.advance(DAY / 48);
    house.keep_house().await;
    assert_eq!(house.days().await.len(), 8, "{:?}", house.days().await);
    assert_eq!(house.listed().await, [for_ever]);
}

/// Others wait for a lock at most half a second before they fail, and none does.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_long_while_days_are_made_and_dropped() {
    let mut house = House::new().await;
    for _ in 0..4 {
        house.large_day().await;
        house.enqueue((0..500).map(|_| house.task(Retention::Forever)).collect()).await;
        house.run("kept").await;
        house.time.advance(DAY);
        house.store.sweep(10).await.unwrap();
    }
    house.hire().await;
    let busy = PostgresStore::connect(&house.schema.url("&lock_timeout=500ms"), house.env.clone()).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for n in 0..3 {
        let (busy, over, env, worker) = (busy.clone(), over.clone(), house.env.clone(), house.worker);
        load.spawn(async move {
            let mut ran = 0;
            while !over.load(Ordering::Relaxed) {
                let over = Overrides {
                    retention: Some(if n == 0 { Retention::None } else { Retention::default() }),
                    ..Overrides::default()
                };
                let new: Vec<_> = (0..20).map(|_| task(&env, "mail", over.clone())).collect();
                busy.enqueue(new).await.unwrap();
                let wanted = vec![Wanted::new("default", 20)];
                let claim = Claim { worker, fence: env.fence(), wanted, again: false };
                let claimed = busy.claim(&claim).await.unwrap();
                ran += claimed.len();
                busy.settle(claimed.iter().map(|task| Settlement::new(task.lease, Ending::Succeeded)).collect()).await.unwrap();
            }
            ran
        });
    }
    // Whoever can't have the locks at once leaves them to the others and comes again.
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while house.days().await.iter().any(|name| name < &"task_20270119".to_owned() && name.starts_with("task")) {
        assert!(std::time::Instant::now() < deadline, "the days are never dropped: {:?}", house.days().await);
        house.pass(1).await;
    }
    over.store(true, Ordering::Relaxed);
    assert!(load.join_all().await.iter().sum::<usize>() > 0);
    let strays = house.sql.query_one("SELECT count(*) FROM outcome_rest WHERE keep_until = 9223372036854775807", &[]).await;
    assert_eq!(strays.unwrap().get::<_, i64>(0), 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_counts_what_days_take_of_the_room_for_locks() {
    let house = House::new().await;
    let finding = async || house.store.check().await.unwrap().into_iter().find(|finding| finding.code == "locks").unwrap();
    let count = |message: &str| message.split(' ').filter_map(|word| word.parse::<u64>().ok()).collect::<Vec<_>>();
    let before = finding().await;
    let [days, relations, room] = count(&before.message)[..] else { panic!("{before:?}") };
    assert!(days == 4 && relations > 4 * days && room > relations, "{before:?}");
    let today = START.as_millis() / 86_400_000;
    for day in today - 20..today - 10 {
        house.sql.execute("SELECT make_day($1)", &[&day]).await.unwrap();
    }
    let after = finding().await;
    let grown = count(&after.message);
    assert_eq!(grown[0], 14, "{after:?}");
    assert!(
        (grown[1] - relations).is_multiple_of(10) && (grown[1] - relations) / 10 >= 6,
        "each day has as many: {before:?} {after:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_statement_locks_does_not_grow_with_the_days_that_are_kept() {
    let house = House::new().await;
    let today = START.as_millis() / 86_400_000;
    for day in today - 50..today {
        house.sql.execute("SELECT make_day($1)", &[&day]).await.unwrap();
    }
    // From then on a store knows of them.
    let name = house.schema.0.clone();
    let store = PostgresStore::connect(&house.schema.url(&format!("&application_name={name}")), house.env.clone()).await.unwrap();
    let ids = house.enqueue((0..30).map(|_| house.task(Retention::default())).collect()).await;
    // A claim ends by a row of `lease` that somebody else is about to write, and waits for him: then it has all its locks.
    let holder = crate::common::client().await;
    let wanted = vec![Wanted::new("default", 30)];
    let claim = Claim { worker: house.worker, fence: house.env.fence(), wanted, again: false };
    holder.batch_execute(&format!("BEGIN; SET search_path = {name}")).await.unwrap();
    let hold = "INSERT INTO lease(id, fence, seq, worker, retention, claimed_at, queue, attempt, claim_no, crashes, started) \
                VALUES ($1, $1, 0, 0, 0, 0, 0, 0, 0, 0, false)";
    holder.execute(hold, &[&ids[7].as_uuid()]).await.unwrap();
    let claimed = tokio::spawn({
        let store = store.clone();
        async move { store.claim(&claim).await.unwrap() }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'";
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while house.sql.query_one(waits, &[&name]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(std::time::Instant::now() < until && !claimed.is_finished(), "the claim waits for nobody");
    }
    let locks = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = $1";
    let held: i64 = house.sql.query_one(locks, &[&name]).await.unwrap().get(0);
    holder.batch_execute("ROLLBACK").await.unwrap();
    let claimed = claimed.await.unwrap();
    assert_eq!(claimed.iter().map(|task| task.lease.id).collect::<Vec<_>>(), ids, "in their order");
    assert!(held <= 40, "a claim locks {held} tables and indexes");
    let mut looks = Box::pin(async {
        for _ in 0..50 {
            assert!(store.get(ids[3]).await.unwrap().is_some());
            let states = gristmill_core::Schedules::task_states(&*store, &ids).await.unwrap();
            assert_eq!(states, vec![Some(State::Running); 30]);
        }
    });
    let look = async || house.sql.query_one(locks, &[&name]).await.unwrap().get::<_, i64>(0);
    let mut most = 0;
    loop {
        tokio::select! {
            biased;
            () = &mut looks => break,
            count = look() => most = most.max(count),
        }
    }
    assert!(most <= 80, "looks at tasks lock {most} tables and indexes");
    let again: Vec<_> = ids.iter().map(|id| NewTask { id: *id, ..house.task(Retention::default()) }).collect();
    for outcome in store.enqueue(again).await.unwrap() {
        assert!(matches!(outcome, gristmill_core::EnqueueOutcome::Exists(_)), "{outcome:?}");
    }
    store.settle(claimed.iter().map(|task| Settlement::new(task.lease, Ending::Succeeded)).collect()).await.unwrap();
    assert_eq!(house.listed().await.len(), 30);
}

/// What each sort of work of a worker locks until it is committed. By the sixth time a statement may be planned for any values, which would
/// lock all days.
#[tokio::test(flavor = "multi_thread")]
async fn no_work_of_a_worker_locks_all_days() {
    let mut house = House::new().await;
    let today = START.as_millis() / 86_400_000;
    for day in today - 50..today {
        house.sql.execute("SELECT make_day($1)", &[&day]).await.unwrap();
    }
    let schema = &house.schema.0;
    let count_at_commit = format!(
        "CREATE TABLE seen(held bigint, what text);
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO {schema}.seen SELECT count(*), string_agg(coalesce(c.relname, locktype), ' ' ORDER BY c.relname) FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation WHERE pid = pg_backend_pid();
           RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON lease DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
         CREATE CONSTRAINT TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON ready DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see()"
    );
    house.sql.batch_execute(&count_at_commit).await.unwrap();
    house.store = PostgresStore::connect(&house.schema.url(""), house.env.clone()).await.unwrap();
    let (store, sql) = (house.store.clone(), crate::common::client().await);
    sql.batch_execute(&format!("SET search_path = {}", house.schema.0)).await.unwrap();
    let seen = async |what: &str, most: i64| {
        let row = sql
            .query_opt(
                "WITH seen AS (DELETE FROM seen RETURNING held, what) SELECT held, what FROM seen ORDER BY held DESC LIMIT 1",
                &[],
            )
            .await
            .unwrap();
        let row = row.unwrap_or_else(|| panic!("{what}: nothing was done"));
        let (held, locked): (i64, &str) = (row.get(0), row.get(1));
        assert!(held <= most, "{what} locks {held} tables and indexes: {locked}");
    };
    for round in 0..8 {
        let mut leases = Vec::new();
        for retention in [Retention::default(); 3].into_iter().chain([Retention::None; 3]) {
            house.enqueue(vec![house.task(retention)]).await;
            leases.extend(house.claim().await.into_iter().map(|claimed| claimed.lease));
            seen("a claim", 40).await;
        }
        let note = gristmill_core::Note { lease: leases[4], logs: Some("so far".to_owned()), progress: None };
        assert_eq!(store.note(vec![note]).await.unwrap(), [true]);
        seen("a note", 40).await;
        let endings =
            [Ending::Succeeded, Ending::Failed, Ending::Retry { delay: Duration::ZERO }, Ending::Succeeded, Ending::Succeeded];
        for (lease, ending) in leases.iter().zip(endings) {
            store.settle(vec![Settlement::new(*lease, ending)]).await.unwrap();
            seen(&format!("a settlement, {ending:?}, the {round}. time"), 40).await;
        }
        let in_transaction = "SELECT settle_succeeded($1, $2, 0, null, null, null, null)";
        sql.query(in_transaction, &[&leases[5].id.as_uuid(), &leases[5].fence.as_uuid()]).await.unwrap();
        seen("a settlement in a transaction", 40).await;
        for forgotten in &leases[3..] {
            assert_eq!(house.state(forgotten.id).await, None);
        }
        store.retry(&[leases[1].id]).await.unwrap();
        seen("a retry of an ended task", 40).await;
        let again = house.claim().await;
        assert_eq!(again.len(), 2);
        store.cancel(&[again[0].lease.id]).await.unwrap();
        seen("a request to cancel", 40).await;
        store.release(&[again[0].lease.id, again[1].lease.id]).await.unwrap();
        // With a look at where they stand then, all in one transaction.
        seen("a release", 80).await;
        assert_eq!(house.claim().await.len(), 1);
        let claim = Claim { worker: house.worker, fence: again[0].lease.fence, wanted: Vec::new(), again: true };
        store.claim(&claim).await.unwrap();
        store.leave(house.worker).await.unwrap();
        seen("a worker that leaves", 40).await;
        house.hire().await;
        let cancelled = house.enqueue(vec![house.task(Retention::default())]).await[0];
        store.cancel(&[cancelled]).await.unwrap();
        seen("a cancellation", 40).await;
        let late = NewTask { expires: Some(Duration::from_secs(1)), ..house.task(Retention::default()) };
        house.enqueue(vec![late]).await;
        house.time.advance(Duration::from_secs(2));
        sql.execute("DELETE FROM seen", &[]).await.unwrap();
        assert_eq!(store.sweep(100).await.unwrap().expired, 1);
        seen("an expiry of whatever waits anywhere", 62).await;
        assert_eq!(house.claim().await.len(), 1);
        sql.execute("UPDATE worker SET lost = true WHERE id = $1", &[&house.worker.as_uuid()]).await.unwrap();
        sql.execute("DELETE FROM seen", &[]).await.unwrap();
        assert_eq!(store.sweep(100).await.unwrap().rescued, 1);
        seen("a rescue", 40).await;
        house.hire().await;
        house.run("done").await;
        house.enqueue(vec![NewTask { expires: Some(DAY), ..house.task(Retention::default()) }]).await;
        let lease = house.claim().await.remove(0).lease;
        let kept = Kept::Event { name: round.to_string(), until: None };
        let memories = vec![Memory { position: 0, name: "event".to_owned(), occurrence: 0, kept }];
        sql.execute("DELETE FROM seen", &[]).await.unwrap();
        store.checkpoint(Checkpoint { memories, suspend: Some(Due::Never), ..Checkpoint::new(lease) }).await.unwrap();
        seen("an attempt that ends to wait", 60).await;
        store.send_event(NewEvent::new(round.to_string(), "1").unwrap()).await.unwrap();
        seen("an event that is told", 60).await;
        house.run("done").await;
        sql.execute("DELETE FROM seen", &[]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_warns_before_the_numbers_of_names_run_out() {
    let house = House::new().await;
    let finding = async || house.store.check().await.unwrap().into_iter().find(|finding| finding.code == "names").unwrap();
    assert_eq!(finding().await.severity, Severity::Ok);
    house.sql.execute("SELECT setval('queue_id_seq', 1800000000)", &[]).await.unwrap();
    let told = finding().await;
    assert_eq!(told.severity, Severity::Warning);
    assert!(told.message.starts_with("1800000000 of 2147483647 numbers are used up in the table queue"), "{told:?}");
}

/// From when a priority was not checked: it is brought into its bounds by the step that makes `day_look`, or by a retry.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_priorities_that_nobody_looks_for_are_run() {
    let house = House::new().await;
    let ended = house.enqueue(vec![house.task(Retention::default())]).await[0];
    house.run("once").await;
    let waiting = house.enqueue((0..3).map(|_| house.task(Retention::default())).collect()).await;
    let later = NewTask { run_at: Some(START.saturating_add(DAY)), ..house.task(Retention::default()) };
    let later = house.enqueue(vec![later]).await[0];
    house
        .sql
        .batch_execute(
            "UPDATE task SET priority = -7; UPDATE ready SET priority = -7; UPDATE scheduled SET priority = 100; \
             UPDATE task SET priority = 100 WHERE id IN (SELECT id FROM scheduled); \
             DROP TABLE day_look; DELETE FROM addition WHERE name IN ('days', 'spared')",
        )
        .await
        .unwrap();
    assert!(house.claim().await.is_empty(), "nobody looks for them");
    gristmill_postgres::migrate(&house.schema.url("")).await.unwrap();
    let claimed: Vec<_> = house.claim().await.iter().map(|task| task.lease.id).collect();
    assert_eq!(claimed, waiting);
    house.store.retry(&[ended]).await.unwrap();
    assert_eq!(house.state(ended).await, Some(State::Ready));
    assert_eq!(house.claim().await.iter().map(|task| task.lease.id).collect::<Vec<_>>(), [ended]);
    house.time.advance(DAY);
    house.store.sweep(10).await.unwrap();
    assert_eq!(house.claim().await.iter().map(|task| task.lease.id).collect::<Vec<_>>(), [later]);
}

/// A day is not asked about again and again while hardly anything of it can go.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_kept_is_asked_about_once_and_goes_when_it_can() {
    let house = House::new().await;
    house.large_day().await;
    for count in [1_000, 1] {
        house.enqueue((0..count).map(|_| house.task(Retention::For(30 * DAY))).collect()).await;
    }
    house.run("kept").await;
    let drop_at = async || {
        let row = house.sql.query_opt("SELECT drop_at FROM day_look WHERE day = $1", &[&(START.as_millis() / 86_400_000)]).await;
        row.unwrap().map(|row| row.get::<_, i64>(0))
    };
    house.pass(9).await;
    let told = drop_at().await.expect("it is not asked about before a day has passed");
    assert_eq!(told, (START.saturating_add(10 * DAY)).as_millis());
    house.pass(22).await;
    assert_eq!(drop_at().await, None);
    assert!(!house.days().await.contains(&"task_20270115".to_owned()), "{:?}", house.days().await);
    assert_eq!(house.listed().await, []);
}

/// Each look holds up everybody for a moment, in vain: a hundred processes are not to take turns at it.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_have_the_tables_spares_the_others_the_try() {
    let house = House::new().await;
    house.large_day().await;
    let holder = crate::common::client().await;
    holder.batch_execute(&format!("BEGIN; LOCK TABLE {}.task IN ROW EXCLUSIVE MODE", house.schema.0)).await.unwrap();
    let (today, week) = (START.as_millis() / 86_400_000, START.saturating_add(9 * DAY).as_millis());
    let drop_day = async |now: i64| house.sql.query_one("SELECT drop_day($1)", &[&now]).await.unwrap().get::<_, Option<i64>>(0);
    let other = PostgresStore::connect(&house.schema.url(""), house.env.clone()).await.unwrap();
    assert_eq!(drop_day(week).await, None);
    house.time.advance(DAY);
    house.store.sweep(10).await.unwrap();
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(drop_day(week + 599_999).await, None, "nobody tries again so soon");
    assert_eq!(drop_day(week + 600_000).await, Some(today));
    let tomorrow = "task_20270119".to_owned();
    other.sweep(10).await.unwrap();
    assert!(!house.days().await.contains(&tomorrow), "nobody tries again so soon");
    house.time.advance(Duration::from_secs(300));
    other.sweep(10).await.unwrap();
    assert!(house.days().await.contains(&tomorrow), "{:?}", house.days().await);
}

/// What a process put off while its clock was years ahead is not left alone until then.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_wrong_clock_put_off_is_done_by_the_right_one() {
    let house = House::new().await;
    house.large_day().await;
    let ahead = START.saturating_add(1_000 * DAY).as_millis();
    let put_off = "INSERT INTO day_look(day, drop_at, prune_at, make_at) SELECT day, $1, $1, $1 FROM days() AS d(day)
                   ON CONFLICT (day) DO UPDATE SET drop_at = $1, prune_at = $1, make_at = $1";
    house.sql.execute(put_off, &[&ahead]).await.unwrap();
    house.time.advance(DAY);
    house.store.sweep(10).await.unwrap();
    assert!(house.days().await.contains(&"task_20270119".to_owned()), "{:?}", house.days().await);
    let (today, week) = (START.as_millis() / 86_400_000, START.saturating_add(9 * DAY).as_millis());
    let dropped = house.sql.query_one("SELECT drop_day($1)", &[&week]).await.unwrap().get::<_, Option<i64>>(0);
    assert_eq!(dropped, Some(today));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_misses_the_partitions_of_tomorrow() {
    let house = House::new().await;
    let finding = async || house.store.check().await.unwrap().into_iter().find(|finding| finding.code == "days").unwrap();
    assert_eq!(finding().await.severity, Severity::Ok, "{:?}", finding().await);
    house.time.advance(3 * DAY);
    assert_eq!(finding().await.severity, Severity::Warning);
    house.store.sweep(10).await.unwrap();
    assert_eq!(finding().await.severity, Severity::Ok, "{:?}", finding().await);
}
