//! The statements, one a file under `queries/`, each headed by the index that it relies on.

macro_rules! statements {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(crate) const $name: &str = include_str!(concat!("../queries/", $file, ".sql"));)*

        /// All of them by file name, for the test of their plans.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$(($file, $name)),*];
    };
}

statements! {
    ADDITION_CREATE = "addition_create",
    ADDITION_INSERT = "addition_insert",
    ADDITION_LIST = "addition_list",
    ASIDE_COUNT = "aside_count",
    ASIDE_INSERT = "aside_insert",
    BEAT_LEAD = "beat_lead",
    BEAT_RESIGN = "beat_resign",
    BEAT_TERM = "beat_term",
    BLOCKED_ANY = "blocked_any",
    BLOCKED_COUNT = "blocked_count",
    BLOCKED_DELETE = "blocked_delete",
    BLOCKED_GET = "blocked_get",
    BLOCKED_INSERT = "blocked_insert",
    CHECK_AHEAD = "check_ahead",
    CHECK_DUE = "check_due",
    CHECK_ENDED_LEASES = "check_ended_leases",
    CHECK_LOST_LEASES = "check_lost_leases",
    CHECK_MEMORY = "check_memory",
    CHECK_ORPHAN_LEASES = "check_orphan_leases",
    CHECK_ORPHAN_STEPS = "check_orphan_steps",
    CHECK_OVERLAP = "check_overlap",
    CHECK_OWED = "check_owed",
    CHECK_SCHEMA = "check_schema",
    CHECK_STILL = "check_still",
    CHECK_TEXT = "check_text",
    DEBOUNCE_EXPIRY = "debounce_expiry",
    DEBOUNCE_SCHEDULED = "debounce_scheduled",
    DEBOUNCE_TASK = "debounce_task",
    EVENT_INSERT = "event_insert",
    EVENT_LIST = "event_list",
    EVENT_NAMED = "event_named",
    EVENT_OVER = "event_over",
    EVENT_PAYLOAD = "event_payload",
    EVENT_PRUNE = "event_prune",
    EVENT_THERE = "event_there",
    EVENT_TOLD = "event_told",
    EVENT_UNTOLD = "event_untold",
    EXPIRY_DELETE = "expiry_delete",
    EXPIRY_DUE = "expiry_due",
    EXPIRY_INSERT = "expiry_insert",
    IDS_BETWEEN = "ids_between",
    KEY_AWAY = "key_away",
    KEY_DECLARE = "key_declare",
    KEY_DELETE = "key_delete",
    KEY_DUE = "key_due",
    KEY_GET = "key_get",
    KEY_IDLE = "key_idle",
    KEY_INFO = "key_info",
    KEY_LIST = "key_list",
    KEY_LOOK = "key_look",
    KEY_NEXT = "key_next",
    KEY_SENDS = "key_sends",
    KEY_SET = "key_set",
    KEY_SPEND = "key_spend",
    KEY_TOOK_TURN = "key_took_turn",
    KEY_TURN = "key_turn",
    KIND_ADD = "kind_add",
    KIND_DECLARE = "kind_declare",
    KIND_FIND = "kind_find",
    KIND_LIST = "kind_list",
    KIND_NAME = "kind_name",
    KIND_NAMES = "kind_names",
    KIND_PAUSE = "kind_pause",
    KIND_PAUSED = "kind_paused",
    LABEL_DELETE = "label_delete",
    LABEL_DONE = "label_done",
    LABEL_HAS = "label_has",
    LABEL_INSERT = "label_insert",
    LABEL_LACKING = "label_lacking",
    LABEL_LACKS = "label_lacks",
    LEASE_ANY = "lease_any",
    LEASE_CANCEL = "lease_cancel",
    LEASE_CANCELLED = "lease_cancelled",
    LEASE_GET = "lease_get",
    LEASE_GIVEN = "lease_given",
    LEASE_HELD = "lease_held",
    LEASE_INSERT = "lease_insert",
    LEASE_LOST = "lease_lost",
    LEASE_MARK = "lease_mark",
    LEASE_NOTE = "lease_note",
    LEASE_OF_WORKER = "lease_of_worker",
    LEASE_START = "lease_start",
    LEASE_TAKE = "lease_take",
    LIST_BLOCKED = "list_blocked",
    LIST_ENDED = "list_ended",
    LIST_ID = "list_id",
    LIST_LABELLED = "list_labelled",
    LIST_LEASED = "list_leased",
    LIST_PARKED = "list_parked",
    LIST_PARKED_MOVED = "list_parked_moved",
    LIST_PARKED_PLACES = "list_parked_places",
    LIST_PLACE = "list_place",
    LIST_QUEUE_PRIORITIES = "list_queue_priorities",
    LIST_RAREST = "list_rarest",
    LIST_READY = "list_ready",
    LIST_READY_MOVED = "list_ready_moved",
    LIST_SAYS = "list_says",
    LIST_SCHEDULED = "list_scheduled",
    LIST_SINCE = "list_since",
    LIST_SUCCEEDED = "list_succeeded",
    LIST_TASKS = "list_tasks",
    LIST_UNLABELLED = "list_unlabelled",
    LIST_WAITING = "list_waiting",
    LIVE_DELETE = "live_delete",
    LIVE_GET = "live_get",
    LIVE_SET = "live_set",
    LOCK_COUNT = "lock_count",
    LOCK_HOLDER = "lock_holder",
    LOCK_LIST = "lock_list",
    LOCK_OF = "lock_of",
    LOCK_PRUNE = "lock_prune",
    LOCK_RELEASE = "lock_release",
    LOCK_TAKE = "lock_take",
    MEMBER_BLOCKED = "member_blocked",
    MEMBER_KEPT = "member_kept",
    MEMBER_LIST = "member_list",
    MEMBER_OF = "member_of",
    MEMBER_PAGE = "member_page",
    MEMBER_WAITS = "member_waits",
    MEMBER_WANTED = "member_wanted",
    MEMORY_ANY = "memory_any",
    MEMORY_AT = "memory_at",
    MEMORY_AWAITING = "memory_awaiting",
    MEMORY_CAME = "memory_came",
    MEMORY_CHILDREN = "memory_children",
    MEMORY_DELETE = "memory_delete",
    MEMORY_DROP = "memory_drop",
    MEMORY_FORGET = "memory_forget",
    MEMORY_LEFT = "memory_left",
    MEMORY_LIST = "memory_list",
    MEMORY_NEXT = "memory_next",
    MEMORY_PUT = "memory_put",
    MEMORY_REMOVE = "memory_remove",
    MEMORY_RETRY = "memory_retry",
    MEMORY_SAME = "memory_same",
    MEMORY_STANDS = "memory_stands",
    MEMORY_STARTER = "memory_starter",
    MEMORY_SUSPEND = "memory_suspend",
    MEMORY_TOLD = "memory_told",
    MEMORY_UNDROP = "memory_undrop",
    MEMORY_WAITS = "memory_waits",
    MIGRATION_CREATE = "migration_create",
    MIGRATION_INSERT = "migration_insert",
    MIGRATION_LIST = "migration_list",
    MIGRATION_TABLES = "migration_tables",
    MOVED_DELETE = "moved_delete",
    MOVED_INSERT = "moved_insert",
    MOVED_OLDEST = "moved_oldest",
    OUTCOME_DELETE = "outcome_delete",
    OUTCOME_ERROR = "outcome_error",
    OUTCOME_FINAL = "outcome_final",
    OUTCOME_HISTORY = "outcome_history",
    OUTCOME_INSERT = "outcome_insert",
    OUTCOME_KEEP = "outcome_keep",
    OUTCOME_OVER = "outcome_over",
    OUTCOME_OVER_UNHELD = "outcome_over_unheld",
    OUTCOME_OWED = "outcome_owed",
    OUTCOME_REOPEN = "outcome_reopen",
    OUTCOME_RESULT = "outcome_result",
    OUTCOME_TOLD = "outcome_told",
    OUTCOME_WORKER = "outcome_worker",
    PARKED_AGES = "parked_ages",
    PARKED_COUNT = "parked_count",
    PARKED_DELETE = "parked_delete",
    PARKED_GET = "parked_get",
    PARKED_INSERT = "parked_insert",
    PARKED_LAST = "parked_last",
    PARKED_NEXT = "parked_next",
    PARKED_SCAN = "parked_scan",
    PARKED_TURNS = "parked_turns",
    QUEUE_ADD = "queue_add",
    QUEUE_FIND = "queue_find",
    QUEUE_LIST = "queue_list",
    QUEUE_NAME = "queue_name",
    QUEUE_PAUSE = "queue_pause",
    QUEUE_PAUSED = "queue_paused",
    RATE_SOON = "rate_soon",
    READY_AGES = "ready_ages",
    READY_DELETE = "ready_delete",
    READY_GET = "ready_get",
    READY_INSERT = "ready_insert",
    READY_INSERT_FLAGGED = "ready_insert_flagged",
    READY_KINDS = "ready_kinds",
    READY_LAST = "ready_last",
    READY_OLDEST = "ready_oldest",
    READY_SCAN = "ready_scan",
    READY_TURNS = "ready_turns",
    REVISION_NEXT = "revision_next",
    SCHEDULED_ANY = "scheduled_any",
    SCHEDULED_COUNT = "scheduled_count",
    SCHEDULED_DELETE = "scheduled_delete",
    SCHEDULED_DUE = "scheduled_due",
    SCHEDULED_GET = "scheduled_get",
    SCHEDULED_INSERT = "scheduled_insert",
    SCHEDULED_NEXT = "scheduled_next",
    SCHEDULE_ADVANCE = "schedule_advance",
    SCHEDULE_DELETE = "schedule_delete",
    SCHEDULE_DUE = "schedule_due",
    SCHEDULE_GET = "schedule_get",
    SCHEDULE_NEXT = "schedule_next",
    SCHEDULE_OWNED = "schedule_owned",
    SCHEDULE_PAGE = "schedule_page",
    SCHEDULE_PUT = "schedule_put",
    SCHEDULE_UNCHANGED = "schedule_unchanged",
    SCHEMA_TABLES = "schema_tables",
    SLOT_ASKED = "slot_asked",
    SLOT_BEGUN = "slot_begun",
    SLOT_DELETE = "slot_delete",
    SLOT_HOLDERS = "slot_holders",
    SLOT_INSERT = "slot_insert",
    SLOT_KEYS = "slot_keys",
    SLOT_RELEASE = "slot_release",
    SLOT_SPEND = "slot_spend",
    SLOT_UNCLAIMED = "slot_unclaimed",
    SLOT_WALK = "slot_walk",
    STANDBY_BEFORE = "standby_before",
    STANDBY_DELETE = "standby_delete",
    STANDBY_FIRST = "standby_first",
    STANDBY_IDLE = "standby_idle",
    STANDBY_IDS = "standby_ids",
    STANDBY_INSERT = "standby_insert",
    STANDBY_LACKING = "standby_lacking",
    STANDBY_NEEDS = "standby_needs",
    STANDBY_OF = "standby_of",
    STANDBY_SEND = "standby_send",
    STEP_CHORES = "step_chores",
    STEP_COUNT = "step_count",
    STEP_DELETE = "step_delete",
    STEP_INSERT = "step_insert",
    STEP_KEPT = "step_kept",
    STEP_LIST = "step_list",
    STEP_NAMED = "step_named",
    STEP_PUT = "step_put",
    STEP_RETRIED = "step_retried",
    STEP_ROWS = "step_rows",
    STEP_TOLERATE = "step_tolerate",
    STEP_UNDONE = "step_undone",
    TASK_AGE = "task_age",
    TASK_BODY = "task_body",
    TASK_CREATED = "task_created",
    TASK_DELETE = "task_delete",
    TASK_DUE = "task_due",
    TASK_FACTS = "task_facts",
    TASK_FIND = "task_find",
    TASK_INSERT = "task_insert",
    TASK_INSERT_MEMBER = "task_insert_member",
    TASK_META = "task_meta",
    TASK_OPEN = "task_open",
    TASK_PLACE = "task_place",
    TASK_RECORD = "task_record",
    TASK_REQUEUE = "task_requeue",
    TASK_SAME = "task_same",
    TASK_UNEXPIRE = "task_unexpire",
    TICK_INSERT = "tick_insert",
    TICK_KNOWN = "tick_known",
    TICK_PAGE = "tick_page",
    TICK_PRUNE = "tick_prune",
    TOUCHED_INSERT = "touched_insert",
    TOUCHED_TAKE = "touched_take",
    UNIQUE_DELETE = "unique_delete",
    UNIQUE_MERGE = "unique_merge",
    UNIQUE_HOLDER = "unique_holder",
    UNIQUE_TAKE = "unique_take",
    UNIQUE_WALK = "unique_walk",
    WAITER_LIST = "waiter_list",
    WAITER_OF = "waiter_of",
    WAITING_ANY = "waiting_any",
    WAITING_BEGUN = "waiting_begun",
    WAITING_COUNT = "waiting_count",
    WAITING_DELETE = "waiting_delete",
    WAITING_GET = "waiting_get",
    WAITING_INSERT = "waiting_insert",
    WORKER_BEAT = "worker_beat",
    WORKER_DELETE = "worker_delete",
    WORKER_DRAIN = "worker_drain",
    WORKER_ENTER = "worker_enter",
    WORKER_EPOCH = "worker_epoch",
    WORKER_GET = "worker_get",
    WORKER_HELD = "worker_held",
    WORKER_LIST = "worker_list",
    WORKER_LOOK = "worker_look",
    WORKER_LOSE = "worker_lose",
    WORKER_NAME = "worker_name",
    WORKER_PRUNE = "worker_prune",
    WORKER_SERVES = "worker_serves",
    WORKFLOW_AGAIN = "workflow_again",
    WORKFLOW_DEADLINE_NEXT = "workflow_deadline_next",
    WORKFLOW_DELETE = "workflow_delete",
    WORKFLOW_END_LATE = "workflow_end_late",
    WORKFLOW_GET = "workflow_get",
    WORKFLOW_GOES_ON = "workflow_goes_on",
    WORKFLOW_HOLDER = "workflow_holder",
    WORKFLOW_INSERT = "workflow_insert",
    WORKFLOW_LIST = "workflow_list",
    WORKFLOW_LIST_ENDED = "workflow_list_ended",
    WORKFLOW_LIST_KEYED = "workflow_list_keyed",
    WORKFLOW_LIST_NAMED = "workflow_list_named",
    WORKFLOW_LOOK_LATER = "workflow_look_later",
    WORKFLOW_OVER = "workflow_over",
    WORKFLOW_OVERDUE = "workflow_overdue",
    WORKFLOW_PUT = "workflow_put",
    WORKFLOW_QUIET = "workflow_quiet",
    WORKFLOW_RECORD = "workflow_record",
    WORKFLOW_RIVAL = "workflow_rival",
    WORKFLOW_WANTED = "workflow_wanted",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SqliteOptions;
    use crate::{migrate, open};

    /// Tables that stay small, whatever the backlog and the history; only these may be read from end to end. In joins,
    /// `k` is kind, `l` lease and `w` worker; `half` is a row for each halving.
    const SMALL: [&str; 13] = [
        "queue",
        "kind",
        "k",
        "worker",
        "w",
        "lease",
        "l",
        "aside",
        "migration",
        "addition",
        "half",
        "sqlite_schema",
        "CONSTANT",
    ];

    /// Bounded by their LIMIT, in whatever order; or asked for by a person, and only of a small file.
    const BOUNDED: [&str; 22] = [
        "key_idle",
        "key_list",
        "moved_oldest",
        "check_ahead",
        "check_memory",
        "check_orphan_steps",
        "check_overlap",
        "check_still",
        "check_owed",
        "check_text",
        "event_untold",
        "label_lacking",
        "label_lacks",
        "memory_any",
        "outcome_owed",
        "slot_walk",
        "standby_idle",
        "standby_lacking",
        "step_chores",
        "step_retried",
        "step_undone",
        "touched_take",
    ];

    #[test]
    fn no_statement_reads_through_a_table_that_grows() {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(dir.path().join("a.db"));
        let mut conn = open::writer(&options).unwrap();
        migrate::apply(&mut conn, &options, gristmill_core::Timestamp::MIN).unwrap();
        for (file, sql) in ALL {
            let index = sql.lines().next().unwrap().strip_prefix("-- Index: ").unwrap_or_else(|| panic!("{file} names no index"));
            let plan = plan(&conn, sql);
            for line in plan.iter().filter(|line| line.starts_with("SCAN ")) {
                let table = line.split(' ').nth(1).unwrap_or_default();
                let small = SMALL.contains(&table.trim_start_matches("gristmill_")) || table.starts_with("(subquery");
                assert!(small || BOUNDED.contains(file), "{file} reads all of {table}: {plan:?}");
            }
            // Where the header names an index and not a key, that one is used.
            for named in index.split([' ', ',', ';', '.', ':']).filter(|word| word.starts_with("gristmill_")) {
                assert!(plan.iter().any(|line| line.contains(named)), "{file} does not use {named}: {plan:?}");
            }
            let ordered = !plan.iter().any(|line| line.contains("TEMP B-TREE FOR ORDER BY"));
            assert!(!index.contains("in its order") || ordered, "{file} sorts: {plan:?}");
        }
    }

    /// Row values of fewer columns than the key has are compared row by row from the last place on, which no plan shows.
    #[test]
    fn a_step_to_the_next_line_reads_none_of_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(dir.path().join("a.db"));
        let mut conn = open::writer(&options).unwrap();
        migrate::apply(&mut conn, &options, gristmill_core::Timestamp::MIN).unwrap();
        for table in ["ready", "parked"] {
            let fill = format!(
                "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)
                 INSERT INTO gristmill_{table}(queue, kind, priority, seq, attempt, claim_no, crashes)
                   SELECT q.column1, 2, 5, n, 0, 0, 0 FROM n, (VALUES (1), (2)) q"
            );
            conn.execute_batch(&fill).unwrap();
        }
        for (sql, last) in [(PARKED_NEXT, &[1, 2][..]), (LIST_PARKED_PLACES, &[1, 2, 5]), (LIST_QUEUE_PRIORITIES, &[1, 5])] {
            let mut next = conn.prepare(sql).unwrap();
            let queue: i64 = next.query_row(rusqlite::params_from_iter(last), |row| row.get(0)).unwrap();
            let steps = next.get_status(rusqlite::StatementStatus::VmStep);
            assert!(queue == 2 && steps < 200, "{steps} steps to {queue}: {sql}");
        }
    }

    /// Nor do the others cost anything: those that remember something, events that were told, and waits of tasks that go on.
    #[test]
    fn what_one_task_remembers_is_read_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(dir.path().join("a.db"));
        let mut conn = open::writer(&options).unwrap();
        migrate::apply(&mut conn, &options, gristmill_core::Timestamp::MIN).unwrap();
        let fill = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
            INSERT INTO gristmill_memory(task, position, name, occurrence, code, text)
              SELECT t.column1, n, 'a', n, 0, '1' FROM n, (VALUES (x'00'), (x'01'), (x'02'), (x'03'), (x'04')) t;
            INSERT INTO gristmill_event(name, sent_at, keep_until, untold, payload)
              SELECT 'e' || position, 0, 9, 0, '1' FROM gristmill_memory WHERE task = x'00'";
        conn.execute_batch(fill).unwrap();
        let steps = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
            let mut statement = conn.prepare(sql).unwrap();
            let rows = statement.query_map(params, |_| Ok(())).unwrap().count();
            (rows, statement.get_status(rusqlite::StatementStatus::VmStep))
        };
        let (rows, read) = steps(MEMORY_LIST, &[&[2_u8].as_slice()]);
        assert!(rows == 1_000 && read < 12_000, "{read} steps to {rows}");
        let nothing: [(&str, &[&dyn rusqlite::ToSql]); 5] = [
            (EVENT_UNTOLD, &[]),
            (EVENT_PRUNE, &[&1, &100]),
            (MEMORY_TOLD, &[&"event:e", &0, &100]),
            (MEMORY_LEFT, &[&[].as_slice(), &0, &1_000]),
            (MEMORY_WAITS, &[&"event:", &[].as_slice(), &0, &"event;", &0, &1_000]),
        ];
        for (sql, params) in nothing {
            let (rows, read) = steps(sql, params);
            assert!(rows == 0 && read < 100, "{read} steps to {rows}: {sql}");
        }
        let (rows, read) = steps(MEMORY_NEXT, &[&[1_u8].as_slice()]);
        assert!(rows == 1 && read < 50, "{read} steps to {rows}");
    }

    fn plan(conn: &rusqlite::Connection, sql: &str) -> Vec<String> {
        let body: String = sql.lines().skip(1).collect::<Vec<_>>().join("\n");
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {body}")).unwrap();
        let count = explain.parameter_count();
        let rows = explain.query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}
