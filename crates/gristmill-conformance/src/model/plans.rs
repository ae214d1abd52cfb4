use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Advance, Cursor, Edit, NewSchedule, Schedule, ScheduleEdit, Schedules, State, StoreError, StoreErrorKind, TaskId, Tick,
    TickOutcome, TickRecord, Timestamp, WorkerId,
};
use proptest::prelude::*;

use super::op::{NAMES, Spec, duration, spec};
use super::world::World;

/// The first instant that any tick has. There are few of them, so that they meet.
const TICKS_FROM: i64 = 1_800_000_000_000;

/// An operation about schedules in the abstract, as [`Op`](super::op::Op) is.
#[derive(Clone, Debug)]
pub(super) enum PlanOp {
    Edit(Vec<(usize, Change)>),
    Advance(Vec<(usize, Decision)>),
    Lead { beat: u8, lease: Duration },
    Resign(u8),
}

/// What becomes of a schedule.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Keep,
    /// Due so long before or after now, in milliseconds.
    Put {
        due: Option<i64>,
        owned: bool,
    },
    Remove,
}

/// What a beat decides about a schedule.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    stale: bool,
    due: Option<i64>,
    ticks: Vec<(i64, Option<Spec>)>,
    cancel: Vec<usize>,
}

/// An operation with everything that it takes but the revisions, which differ between stores.
#[derive(Debug)]
pub(super) enum PlanCall {
    Edit(Vec<(String, Edit)>),
    Advance(Vec<(Advance, bool)>),
    Lead(WorkerId, Duration),
    Resign(WorkerId),
}

pub(super) fn plan_op() -> impl Strategy<Value = PlanOp> {
    let due = || prop_oneof![1 => Just(None), 4 => (-20_000..20_000i64).prop_map(Some)];
    let change = prop_oneof![
        1 => Just(Change::Keep),
        4 => (due(), any::<bool>()).prop_map(|(due, owned)| Change::Put { due, owned }),
        1 => Just(Change::Remove),
    ];
    let tick = (0..6i64, prop::option::weighted(0.6, spec()));
    let ticks = prop::collection::vec(tick, 0..4);
    let cancel = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(any::<usize>(), 1..3)];
    let decision = (prop::bool::weighted(0.15), due(), ticks, cancel).prop_map(|(stale, due, ticks, cancel)| Decision {
        stale,
        due,
        ticks,
        cancel,
    });
    // In any order, and none twice, which is refused.
    let names = || prop::sample::subsequence(vec![0, 1, 2], 1..=NAMES.len()).prop_shuffle();
    let edits = (names(), prop::collection::vec(change, NAMES.len()));
    let advances = (names(), prop::collection::vec(decision, NAMES.len()));
    prop_oneof![
        3 => edits.prop_map(|(names, changes)| PlanOp::Edit(names.into_iter().zip(changes).collect())),
        6 => advances.prop_map(|(names, decisions)| PlanOp::Advance(names.into_iter().zip(decisions).collect())),
        2 => (0..2u8, duration()).prop_map(|(beat, lease)| PlanOp::Lead { beat, lease }),
        1 => (0..2u8).prop_map(PlanOp::Resign),
    ]
}

impl World {
    pub(super) fn plan(&mut self, op: &PlanOp, now: Timestamp) -> PlanCall {
        let at = |due: Option<i64>| due.map(|from_now| Timestamp::from_millis(now.as_millis() + from_now));
        match op {
            PlanOp::Edit(changes) => PlanCall::Edit(
                changes
                    .iter()
                    .map(|(name, change)| {
                        let edit = match change {
                            Change::Keep => Edit::Keep,
                            Change::Put { due, owned } => Edit::Put(NewSchedule {
                                owner: owned.then(|| "app".to_owned()),
                                body: format!("{{\"put\": \"{now}\"}}"),
                                due_at: at(*due),
                                memory: "null".to_owned(),
                            }),
                            Change::Remove => Edit::Remove,
                        };
                        (NAMES[*name].to_owned(), edit)
                    })
                    .collect(),
            ),
            PlanOp::Advance(decisions) => PlanCall::Advance(
                decisions
                    .iter()
                    .map(|(name, decision)| {
                        let tick = |(slot, spec): &(i64, Option<Spec>), world: &mut Self| Tick {
                            at: Timestamp::from_millis(TICKS_FROM + slot * 1_000),
                            task: spec.as_ref().map(|spec| world.task(spec, now)),
                            outcome: if spec.is_some() { TickOutcome::Enqueued } else { TickOutcome::Missed },
                            reason: spec.is_none().then(|| format!("decided at {now}")),
                        };
                        let advance = Advance {
                            name: NAMES[*name].to_owned(),
                            revision: 0,
                            due_at: at(decision.due),
                            memory: format!("\"{now}\""),
                            cancel: self.some_tasks(&decision.cancel).unwrap_or_default(),
                            ticks: decision.ticks.iter().map(|ticked| tick(ticked, self)).collect(),
                        };
                        (advance, decision.stale)
                    })
                    .collect(),
            ),
            PlanOp::Lead { beat, lease } => PlanCall::Lead(beat_of(*beat), *lease),
            PlanOp::Resign(beat) => PlanCall::Resign(beat_of(*beat)),
        }
    }
}

impl PlanCall {
    /// Does it, and says what the store answered, without the revisions.
    pub(super) async fn perform(&self, store: &dyn Schedules) -> String {
        match self.ask(store).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == StoreErrorKind::Invalid => "refused as invalid".to_owned(),
            Err(error) => format!("error {error:?}"),
        }
    }

    async fn ask(&self, store: &dyn Schedules) -> Result<String, StoreError> {
        Ok(match self {
            Self::Edit(edits) => {
                let names: Vec<_> = edits.iter().map(|(name, _)| name.clone()).collect();
                let edits = edits.clone();
                let edit: ScheduleEdit = Arc::new(move |name, _, _| {
                    Ok(edits.iter().find(|(known, _)| known == name).map_or(Edit::Keep, |(_, edit)| edit.clone()))
                });
                let standing = store.edit_schedules(&names, &edit).await?;
                format!("{:?}", standing.into_iter().map(|schedule| schedule.map(unrevised)).collect::<Vec<_>>())
            }
            Self::Advance(decided) => {
                let mut advances = Vec::new();
                for (advance, stale) in decided {
                    let found = store.schedule(&advance.name).await?.map_or(0, |schedule| schedule.revision);
                    advances.push(Advance { revision: found - i64::from(*stale), ..advance.clone() });
                }
                format!("{:?}", store.advance_schedules(advances).await?)
            }
            Self::Lead(beat, lease) => format!("{:?}", store.lead_beats(*beat, *lease).await?),
            Self::Resign(beat) => format!("{:?}", store.resign_beat(*beat).await?),
        })
    }
}

/// All that can be read about schedules.
#[derive(Debug, PartialEq)]
pub(super) struct Plans {
    schedules: Vec<Schedule>,
    owned: Vec<String>,
    due: (Vec<String>, Option<Duration>),
    ticks: Vec<(&'static str, Vec<TickRecord>)>,
    states: Vec<Option<State>>,
}

impl Plans {
    pub(super) async fn of(store: &dyn Schedules, ids: &[TaskId]) -> Result<Self, String> {
        Self::read(store, ids).await.map_err(|error| format!("schedules can't be read: {error:?}"))
    }

    async fn read(store: &dyn Schedules, ids: &[TaskId]) -> Result<Self, StoreError> {
        let names = |schedules: Vec<Schedule>| schedules.into_iter().map(|schedule| schedule.name).collect::<Vec<_>>();
        let due = store.due_schedules(2).await?;
        let mut ticks = Vec::new();
        for name in NAMES {
            ticks.push((name, pages(store, name).await?));
        }
        Ok(Self {
            schedules: store.schedules(None, None, 10).await?.into_iter().map(unrevised).collect(),
            owned: names(store.schedules(Some("app"), Some("a"), 2).await?),
            due: (names(due.schedules), due.next_due),
            ticks,
            states: store.task_states(ids).await?,
        })
    }
}

async fn pages(store: &dyn Schedules, name: &str) -> Result<Vec<TickRecord>, StoreError> {
    let (mut all, mut after): (_, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = store.ticks(name, after, 2).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// A schedule without its revision, which is each store's own.
fn unrevised(schedule: Schedule) -> Schedule {
    Schedule { revision: 0, ..schedule }
}

fn beat_of(n: u8) -> WorkerId {
    WorkerId::from_slice(&[n; 16]).expect("sixteen bytes")
}
