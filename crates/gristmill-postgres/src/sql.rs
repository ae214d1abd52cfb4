//! The statements, from `queries/`, with their parameter types: sent along, they spare the server's round trip.
//!
//! Placeholders are replaced once, when the store is opened: `{s}` is the quoted schema, `{l}` the same inside a string
//! literal, `{now}` the server's clock in milliseconds (or parameter 1, with which a test moves it), `{channel}` where notifications go,
//! and `{tell}` a further column that notifies, with `notify=inside`. `{briefN}` is a condition that holds, and that before has the statement wait for locks no longer than
//! parameter N says, which is null for as long as usual: in this way behind a pooler, too. What statements that claim have in common is
//! in `queries/parts/`: `{in_line}`, `{by_kind}`, `{taken}`; of those that look at the heads of queues, `{heads}`; of members of workflows, `{members}`; where go those that are let go, `{go}`; and of those that keep what a task remembers,
//! `{remembered}`. `{t_of_days}` and `{o_of_days}` name the ids of `$1` once more, in the texts
//! of [`OF_DAYS`], and `{forget}` is left to another statement there; `{place}` is the table of [`OF_PLACE`], and `{settles}` and `{told}` are of [`MARKS_OF_SETTLED`]. Those about places and ends are the [`doors`].

use gristmill_core::Place;
use gristmill_core::kit::fnv;
use tokio_postgres::types::Type;

use crate::doors;

macro_rules! queries {
    ($($name:ident $file:literal [$($ty:ident),* $(,)?];)*) => {
        /// One statement.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(
            not(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres", feature = "diesel")),
            expect(dead_code, reason = "some are for callers' own transactions")
        )]
        pub(crate) enum Q { $($name),* }

        static QUERIES: &[(&str, &[Type])] =
            &[$((include_str!(concat!("../queries/", $file, ".sql")), &[$(Type::$ty),*])),*];
    };
}

queries! {
    AdditionInsert "addition_insert" [INT8, INT8, TEXT, TEXT];
    AdditionList "addition_list" [];
    Admit "admit" [UUID_ARRAY];
    Age "age" [INT4, INT2_ARRAY, INT8_ARRAY];
    AsideCount "aside_count" [];
    AsideInsert "aside_insert" [INT8, UUID, TEXT, TEXT];
    BeatLead "beat_lead" [INT8, UUID, INT8];
    BeatResign "beat_resign" [UUID];
    BlockedCount "blocked_count" [INT4, INT8];
    BlockedExpire "expire" [INT8, INT8, INT8];
    CallCancelTasks "call_cancel_tasks" [TEXT];
    CallHoldLease "call_hold_lease" [TEXT, TEXT];
    CallInsertTasks "call_insert_tasks" [TEXT];
    CallInsertUnique "call_insert_unique" [TEXT];
    CallKeepEvent "call_keep_event" [TEXT, TEXT, TEXT, TEXT];
    CallSchedulesForEdit "call_schedules_for_edit" [TEXT, TEXT];
    CallSendEvent "call_send_event" [TEXT, TEXT, TEXT];
    CallSettleSucceeded "call_settle_succeeded" [TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT];
    CallStartWorkflow "call_start_workflow" [TEXT, TEXT];
    CallWriteSchedules "call_write_schedules" [TEXT, TEXT, TEXT];
    Cancel "cancel" [INT8, UUID_ARRAY];
    CheckAhead "check_ahead" [INT8, INT8, INT8];
    CheckDays "check_days" [INT8];
    CheckDue "check_due" [INT8, INT8, INT8];
    CheckEndedLeases "check_ended_leases" [];
    CheckEvents "check_events" [INT8, INT8, INT8];
    CheckHorizon "check_horizon" [];
    CheckIndexes "check_indexes" [TEXT];
    CheckLocks "check_locks" [];
    CheckLostLeases "check_lost_leases" [INT8];
    CheckNames "check_names" [TEXT];
    CheckOrphanLeases "check_orphan_leases" [];
    CheckOverlap "check_overlap" [];
    CheckOwed "check_owed" [INT8];
    CheckServer "check_server" [];
    CheckSlots "check_slots" [];
    CheckStill "check_still" [INT8];
    CheckTables "check_tables" [TEXT];
    CheckUnnamed "check_unnamed" [INT8];
    CheckWaits "check_waits" [INT8, UUID_ARRAY, INT8];
    CheckWorkflows "check_workflows" [INT8, INT8, INT8];
    ChildDone "child_done" [UUID_ARRAY, INT4_ARRAY];
    ChildGone "child_gone" [UUID_ARRAY, INT4_ARRAY];
    ChildWalk "child_walk" [UUID, INT4, INT8];
    Claim "claim" [INT8, INT8, INT4, INT4, INT4_ARRAY, INT8_ARRAY, INT8, UUID, TEXT];
    ClaimByKind "claim_by_kind" [INT8, INT8, INT4, INT4, INT4_ARRAY, INT8_ARRAY, INT8, UUID, TEXT];
    ClaimFound "claim_found" [INT8, INT8, INT4, INT4, TEXT_ARRAY, UUID_ARRAY, INT8, UUID, TEXT];
    DayAnalyze "day_analyze" [];
    DayCount "day_count" [];
    DayDrop "day_drop" [INT8];
    DayLeave "day_leave" [INT8];
    DayMake "day_make" [INT8, INT8];
    DayThin "day_thin" [INT8];
    DayThinBegin "day_thin_begin" [INT8];
    Delete "delete" [UUID_ARRAY];
    Enqueue "enqueue" [INT8, UUID_ARRAY, INT4_ARRAY, INT4_ARRAY, INT2_ARRAY, INT4_ARRAY, INT4_ARRAY, INT2_ARRAY, INT8_ARRAY, INT8_ARRAY,
        INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        INT4_ARRAY, UUID_ARRAY, TEXT, UUID_ARRAY, INT4_ARRAY, INT4_ARRAY];
    EnqueueFree "enqueue" [INT8, UUID_ARRAY, INT4_ARRAY, INT4_ARRAY, INT2_ARRAY, INT4_ARRAY, INT4_ARRAY, INT2_ARRAY, INT8_ARRAY, INT8_ARRAY,
        INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, TEXT_ARRAY, TEXT_ARRAY,
        INT4_ARRAY, UUID_ARRAY, TEXT, UUID_ARRAY, INT4_ARRAY, INT4_ARRAY];
    EventList "event_list" [INT8, INT8, INT8];
    EventNamed "event_named" [INT8, TEXT];
    EventPrune "event_prune" [INT8, INT8];
    EventTold "event_told" [TEXT_ARRAY, TEXT_ARRAY];
    EventUntold "event_untold" [INT8, INT8];
    Find "find" [INT8, INT8, INT4, INT4, INT4_ARRAY, INT8_ARRAY, INT8];
    FindByKind "find_by_kind" [INT8, INT8, INT4, INT4, INT4_ARRAY, INT8_ARRAY, INT8];
    FlowRead "flow_read" [UUID_ARRAY];
    FlowWrite "flow_write" [INT8, UUID_ARRAY, BOOL_ARRAY, BOOL_ARRAY, INT2_ARRAY, UUID_ARRAY, INT4_ARRAY, INT2_ARRAY, BOOL_ARRAY, INT4_ARRAY,
        INT4_ARRAY, INT4_ARRAY, INT4_ARRAY, INT2_ARRAY, INT4_ARRAY, UUID_ARRAY, UUID_ARRAY, INT4_ARRAY, BOOL_ARRAY, INT2_ARRAY];
    HeldLeases "held_leases" [UUID_ARRAY];
    IdsBetween "ids_between" [UUID, UUID, INT8];
    IndexLacking "index_lacking" [TEXT, TEXT];
    IndexWhole "index_whole" [TEXT];
    KeyHold "key_hold" [TEXT_ARRAY];
    KeyInfo "key_info" [INT8, TEXT, INT8];
    KeyList "key_list" [INT8, TEXT, TEXT, INT8, INT8];
    KeyPrune "key_prune" [INT8, TEXT, INT8];
    KeyLock "key_lock" [INT8, TEXT];
    KeyNext "key_next" [INT8];
    KeyWrite "key_write" [TEXT_ARRAY, INT8_ARRAY, INT4_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, UUID_ARRAY];
    KeySet "key_set" [TEXT, INT4, TEXT];
    KindDeclare "kind_declare" [TEXT_ARRAY, TEXT_ARRAY, TEXT];
    KindFind "kind_find" [TEXT_ARRAY];
    KindIntern "kind_intern" [TEXT_ARRAY, BOOL, TEXT];
    KindList "kind_list" [];
    KindNames "kind_names" [INT4_ARRAY];
    KindPause "kind_pause" [TEXT, BOOL];
    KindPaused "kind_paused" [];
    LabelDayDrop "label_day_drop" [];
    LabelFill "label_fill" [INT8];
    LabelGap "label_gap" [];
    LeaseCancelled "lease_cancelled" [UUID];
    LeaseDrop "lease_drop" [UUID, UUID];
    LeaseFind "lease_find" [UUID_ARRAY];
    LeaseFree "lease_free" [UUID_ARRAY, UUID_ARRAY];
    LeaseFreeOfWorker "lease_free_of_worker" [INT8];
    LeaseGiven "lease_given" [INT8, UUID_ARRAY, INT8, UUID];
    LeaseHeld "lease_held" [];
    LeaseLost "lease_lost" [INT8];
    LeaseNote "lease_note" [UUID_ARRAY, UUID_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT];
    LeaseOfClaim "lease_of_claim" [INT8, UUID];
    LeaseOfWorker "lease_of_worker" [INT8];
    LeaseStart "lease_start" [UUID_ARRAY, UUID_ARRAY, TEXT];
    LeaseTake "lease_take" [INT8, UUID_ARRAY, UUID_ARRAY];
    LetGo "let_go" [INT8, UUID_ARRAY, INT4_ARRAY, INT4_ARRAY, INT4_ARRAY, UUID_ARRAY, UUID_ARRAY, UUID, UUID];
    LineHeads "line_heads" [INT4, INT2_ARRAY, INT8];
    ListBlocked "list_blocked" [INT8, INT8, INT8, INT4, INT4_ARRAY];
    ListEnded "list_ended" [INT8, INT8, INT8, INT2];
    ListKinds "list_kinds" [];
    ListLabelled "list_labelled" [INT8, INT8, INT8, TEXT];
    ListLeased "list_leased" [INT8, INT8, INT8, INT4];
    ListMoved "list_moved" [INT8, INT8, INT8, INT4, INT4, INT4_ARRAY];
    ListNarrow "list_narrow" [UUID_ARRAY, INT4, INT4_ARRAY, INT8, INT8, TEXT_ARRAY, INT8, INT4_ARRAY, TEXT];
    ListParked "list_parked" [INT8, INT8, INT8, INT4, INT4, INT4_ARRAY];
    ListRarest "list_rarest" [TEXT_ARRAY, INT8];
    ListReady "list_ready" [INT8, INT8, INT8, INT4, INT4, INT4_ARRAY];
    ListSays "list_says" [UUID_ARRAY];
    ListScheduled "list_scheduled" [INT8, INT8, INT8, INT4, INT4_ARRAY];
    ListSince "list_since" [INT8];
    ListTasks "list_tasks" [INT8, INT8, INT8, INT4, INT4_ARRAY, INT8, INT8];
    ListUnlabelled "list_unlabelled" [INT8, INT8, INT8];
    ListWaiting "list_waiting" [INT8, INT8, INT8, INT4, INT4_ARRAY];
    LiveTake "live_take" [UUID_ARRAY];
    LockHolders "lock_holders" [TEXT];
    LockList "lock_list" [TEXT, TEXT, INT8];
    LockOf "lock_of" [UUID];
    LockPrune "lock_prune" [INT8, INT8, INT8];
    LockRelease "lock_release" [TEXT, UUID, UUID];
    LockTake "lock_take" [INT8, TEXT, UUID, UUID, INT8];
    MemberCount "member_count" [UUID_ARRAY, INT4_ARRAY, UUID_ARRAY, UUID_ARRAY, UUID, UUID];
    MemberIds "member_ids" [INT8, UUID_ARRAY, INT4_ARRAY, INT4_ARRAY, INT4_ARRAY, UUID_ARRAY, UUID_ARRAY, UUID, UUID];
    MemberKept "member_kept" [UUID, INT4, INT8];
    MemberPage "member_page" [UUID, INT4, INT4, INT8, UUID, UUID, INT8];
    MemoryAt "memory_at" [UUID, INT4];
    MemoryChildren "memory_children" [UUID, INT4];
    MemoryCut "memory_cut" [UUID, INT4];
    MemoryDisarm "memory_disarm" [TEXT_ARRAY, UUID_ARRAY];
    MemoryForget "memory_forget" [UUID_ARRAY, BOOL_ARRAY];
    MemoryForgetChildren "memory_forget_children" [UUID_ARRAY];
    MemoryKeep "memory_keep" [UUID, UUID, INT4_ARRAY, TEXT_ARRAY, INT4_ARRAY, INT2_ARRAY, TEXT_ARRAY, INT8_ARRAY, TEXT_ARRAY];
    MemoryKnown "memory_known" [UUID, INT4_ARRAY, TEXT_ARRAY, INT4_ARRAY, INT2_ARRAY];
    MemoryList "memory_list" [INT8, UUID];
    MemoryOrphans "memory_orphans" [UUID_ARRAY];
    MemoryPut "memory_put" [UUID, INT8, INT4_ARRAY, TEXT_ARRAY, INT4_ARRAY, INT2_ARRAY, TEXT_ARRAY, INT8_ARRAY, TEXT_ARRAY, INT4];
    MemorySay "memory_say" [UUID, INT4, TEXT];
    MemoryStarters "memory_starters" [UUID_ARRAY];
    MemoryTasks "memory_tasks" [UUID, INT8];
    MemoryTold "memory_told" [INT8, TEXT_ARRAY, TEXT_ARRAY, UUID_ARRAY];
    MigrationExists "migration_exists" [TEXT];
    MigrationInsert "migration_insert" [INT8, INT8, TEXT, TEXT];
    MigrationList "migration_list" [];
    MigrationLock "migration_lock" [INT8];
    Origin "origin" [];
    OutcomeDelete "outcome_delete" [UUID_ARRAY];
    OutcomeInsert "outcome_insert" [UUID_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT4_ARRAY, INT4_ARRAY, INT4_ARRAY, INT2_ARRAY, INT2_ARRAY,
        TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT4_ARRAY];
    OutcomeLacking "outcome_lacking" [UUID_ARRAY];
    OutcomeReopen "outcome_reopen" [INT8, UUID_ARRAY];
    OutcomeUnstarted "outcome_unstarted" [INT8, UUID_ARRAY, INT8_ARRAY, INT8_ARRAY, INT4_ARRAY, INT4_ARRAY, INT4_ARRAY, INT4_ARRAY, INT2, INT2,
        TEXT_ARRAY];
    OwedLook "owed_look" [INT8];
    OwedTake "owed_take" [UUID, UUID, INT8];
    Park "park" [INT4, INT8, INT8_ARRAY, INT4_ARRAY];
    ParkedCounts "parked_counts" [INT4, INT4, INT8];
    ParkedExpire "expire" [INT8, INT8, INT8];
    ParkedPairs "parked_pairs" [];
    Pending "pending" [INT8, TEXT_ARRAY, INT8];
    PendingWorkflows "pending_workflows" [TEXT_ARRAY, INT8];
    Place "place" [INT2_ARRAY, UUID_ARRAY, INT8_ARRAY, INT8_ARRAY, INT4_ARRAY, INT4_ARRAY, INT4_ARRAY, INT4_ARRAY, INT4_ARRAY,
        INT2_ARRAY, INT4_ARRAY, INT8_ARRAY];
    Promote "promote" [INT8, INT8, INT8];
    Prune "prune" [INT8, INT8];
    QueueFind "queue_find" [TEXT_ARRAY];
    QueueIntern "queue_intern" [TEXT_ARRAY, BOOL, TEXT];
    QueueList "queue_list" [];
    QueueNames "queue_names" [INT4_ARRAY];
    QueuePause "queue_pause" [TEXT, BOOL];
    ReadyCounts "ready_counts" [INT4, INT8];
    ReadyExpire "expire" [INT8, INT8, INT8];
    ReadyHeadKinds "ready_head_kinds" [INT4, INT8, INT8_ARRAY];
    ReadyLook "ready_look" [INT8, INT8, INT4, TEXT_ARRAY, INT4_ARRAY];
    ReadyOldest "ready_oldest" [INT4];
    ReadyOthers "ready_others" [INT4, INT4_ARRAY, INT8];
    ReadySomeKinds "ready_some_kinds" [INT4, INT8];
    Record "record" [UUID_ARRAY, BOOL];
    RecordOfDays "record" [UUID_ARRAY, BOOL];
    Rekeep "rekeep" [UUID_ARRAY];
    ReportInsert "report_insert" [UUID_ARRAY, INT4_ARRAY, INT2_ARRAY];
    ReportLook "report_look" [UUID_ARRAY, INT8];
    ReportOrphans "report_orphans" [INT8];
    ReportTake "report_take" [UUID_ARRAY];
    Requeue "requeue" [UUID_ARRAY, INT4];
    RestLook "rest_look" [INT8_ARRAY, TEXT_ARRAY];
    ScheduleAdvance "schedule_advance" [TEXT_ARRAY, INT8_ARRAY, INT8_ARRAY, TEXT_ARRAY];
    ScheduleDue "schedule_due" [INT8, INT8];
    ScheduleGet "schedule_get" [TEXT];
    ScheduleOwned "schedule_owned" [TEXT, INT8, TEXT];
    SchedulePage "schedule_page" [TEXT, INT8];
    ScheduledCount "scheduled_count" [INT4, INT8];
    ScheduledExpire "expire" [INT8, INT8, INT8];
    ScheduledRelease "scheduled_release" [INT8, UUID_ARRAY];
    SettleForget "settle_forget" [UUID_ARRAY, UUID_ARRAY, BOOL, TEXT];
    SettleForgetOfDays "settle_forget" [UUID_ARRAY, UUID_ARRAY, BOOL, TEXT];
    SettleLimited "settle_plain" [INT8, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, BOOL, TEXT];
    SettleMembers "settle_plain" [INT8, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, BOOL, TEXT];
    SettlePlain "settle_plain" [INT8, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, TEXT_ARRAY, TEXT_ARRAY, TEXT_ARRAY, BOOL, TEXT];
    SlotBegun "slot_begun" [TEXT_ARRAY];
    SlotEvict "slot_evict" [TEXT_ARRAY, INT8_ARRAY];
    SlotExcess "slot_excess" [TEXT_ARRAY, INT8_ARRAY, INT8_ARRAY];
    SlotGiveBack "slot_give_back" [UUID_ARRAY, BOOL_ARRAY, INT8_ARRAY];
    SlotHolders "slot_holders" [TEXT, INT8];
    SlotRepair "slot_repair" [TEXT, UUID, INT8];
    SlotUsed "slot_used" [TEXT_ARRAY];
    Snapshot "snapshot" [];
    StandbyAdmit "standby_admit" [UUID_ARRAY, TEXT_ARRAY, UUID_ARRAY, INT8_ARRAY, INT4_ARRAY, BOOL_ARRAY, INT8_ARRAY, INT4];
    StandbyAny "standby_any" [TEXT_ARRAY];
    StandbyFirst "standby_first" [TEXT_ARRAY, INT8_ARRAY];
    StandbyIdle "standby_idle" [TEXT, INT8];
    StandbyCalm "standby_calm" [UUID_ARRAY];
    StandbyDrop "standby_drop" [UUID_ARRAY];
    StandbyIds "standby_ids" [TEXT, INT8];
    StandbyLacking "standby_lacking" [UUID, INT8];
    StandbyMove "standby_move" [UUID_ARRAY, TEXT_ARRAY, BOOL_ARRAY];
    StandbyOf "standby_of" [UUID, INT8];
    StepKept "step_kept" [INT8, UUID, INT4_ARRAY, UUID_ARRAY, UUID_ARRAY, UUID, UUID, INT8];
    StepList "step_list" [UUID];
    StepNamed "step_named" [UUID, TEXT];
    StepSpecs "step_specs" [UUID_ARRAY];
    StepTolerate "step_tolerate" [UUID, INT4, INT8];
    StepWaiting "step_waiting" [UUID_ARRAY, INT4_ARRAY];
    TakeKeys "take_keys" [UUID_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT8_ARRAY, INT2_ARRAY, INT8_ARRAY, INT8_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT8, UUID_ARRAY];
    TaskCreated "task_created" [INT8];
    TaskDelete "task_delete" [UUID_ARRAY];
    TaskDue "task_due" [UUID_ARRAY, INT8];
    TaskAge "task_age" [UUID_ARRAY];
    TaskAged "task_aged" [INT8, UUID_ARRAY, INT8];
    TaskFacts "task_facts" [UUID_ARRAY];
    TaskRequeue "task_requeue" [UUID_ARRAY, INT4];
    TaskOpen "task_open" [UUID];
    TaskSame "task_same" [UUID_ARRAY, INT4_ARRAY, TEXT_ARRAY];
    TaskSameOfDays "task_same" [UUID_ARRAY, INT4_ARRAY, TEXT_ARRAY];
    TaskStates "task_states" [UUID_ARRAY];
    TaskStatesOfDays "task_states" [UUID_ARRAY];
    TaskUnexpire "task_unexpire" [UUID_ARRAY];
    TaskWanted "task_wanted" [UUID_ARRAY];
    TickCorrect "tick_correct" [TEXT_ARRAY, INT8_ARRAY, INT2_ARRAY, TEXT_ARRAY, UUID_ARRAY];
    TickInsert "tick_insert" [INT8, TEXT_ARRAY, INT8_ARRAY, INT2_ARRAY, UUID_ARRAY, TEXT_ARRAY];
    TickPage "tick_page" [TEXT, INT8, INT8];
    TickPrune "tick_prune" [INT8, INT8, INT8];
    ToldLock "told_lock" [UUID_ARRAY, INT8];
    TouchedAny "touched_any" [INT8, TEXT_ARRAY, INT8];
    TouchedInsert "touched_insert" [TEXT_ARRAY, INT4_ARRAY, TEXT_ARRAY, INT8_ARRAY];
    TouchedTake "touched_take" [INT8, INT8];
    TurnFirst "turn_first" [INT4_ARRAY, INT2_ARRAY, INT8_ARRAY, TEXT_ARRAY];
    TurnKeep "turn_keep" [INT8, TEXT_ARRAY, INT8_ARRAY, INT8, INT8];
    Unblock "unblock" [INT8, UUID_ARRAY];
    UniquePrune "unique_prune" [INT8, TEXT, TEXT, INT8];
    Unkeep "unkeep" [UUID_ARRAY];
    UnkeepOfDays "unkeep" [UUID_ARRAY];
    Unpark "unpark" [INT4, INT4, INT8];
    WaitCame "wait_came" [INT8, TEXT_ARRAY, UUID_ARRAY];
    WaitEnded "wait_ended" [UUID_ARRAY];
    WaitHeard "wait_heard" [TEXT_ARRAY, UUID_ARRAY, INT8];
    WaitLook "wait_look" [TEXT_ARRAY];
    WaitRelease "wait_release" [INT8, INT8_ARRAY, UUID_ARRAY, INT4_ARRAY];
    WaitWalk "wait_walk" [TEXT, UUID, TEXT, INT8];
    WaiterList "waiter_list" [TEXT, TEXT, UUID, INT8];
    WaitingCount "waiting_count" [INT4, INT8];
    WaitingExpire "expire" [INT8, INT8, INT8];
    WitnessLook "witness_look" [UUID_ARRAY];
    WriteIntoNew "write_into_new" [UUID_ARRAY, TEXT_ARRAY, TEXT_ARRAY];
    WorkerBeat "worker_beat" [INT8, UUID, INT8, BOOL];
    WorkerDrain "worker_drain" [UUID];
    WorkerEnter "worker_enter" [INT8, UUID, TEXT, TEXT, TEXT, INT8];
    WorkerEpoch "worker_epoch" [INT8];
    WorkerEpochs "worker_epochs" [];
    WorkerGet "worker_get" [INT8, UUID];
    WorkerLeave "worker_leave" [UUID];
    WorkerList "worker_list" [INT8];
    WorkerLook "worker_look" [INT8];
    WorkerLose "worker_lose" [INT8, INT8_ARRAY, INT8_ARRAY];
    WorkerLoseOne "worker_lose_one" [INT8, UUID];
    WorkerPrune "worker_prune" [INT8, INT8];
    WorkerRenew "worker_renew" [INT8, UUID];
    WorkerServes "worker_serves" [INT8];
    WorkflowAgain "workflow_again" [INT8, UUID];
    WorkflowDue "workflow_due" [INT8, INT8, INT8, UUID, INT8];
    WorkflowEndLate "workflow_end_late" [INT8, UUID];
    WorkflowGet "workflow_get" [UUID];
    WorkflowList "workflow_list" [INT8, INT8, TEXT, TEXT, INT4_ARRAY, INT8];
    WorkflowLock "workflow_lock" [UUID_ARRAY];
    WorkflowPostpone "workflow_postpone" [INT8, UUID, INT8];
    WorkflowPrune "workflow_prune" [INT8, INT8];
    WorkflowRival "workflow_rival" [UUID];
    WorkflowTouch "workflow_touch" [INT8, UUID_ARRAY, UUID_ARRAY, INT4_ARRAY, UUID_ARRAY];
    WorkflowWait "workflow_wait" [UUID_ARRAY];
}

/// The server's clock, unless a test gives another. As a query of its own it is worked out once a statement; else it would be for each
/// row, in decimal arithmetic, which was a tenth of the server's work.
const NOW: &str = "(SELECT coalesce($1::bigint, floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint))";

/// What a claim finds, and what it does with that; the heads of queues; the members of steps, and where go those that are let go; what is
/// remembered.
const PARTS: [(&str, &str); 7] = [
    ("{heads}", include_str!("../queries/parts/heads.sql")),
    ("{in_line}", include_str!("../queries/parts/in_line.sql")),
    ("{by_kind}", include_str!("../queries/parts/by_kind.sql")),
    ("{taken}", TAKEN),
    ("{members}", include_str!("../queries/parts/members.sql")),
    ("{go}", include_str!("../queries/parts/go.sql")),
    ("{remembered}", include_str!("../queries/parts/remembered.sql")),
];
const TAKEN: &str = include_str!("../queries/parts/taken.sql");
/// Where a claim finds the bodies of what it takes, and of which row each is: one by one, as it goes.
const BODY: [&str; 2] = ["LATERAL (SELECT true AS found, seq AS arrival, * FROM {s}.task t WHERE t.id = g.id OFFSET 0)", "true"];
/// The same for ids that are known before, so that a plan for them opens no other day.
const BODY_FOUND: [&str; 2] =
    ["(SELECT true AS found, seq AS arrival, * FROM {s}.task t WHERE t.id = ANY($6) OFFSET 0)", "t.id = g.id"];

/// Statements that are prepared twice, as a plan for their ids opens no other day: for where many days are kept.
const OF_DAYS: [Q; 5] = [Q::RecordOfDays, Q::SettleForgetOfDays, Q::TaskSameOfDays, Q::TaskStatesOfDays, Q::UnkeepOfDays];
/// What differs in these from the others: what they say besides of a row of task and of one of outcome, and what they leave to a statement
/// that is given the ids.
const MARKS_OF_DAYS: [(&str, [&str; 2]); 3] = [
    ("{t_of_days}", ["", " AND t.id = ANY($1)"]),
    ("{o_of_days}", ["", " AND o.id = ANY($1)"]),
    ("{forget}", ["DELETE FROM {s}.task WHERE id = ANY (ARRAY(SELECT id FROM gone))", "SELECT"]),
];
/// What differs in the settlement of members of workflows from that of other tasks: whose leases it takes, and what it writes besides.
const MARKS_OF_SETTLED: [(&str, [&str; 3]); 2] = [
    (
        "{settles}",
        [
            "l.flags = 0 AND l.retention <> -2",
            "l.flags = {member}",
            "l.flags & {limited} <> 0 AND l.flags & ~({limited} | {rated} | {moved}) = 0 AND l.retention <> -2",
        ],
    ),
    (
        "{told}",
        [
            "",
            concat!("\n", include_str!("../queries/parts/settled_members.sql")),
            concat!("\n", include_str!("../queries/parts/settled_limited.sql")),
        ],
    ),
];
/// One statement for each place, whose table stands for `{place}`.
const OF_PLACE: [(Q, Place); 5] = [
    (Q::BlockedExpire, Place::Blocked),
    (Q::ScheduledExpire, Place::Scheduled),
    (Q::WaitingExpire, Place::Waiting),
    (Q::ReadyExpire, Place::Ready),
    (Q::ParkedExpire, Place::Parked),
];
/// Makes a statement wait for locks as long as a parameter says. As a query of its own, which is asked once, before the first row.
const BRIEF: &str = "(SELECT CASE WHEN $n::text IS NULL THEN true ELSE set_config('lock_timeout', $n, true) IS NOT NULL END)";

/// Another column, which tells every process that tasks are ready or scheduled, in the words of the herald, and from nobody.
const TELL: &str = ", (SELECT pg_notify('{channel}', '00000000rs'))";

/// The statements for one schema.
#[derive(Debug)]
pub(crate) struct Texts {
    schema: String,
    texts: Vec<String>,
}

impl Texts {
    /// For the schema of this name, whatever it is. With `telling`, statements that enqueue notify by themselves.
    pub(crate) fn new(schema: &str, telling: bool) -> Self {
        let tell = if telling { TELL } else { "" };
        let text = |(n, (text, _)): (usize, &(&str, _))| {
            let is_free = n == Q::EnqueueFree as usize;
            let [enter, placed] = if is_free { ["{enter_free}", "{placed_free}"] } else { ["{enter}", "{placed_new}"] };
            let text = text.replace("{tell}", tell).replace("{enter}", enter).replace("{placed_new}", placed);
            let of_days = usize::from(OF_DAYS.iter().any(|query| *query as usize == n));
            let text = MARKS_OF_DAYS.iter().fold(text, |text, (mark, says)| text.replace(mark, says[of_days]));
            let of_settled = [Q::SettlePlain, Q::SettleMembers, Q::SettleLimited].iter().position(|query| *query as usize == n);
            let text =
                MARKS_OF_SETTLED.iter().fold(text, |text, (mark, says)| text.replace(mark, says[of_settled.unwrap_or_default()]));
            let place = OF_PLACE.iter().find(|(query, _)| *query as usize == n).map_or("", |(_, place)| doors::table(*place));
            fill(&text.replace("{place}", place), schema)
        };
        let texts = QUERIES.iter().enumerate().map(text).collect();
        Self { schema: schema.to_owned(), texts }
    }

    /// The statement.
    pub(crate) fn text(&self, query: Q) -> &str {
        self.texts.get(query as usize).map_or("", String::as_str)
    }

    /// Any other text with placeholders.
    pub(crate) fn fill(&self, text: &str) -> String {
        fill(text, &self.schema)
    }

    /// The same, with values for more placeholders.
    pub(crate) fn fill_with(&self, text: &str, more: &[(&str, &str)]) -> String {
        fill_with(text, &self.schema, more)
    }

    /// Where notifications about this schema go.
    pub(crate) fn channel(&self) -> String {
        channel(&self.schema)
    }

    /// The schema's own name.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }
}

impl Q {
    /// What its parameters are.
    pub(crate) fn types(self) -> &'static [Type] {
        QUERIES.get(self as usize).map_or(&[], |(_, types)| types)
    }
}

fn fill(text: &str, schema: &str) -> String {
    fill_with(text, schema, &[])
}

fn fill_with(text: &str, schema: &str, more: &[(&str, &str)]) -> String {
    let quoted = quote(schema);
    // A comment that holds a placeholder's letters does no harm; they are left out all the same, as they travel each time.
    let text = PARTS.iter().fold(text.replace("{taken_found}", &body(BODY_FOUND)), |text, (mark, part)| text.replace(mark, part));
    let text = text.replace("{body}", BODY[0]).replace("{is_body}", BODY[1]);
    let text: String = text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
    let brief = |n| (format!("{{brief{n}}}"), BRIEF.replace("$n", &format!("${n}")));
    let text = (1..20).map(brief).fold(doors::fill(&text), |text, (mark, brief)| text.replace(&mark, &brief));
    let text = text.replace("{now}", NOW).replace("{channel}", &channel(schema));
    let literal = quoted.replace('\'', "''");
    put(&text, &[&[("s", quoted.as_str()), ("l", &literal)], more].concat())
}

/// What a claim does with its rows, with their bodies from there.
fn body([from, is_body]: [&str; 2]) -> String {
    TAKEN.replace("{body}", from).replace("{is_body}", is_body)
}

/// Puts values into their places, all of them in one go, as a name of somebody's choice may look like a placeholder itself.
fn put(text: &str, values: &[(&str, &str)]) -> String {
    let mut parts = text.split('{');
    let mut done = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match values.iter().find_map(|(name, value)| Some((value, part.strip_prefix(name)?.strip_prefix('}')?))) {
            Some((value, rest)) => done.extend([value, rest]),
            None => done.extend(["{", part]),
        }
    }
    done
}

fn channel(schema: &str) -> String {
    format!("gristmill_{:016x}", fnv(schema.bytes()))
}

/// An identifier that can't be anything else, whatever its letters are.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_of_any_name_is_only_a_name() {
        let texts = Texts::new("it's \"; DROP {s}{l}", false);
        assert!(texts.text(Q::Enqueue).contains("nextval('\"it''s \"\"; DROP {s}{l}\".arrival')"));
        assert!(texts.text(Q::WorkerServes).contains("FROM \"it's \"\"; DROP {s}{l}\".worker"));
    }

    #[test]
    fn every_statement_takes_as_many_parameters_as_it_has() {
        for (text, types) in QUERIES {
            let text = text.replace("{tell}", TELL).replace("{place}", "ready");
            let text_of_days = MARKS_OF_DAYS.iter().fold(text.clone(), |text, (mark, says)| text.replace(mark, says[1]));
            let text_of_all = MARKS_OF_SETTLED.iter().fold(text_of_days, |text, (mark, says)| text.replace(mark, says[1]));
            let filled = fill(&text_of_all, "s");
            let most = (1..30).filter(|n| filled.contains(&format!("${n}"))).max().unwrap_or(0);
            assert_eq!(most, types.len(), "{text}");
            assert!(!filled.contains('{'), "{text}");
            assert!(text.starts_with("-- "), "it says which index it relies on: {text}");
        }
    }
}
