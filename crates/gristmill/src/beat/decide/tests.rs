use std::time::Duration;

use super::*;
use crate::core::{Env, Limits, Overrides, Policy};
use crate::schedule::{Rule, Timing};

const SECOND: Duration = Duration::from_secs(1);

/// A schedule whose beat looks at it when it says so.
struct Subject {
    definition: Definition,
    plan: Plan,
    memory: Memory,
    last_state: Option<State>,
    env: Env,
    now: Timestamp,
    due_at: Option<Timestamp>,
}

impl Subject {
    /// Every second from 1970 on; nothing is due yet.
    fn every_second(change: impl FnOnce(&mut Definition)) -> Self {
        Self::new(Timing::new(Rule::every(SECOND)), change)
    }

    fn new(timing: Timing, change: impl FnOnce(&mut Definition)) -> Self {
        let mut definition = Definition::named(timing, "report", serde_json::json!({}));
        change(&mut definition);
        let now = Timestamp::from_millis(1_000_000_000_000);
        Self {
            plan: definition.timing.plan().unwrap(),
            definition,
            memory: Memory { after: now, ..Memory::default() },
            last_state: None,
            env: Env::virtual_time(now, 1).0,
            now,
            due_at: None,
        }
    }

    /// A look after so much time: each tick that was dealt with, in seconds since the beginning, with what became of it.
    fn look_after(&mut self, passed: Duration) -> Vec<(u64, TickOutcome)> {
        self.now = self.now.saturating_add(passed);
        let look = Look {
            name: "s",
            definition: &self.definition,
            plan: &self.plan,
            memory: self.memory.clone(),
            now: self.now,
            last_state: self.last_state,
        };
        let make = |tick| {
            let args = self.definition.args_at(tick);
            NewTask::resolve("report", &Policy::default(), args, Overrides::default(), self.env.task_id(), &Limits::default())
                .map_err(|error| error.to_string())
        };
        let decision = decide(look, make);
        if decision.ticks.iter().any(|tick| tick.task.is_some()) {
            self.last_state = Some(State::Ready);
        }
        (self.memory, self.due_at) = (decision.memory, decision.due_at);
        let seconds = |at: Timestamp| at.since(Timestamp::from_millis(1_000_000_000_000)).as_secs();
        decision.ticks.iter().map(|tick| (seconds(tick.at), tick.outcome)).collect()
    }

    fn ends(&mut self, state: State) {
        self.last_state = Some(state);
    }
}

use TickOutcome::{Enqueued, Missed, Skipped, Suppressed};

#[test]
fn each_tick_is_run_once_and_the_next_look_is_due_at_the_next() {
    let mut s = Subject::every_second(|d| d.overlap = Overlap::Allow);
    assert_eq!(s.look_after(Duration::ZERO), []);
    assert_eq!(s.look_after(SECOND), [(1, Enqueued)]);
    assert_eq!(s.look_after(Duration::ZERO), []);
    assert_eq!(s.due_at, Some(s.now.saturating_add(SECOND)));
    assert_eq!(s.look_after(SECOND * 3), [(2, Enqueued), (3, Enqueued), (4, Enqueued)], "late, as when another beat leads now");
    assert_eq!(s.memory.runs, 4);
}

#[test]
fn what_was_missed_is_made_up_for_as_the_policy_says_and_recorded() {
    let hour = Duration::from_secs(3_600);
    let hourly = || Timing::new(Rule::every(hour));
    let all = CatchUp::All { max: 2, window: Duration::from_secs(86_400) };
    let few = CatchUp::All { max: 10, window: Duration::from_secs(5_000) };
    for (catch_up, outcomes) in [
        (CatchUp::None, [Missed, Missed, Missed]),
        (CatchUp::Latest, [Missed, Missed, Enqueued]),
        (all, [Missed, Enqueued, Enqueued]),
        (few, [Missed, Missed, Enqueued]),
    ] {
        let mut s = Subject::new(hourly(), |d| (d.catch_up, d.overlap) = (catch_up, Overlap::Allow));
        let first = s.plan.next_after(s.now).unwrap().since(s.now);
        let seen = s.look_after(first + hour * 2 + Duration::from_secs(1_800));
        assert_eq!(seen.iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>(), outcomes, "{catch_up:?}");
        assert_eq!(s.look_after(Duration::ZERO), [], "{catch_up:?}");
        assert!(s.due_at > Some(s.now), "{catch_up:?}");
    }
}

#[test]
fn one_that_is_on_time_stands_for_those_that_were_missed() {
    let mut s = Subject::every_second(|d| d.overlap = Overlap::Allow);
    let seen = s.look_after(SECOND * 30);
    let (missed, run): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(_, outcome)| *outcome == Missed);
    assert_eq!((missed.len(), run.len()), (19, 11), "ten seconds late is late, and not missed");
}

#[test]
fn ten_years_off_cost_a_bounded_look_for_every_policy() {
    for catch_up in [CatchUp::None, CatchUp::Latest, CatchUp::All { max: 1_000, window: Duration::from_secs(7_200) }] {
        let mut s = Subject::every_second(|d| (d.catch_up, d.overlap) = (catch_up, Overlap::Allow));
        let first = s.look_after(Duration::from_secs(10 * 365 * 86_400));
        assert!(first.len() <= MISSED_RECORDED + TICKS_A_LOOK, "{}", first.len());
        assert!(first.iter().any(|(_, outcome)| *outcome == Missed));
        let mut looks = 1;
        while s.due_at == Some(s.now) {
            looks += 1;
            assert!(s.look_after(Duration::ZERO).iter().all(|(_, outcome)| *outcome == Enqueued));
        }
        let runs = match catch_up {
            CatchUp::All { .. } => 1_000 + 11,
            _ => 11,
        };
        assert_eq!(s.memory.runs, runs, "{catch_up:?}");
        assert!(looks <= 12, "{looks}");
        assert_eq!(s.due_at, Some(s.now.saturating_add(SECOND)));
    }
}

#[test]
fn overlaps_are_dealt_with_as_the_policy_says() {
    for (overlap, second) in
        [(Overlap::Allow, vec![(2, Enqueued)]), (Overlap::Skip, vec![(2, Skipped)]), (Overlap::BufferOne, vec![])]
    {
        let mut s = Subject::every_second(|d| d.overlap = overlap);
        assert_eq!(s.look_after(SECOND), [(1, Enqueued)]);
        s.ends(State::Running);
        assert_eq!(s.look_after(SECOND), second, "{overlap:?}");
    }
    let mut s = Subject::every_second(|d| d.overlap = Overlap::BufferOne);
    s.look_after(SECOND);
    s.ends(State::Running);
    s.look_after(SECOND);
    assert_eq!(s.look_after(SECOND), [(3, Skipped)], "one waits already");
    s.ends(State::Succeeded);
    assert_eq!(s.look_after(Duration::ZERO), [(2, Enqueued)], "it runs when the one before has ended");
}

#[test]
fn the_previous_run_is_cancelled_for_the_next_if_so_wanted() {
    for (make, cancels) in [(true, true), (false, false)] {
        let mut s = Subject::every_second(|d| d.overlap = Overlap::CancelPrevious);
        s.look_after(SECOND);
        let (first, id) = (s.memory.last_task, s.env.task_id());
        let look = Look {
            name: "s",
            definition: &s.definition,
            plan: &s.plan,
            memory: s.memory.clone(),
            now: s.now.saturating_add(SECOND),
            last_state: Some(State::Scheduled),
        };
        let task = || NewTask::resolve("report", &Policy::default(), "{}".into(), Overrides::default(), id, &Limits::default());
        let decision = decide(look, |_| if make { Ok(task().unwrap()) } else { Err("no such task type".to_owned()) });
        assert_eq!(decision.cancel, Vec::from_iter(first.filter(|_| cancels)), "not for a run that can't be made");
        assert_eq!(decision.ticks[0].outcome == Enqueued, make);
    }
}

#[test]
fn of_ticks_that_are_due_together_only_the_last_is_made_if_each_cancels_the_one_before() {
    let all = CatchUp::All { max: 5, window: Duration::from_secs(3_600) };
    let mut s = Subject::every_second(|d| (d.overlap, d.catch_up) = (Overlap::CancelPrevious, all));
    s.look_after(SECOND);
    let first = s.memory.last_task.unwrap();
    s.ends(State::Running);
    let mut made = Vec::new();
    let look = Look {
        name: "s",
        definition: &s.definition,
        plan: &s.plan,
        memory: s.memory.clone(),
        now: s.now.saturating_add(SECOND * 3),
        last_state: Some(State::Running),
    };
    let decision = decide(look, |tick| {
        // The one in the middle can't be made, and takes the place of none.
        if tick == s.now.saturating_add(SECOND * 2) {
            return Err("no such task type".to_owned());
        }
        let id = s.env.task_id();
        made.push(id);
        Ok(NewTask::resolve("report", &Policy::default(), "{}".into(), Overrides::default(), id, &Limits::default()).unwrap())
    });
    assert_eq!(decision.cancel, [first], "a task that is made in this look can't be cancelled in it");
    let [superseded, failed, last] = &decision.ticks[..] else { panic!("{:?}", decision.ticks) };
    assert_eq!((superseded.outcome, &superseded.task), (Skipped, &None));
    assert!(superseded.reason.as_ref().unwrap().starts_with("superseded"), "{superseded:?}");
    assert_eq!(failed.outcome, TickOutcome::Failed);
    assert_eq!((last.outcome, last.task.as_ref().map(|task| task.id)), (Enqueued, made.last().copied()));
    assert_eq!(last.reason, Some(format!("the task {first} of the tick before is cancelled for it")));
    assert_eq!((decision.memory.runs, decision.memory.last_task), (2, made.last().copied()));

    let mut s = Subject::every_second(|d| (d.overlap, d.catch_up) = (Overlap::CancelPrevious, all));
    let seen = s.look_after(SECOND * 60);
    assert_eq!(seen.iter().filter(|(_, outcome)| *outcome == Enqueued).collect::<Vec<_>>(), [&(60, Enqueued)]);
    assert_eq!(s.memory.runs, 1);
}

#[test]
fn failures_suppress_more_and_more_ticks_and_a_success_none() {
    let mut s = Subject::every_second(|d| d.penalty = 2);
    let mut seen = Vec::new();
    for _ in 0..9 {
        for (_, outcome) in s.look_after(SECOND) {
            seen.push(if outcome == Suppressed { '-' } else { 'r' });
        }
        s.ends(State::Failed);
    }
    assert_eq!(String::from_iter(seen), "r-r--r--r");
    s.ends(State::Succeeded);
    assert_eq!(s.look_after(SECOND), [(10, Enqueued)]);
}

#[test]
fn a_minimum_distance_and_a_number_of_runs_are_kept() {
    let mut s = Subject::every_second(|d| (d.overlap, d.min_distance) = (Overlap::Allow, Some(SECOND * 3)));
    let outcomes: Vec<_> = (0..7).flat_map(|_| s.look_after(SECOND)).map(|(_, outcome)| outcome == Enqueued).collect();
    assert_eq!(outcomes, [true, false, false, true, false, false, true]);

    let mut s = Subject::every_second(|d| (d.overlap, d.max_runs) = (Overlap::Allow, Some(2)));
    assert_eq!(s.look_after(SECOND * 4), [(1, Enqueued), (2, Enqueued)]);
    assert_eq!((s.due_at, s.memory.ended.as_deref()), (None, Some("it has run 2 times")));
}

#[test]
fn a_single_date_runs_once_however_late_and_ends() {
    let at = Timestamp::from_millis(999_999_000_000);
    let mut s = Subject::new(Timing::new(Rule::on(at)), |_| {});
    s.memory.after = Timestamp::from_millis(at.as_millis() - 1);
    assert_eq!(s.look_after(SECOND).len(), 1);
    assert_eq!((s.due_at, s.memory.ended.as_deref()), (None, Some("it has no tick any more")));
}

#[test]
fn jitter_moves_the_start_and_not_the_tick() {
    let timing = Timing::new(Rule::every(Duration::from_secs(60))).jitter(Duration::from_secs(50));
    let mut s = Subject::new(timing, |d| d.overlap = Overlap::Allow);
    let mut ticks = Vec::new();
    for _ in 0..600 {
        ticks.extend(s.look_after(SECOND).into_iter().map(|(tick, _)| tick));
    }
    assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == 60), "{ticks:?}");
    assert!((9..=10).contains(&ticks.len()), "{ticks:?}");
}

#[test]
fn a_clock_that_is_set_back_runs_nothing_twice() {
    let mut s = Subject::every_second(|d| d.overlap = Overlap::Allow);
    assert_eq!(s.look_after(SECOND * 2).len(), 2);
    s.now = s.now.saturating_sub(SECOND * 2);
    assert_eq!(s.look_after(SECOND), []);
    assert_eq!(s.look_after(SECOND * 2), [(3, Enqueued)]);
}

#[test]
fn a_clock_that_was_ahead_freezes_nothing() {
    let mut s = Subject::every_second(|d| {
        d.overlap = Overlap::Allow;
        d.min_distance = Some(SECOND);
    });
    assert_eq!(s.look_after(SECOND).len(), 1);
    let before = s.now;
    s.look_after(SECOND * 1_000_000);
    s.now = before;
    assert_eq!(s.look_after(Duration::ZERO), [], "it counts from now");
    assert_eq!(s.due_at, Some(before.saturating_add(SECOND)));
    assert_eq!(s.look_after(SECOND), [(2, Enqueued)]);
}
