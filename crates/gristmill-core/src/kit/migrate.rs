//! The bookkeeping of a schema's steps: which there are, which of them a store has, and whether a program may work on it.
//!
//! A store keeps two lists. A step that [breaks](Effect::Breaks) the programs before it stands in the first one, `migration`, where
//! they find a number that they don't know and refuse to start. One that only [adds](Effect::Adds) stands in the second one,
//! `addition`, at which they don't look. So programs of two versions work on one store while they are deployed, and one that is
//! started anew or rolled back meanwhile starts.

use crate::{StoreError, StoreErrorKind, Timestamp};

/// What a step does to the programs before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They can't work any more: they refuse to start, by the step's name.
    Breaks,
    /// They start and work as before, and know nothing of it.
    Adds,
}

impl Effect {
    /// What such a step is called: `migration` or `addition`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Breaks => "migration",
            Self::Adds => "addition",
        }
    }
}

/// One step of the schema, and whether it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// What it does to the programs before it; steps are numbered for each effect by itself.
    pub effect: Effect,
    /// Its number; they are applied in order and never undone.
    pub number: i64,
    /// What it is about.
    pub name: String,
    /// When it was applied; `None` if it was not.
    pub applied_at: Option<Timestamp>,
}

/// One step of the schema as a program has it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What it does to the programs before it.
    pub effect: Effect,
    /// Its number among those of its effect, from 1.
    pub number: i64,
    /// What it is about, in a word.
    pub name: &'static str,
    /// Its statements.
    pub text: &'static str,
}

impl Step {
    /// A step after which the programs before it can't work.
    pub const fn breaks(number: i64, name: &'static str, text: &'static str) -> Self {
        Self { effect: Effect::Breaks, number, name, text }
    }

    /// A step of which the programs before it notice nothing.
    pub const fn adds(number: i64, name: &'static str, text: &'static str) -> Self {
        Self { effect: Effect::Adds, number, name, text }
    }

    /// What is kept of its text: a sum that leaves out carriage returns, which some checkouts add.
    #[must_use]
    pub fn checksum(&self) -> String {
        format!("{:016x}", super::fnv(self.text.bytes().filter(|byte| *byte != b'\r')))
    }

    /// How people are told of it, as in `addition 1 (places)`.
    #[must_use]
    pub fn title(&self) -> String {
        title(self.effect, self.number, self.name)
    }

    fn is(&self, applied: &Applied) -> bool {
        (self.effect, self.number) == (applied.effect, applied.number)
    }
}

/// A row of one of the two lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// In which list it stands.
    pub effect: Effect,
    /// Its number.
    pub number: i64,
    /// Its name then.
    pub name: String,
    /// The [checksum](Step::checksum) of its text then.
    pub checksum: String,
    /// When it was applied.
    pub at: Timestamp,
}

/// How far a store's schema is, seen from a program that may work on it.
#[derive(Clone, Debug)]
pub struct Standing {
    steps: &'static [Step],
    applied: Vec<Applied>,
}

impl Standing {
    /// Holds what a store has against what a program knows, in the order in which it takes the steps. `what` names the store.
    ///
    /// # Errors
    /// - `TooNew`: the store has a step that breaks this program.
    /// - `Corrupt`: a step that both have was applied with another text.
    pub fn of(what: &str, steps: &'static [Step], applied: Vec<Applied>) -> Result<Self, StoreError> {
        for applied in &applied {
            let title = title(applied.effect, applied.number, &applied.name);
            let Some(step) = steps.iter().find(|step| step.is(applied)) else {
                if applied.effect == Effect::Adds {
                    // A newer program was here, and has left us what we need.
                    continue;
                }
                let message = format!("{what}: it has {title}, which changed what this version relies on; use a newer gristmill");
                return Err(StoreError::new(StoreErrorKind::TooNew, message));
            };
            let sum = step.checksum();
            if applied.checksum != sum {
                let message = format!(
                    "{what}: {title} was applied with another text (checksum {}, here {sum}); the tables were made by a different \
                     build",
                    applied.checksum
                );
                return Err(StoreError::new(StoreErrorKind::Corrupt, message));
            }
        }
        Ok(Self { steps, applied })
    }

    /// Whether nothing of ours is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty()
    }

    /// Whether there is nothing left to apply.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing().next().is_none()
    }

    /// What is left to apply, in order.
    pub fn missing(&self) -> impl Iterator<Item = &'static Step> + '_ {
        self.steps.iter().filter(|step| !self.applied.iter().any(|applied| step.is(applied)))
    }

    /// All steps: those known, in order, and then those that only a newer program knows.
    #[must_use]
    pub fn migrations(&self) -> Vec<Migration> {
        let known = self.steps.iter().map(|step| Migration {
            effect: step.effect,
            number: step.number,
            name: step.name.to_owned(),
            applied_at: self.applied.iter().find(|applied| step.is(applied)).map(|applied| applied.at),
        });
        let newer = self.applied.iter().filter(|applied| !self.steps.iter().any(|step| step.is(applied)));
        let newer = newer.map(|applied| Migration {
            effect: applied.effect,
            number: applied.number,
            name: applied.name.clone(),
            applied_at: Some(applied.at),
        });
        known.chain(newer).collect()
    }
}

/// The refusal of tables that are somebody else's: what is there, and what to do about it.
#[must_use]
pub fn not_ours(what: &str, holds: &str, remedy: &str) -> StoreError {
    StoreError::new(StoreErrorKind::NotOurs, format!("{what}: {holds}; {remedy}"))
}

/// The version of a schema for people, from how many steps of each effect it has: `7`, or `7, 2 additions`.
#[must_use]
pub fn version(migrations: i64, additions: i64) -> String {
    match additions {
        0 => migrations.to_string(),
        1 => format!("{migrations}, 1 addition"),
        _ => format!("{migrations}, {additions} additions"),
    }
}

/// What makes a list of steps one that can be kept: numbers that grow by one for each effect, and names. For the tests of a store.
///
/// # Errors
/// What is wrong with it.
pub fn check_steps(steps: &[Step]) -> Result<(), String> {
    for effect in [Effect::Breaks, Effect::Adds] {
        let numbers = steps.iter().filter(|step| step.effect == effect).map(|step| step.number);
        if !numbers.clone().eq(1..=numbers.clone().count() as i64) {
            return Err(format!("the numbers of {}s are {:?}", effect.word(), numbers.collect::<Vec<_>>()));
        }
    }
    // They stand in statements that are printed for people.
    let odd = |name: &str| name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    match steps.iter().find(|step| odd(step.name)) {
        Some(step) => Err(format!("{}: a name has lower-case letters", step.title())),
        None => Ok(()),
    }
}

fn title(effect: Effect, number: i64, name: &str) -> String {
    format!("{} {number} ({name})", effect.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step] = &[Step::breaks(1, "tables", "a"), Step::adds(1, "places", "b"), Step::breaks(2, "days", "c")];

    fn had(step: Step) -> Applied {
        Applied {
            effect: step.effect,
            number: step.number,
            name: step.name.to_owned(),
            checksum: step.checksum(),
            at: Timestamp::from_millis(1),
        }
    }

    #[test]
    fn what_breaks_is_refused_by_name_and_what_adds_is_not() {
        let newer = |step| Standing::of("x.db", STEPS, vec![had(STEPS[0]), had(step)]);
        let standing = newer(Step::adds(9, "keys", "z")).unwrap();
        assert_eq!(standing.migrations().last().map(|step| (step.number, step.applied_at.is_some())), Some((9, true)));
        assert!(!standing.is_complete());
        let error = newer(Step::breaks(9, "keys", "z")).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::TooNew);
        assert!(error.to_string().starts_with("x.db: it has migration 9 (keys), which"), "{error}");
    }

    #[test]
    fn the_same_number_of_the_other_effect_is_another_step() {
        let standing = Standing::of("x.db", STEPS, vec![had(STEPS[0])]).unwrap();
        assert_eq!(standing.missing().map(Step::title).collect::<Vec<_>>(), ["addition 1 (places)", "migration 2 (days)"]);
        assert!(Standing::of("x.db", STEPS, Vec::new()).unwrap().is_empty());
        assert!(Standing::of("x.db", STEPS, STEPS.iter().copied().map(had).collect()).unwrap().is_complete());
    }

    #[test]
    fn another_text_is_another_build() {
        for step in &STEPS[..2] {
            let error = Standing::of("x.db", STEPS, vec![had(Step { text: "other", ..*step })]).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        }
        let crlf = Step { text: "a\r\n", ..STEPS[0] };
        assert_eq!(crlf.checksum(), Step { text: "a\n", ..STEPS[0] }.checksum());
    }

    #[test]
    fn a_list_with_a_gap_is_none() {
        assert_eq!(check_steps(STEPS), Ok(()));
        assert!(check_steps(&STEPS[1..]).is_err());
        assert!(check_steps(&[Step::adds(1, "it's", "")]).is_err());
    }
}
