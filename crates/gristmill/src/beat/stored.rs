use super::definition::Definition;
use super::memory::{AHEAD_MAX, Memory};
use crate::core::{NewSchedule, Schedule, Timestamp};
use crate::schedule::{Plan, Rule, RuleError};

/// A stored schedule, read.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) definition: Definition,
    pub(crate) plan: Plan,
    pub(crate) memory: Memory,
}

impl Stored {
    /// Reads what a store keeps; why not, for people.
    pub(crate) fn read(schedule: &Schedule) -> Result<Self, String> {
        let definition = read_definition(schedule)?;
        let plan = definition.timing.plan().map_err(|error| error.to_string())?;
        Ok(Self { definition, plan, memory: read_memory(schedule)? })
    }
}

/// Whether it waits for a time to which the clock was set by mistake: it was dealt with then, or made. No beat would look at it
/// before.
pub(crate) fn is_frozen(schedule: &Schedule, now: Timestamp) -> bool {
    if schedule.due_at.is_some_and(|due_at| due_at <= now.saturating_add(AHEAD_MAX)) {
        return false;
    }
    match Stored::read(schedule) {
        Ok(Stored { definition, memory, .. }) => {
            !definition.paused && !definition.withdrawn && !memory.is_set_aside() && is_ahead(&definition, &memory, now)
        }
        // It was to be looked at again within a minute, or never.
        Err(_) => schedule.due_at.is_some(),
    }
}

/// Whether it is from a time to which the clock was set by mistake.
pub(crate) fn is_ahead(definition: &Definition, memory: &Memory, now: Timestamp) -> bool {
    memory.is_ahead(now) || anchor_is_ahead(definition, now)
}

fn anchor_is_ahead(definition: &Definition, now: Timestamp) -> bool {
    definition.timing.anchor.is_some_and(|anchor| anchor > now.saturating_add(AHEAD_MAX))
}

/// What a schedule is, though it may say what can't be.
pub(crate) fn read_definition(schedule: &Schedule) -> Result<Definition, String> {
    serde_json::from_str(&schedule.body).map_err(|error| format!("its definition can't be read: {error}"))
}

/// What is remembered of a schedule.
pub(crate) fn read_memory(schedule: &Schedule) -> Result<Memory, String> {
    serde_json::from_str(&schedule.memory).map_err(|error| format!("what is remembered of it can't be read: {error}"))
}

/// How a definition is written.
pub(crate) struct Written {
    pub(crate) new: NewSchedule,
    /// The tick to come, as if it were not paused.
    pub(crate) next: Option<Timestamp>,
    /// The rule in words, and why there is no tick to come.
    pub(crate) rule: String,
    pub(crate) ended: Option<String>,
}

/// How a definition is written: in place of `before`, or as a new one. What has run stays; a changed timing counts from `now`.
///
/// # Errors
/// A timing that can't be, or never ticks.
pub(crate) fn write(
    name: &str,
    owner: Option<String>,
    mut definition: Definition,
    before: Option<(&Definition, &Memory)>,
    now: Timestamp,
) -> Result<Written, RuleError> {
    let mut memory = before.map_or_else(Memory::default, |(_, memory)| memory.clone());
    memory.come_back(now);
    let same = before.filter(|(before, _)| same_timing(before, &definition));
    match same {
        Some((before, _)) if anchor_is_ahead(before, now) => definition.timing.anchor = Some(now),
        Some((before, _)) => definition.timing.anchor = before.timing.anchor,
        None => definition.timing.anchor = matches!(definition.timing.rule, Rule::Every { .. }).then_some(now),
    }
    let plan = definition.timing.plan()?;
    let was_off = before.is_none_or(|(before, memory)| before.paused || before.withdrawn || memory.ended.is_some());
    if same.is_none() || was_off {
        // What fell due while it was off is not made up for, and a date that has passed runs at once when it is new.
        memory.after = match definition.timing.rule {
            Rule::On { at } if same.is_none() => just_before(now.min(at)),
            Rule::Every { at_once: true, .. } if same.is_none() => just_before(now),
            _ => memory.after.max(now),
        };
        memory.ended = None;
    }
    let next = plan.next_after(memory.after);
    // Only a beat makes the run that waits for the end of the one before.
    let look = memory.buffered.map(|_| now).or_else(|| next.map(|tick| plan.starts_at(name, tick)));
    let has_run_enough = definition.max_runs.is_some_and(|most| memory.runs >= most);
    if memory.buffered.is_none() && has_run_enough {
        memory.ended = Some(format!("it has run {} times", memory.runs));
    } else if look.is_none() {
        memory.ended = Some("it has no tick any more".to_owned());
    }
    let is_off = definition.paused || definition.withdrawn || memory.ended.is_some();
    let new = NewSchedule { owner, due_at: look.filter(|_| !is_off), body: json(&definition), memory: json(&memory) };
    Ok(Written { new, next: next.filter(|_| memory.ended.is_none()), rule: plan.describe().to_owned(), ended: memory.ended })
}

/// Whether two definitions are one, wherever their intervals count from.
pub(crate) fn same(a: &Definition, b: &Definition) -> bool {
    let mut definition = b.clone();
    definition.timing.anchor = a.timing.anchor;
    *a == definition
}

/// Whether two definitions tick alike, wherever their intervals count from.
pub(crate) fn same_timing(a: &Definition, b: &Definition) -> bool {
    let mut timing = b.timing.clone();
    timing.anchor = a.timing.anchor;
    a.timing == timing
}

/// Text of our own plain types, which have no keys but strings and so can't fail.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis() - 1)
}
