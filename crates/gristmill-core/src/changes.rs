//! What happened in a store, for whoever shows it: in an order that can be resumed from.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::{Effects, Fence, InvalidInput, TaskId, limits};

/// A place in the order of what one handle of a store has seen happen, to be resumed from. As text it can be handed to
/// somebody else, such as a browser, who brings it back.
///
/// ```
/// # use gristmill_core::Mark;
/// # fn main() -> Result<(), gristmill_core::InvalidInput> {
/// let mark: Mark = "67e5504410b1426f9247bb680e5fe0c8.17".parse()?;
/// assert_eq!(mark.to_string(), "67e5504410b1426f9247bb680e5fe0c8.17");
/// assert!("17".parse::<Mark>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Another handle's numbers are others.
    life: Uuid,
    number: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.life.simple(), self.number)
    }
}

impl FromStr for Mark {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mark = text.split_once('.').and_then(|(life, number)| {
            let life = Uuid::try_parse(life).ok()?;
            Some(Self { life, number: number.parse().ok()? })
        });
        mark.ok_or_else(|| InvalidInput::new("mark", "is none that was given out; leave it away to begin with now"))
    }
}

/// What happened since a [`Mark`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Where to resume.
    pub mark: Mark,
    /// Tasks that ended since, in their order; one that ended twice, after a retry, is there twice. If the mark has moved and
    /// none is here, something else happened: a task came or began to run, a queue was paused.
    pub ended: Vec<TaskId>,
    /// More may have happened than is said here, so that everything shown has to be read again: too much, too long ago, in
    /// another process that did not say what, or the mark is another handle's.
    pub missed: bool,
}

/// Keeps the order of what happened for [`Changes`]. Costs nothing until somebody asks for the first time.
#[derive(Debug, Default)]
pub struct ChangeLog {
    /// None as long as nobody has asked.
    life: Option<Uuid>,
    number: u64,
    /// What came up to here is not known.
    known_from: u64,
    ended: VecDeque<(u64, TaskId)>,
}

impl ChangeLog {
    /// Keeps what a commit brought about; true if that is anything.
    pub fn add(&mut self, effects: &Effects) -> bool {
        if self.life.is_none() || !effects.are_news() {
            return false;
        }
        self.number += 1;
        let kept = effects.ended.iter().map(|id| (self.number, *id));
        self.ended.extend(kept);
        while self.ended.len() > limits::CHANGES_KEPT
            && let Some((number, _)) = self.ended.pop_front()
        {
            self.known_from = number;
        }
        true
    }

    /// Something happened, but not what.
    pub fn add_unknown(&mut self) {
        if self.life.is_some() {
            self.number += 1;
            self.known_from = self.number;
            self.ended.clear();
        }
    }

    /// What happened since. Without a mark: where things stand now. `life` names this log from the first time on.
    pub fn since(&mut self, mark: Option<Mark>, life: impl FnOnce() -> Fence) -> Changes {
        let life = *self.life.get_or_insert_with(|| life().as_uuid());
        let now = Mark { life, number: self.number };
        let Some(mark) = mark else { return Changes { mark: now, ended: Vec::new(), missed: false } };
        let missed = mark.life != life || mark.number < self.known_from || mark.number > self.number;
        let from = self.ended.partition_point(|(number, _)| *number <= mark.number);
        let ended = if missed { Vec::new() } else { self.ended.iter().skip(from).map(|(_, id)| *id).collect() };
        Changes { mark: now, ended, missed }
    }

    /// Whether something happened since.
    pub fn is_past(&self, mark: Mark) -> bool {
        self.life != Some(mark.life) || self.number != mark.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (ChangeLog, impl Fn(u128) -> TaskId, Fence) {
        (ChangeLog::default(), |n| TaskId::from_uuid(Uuid::from_u128(n)), Fence::from_uuid(Uuid::from_u128(7)))
    }

    fn ended(ids: &[TaskId]) -> Effects {
        Effects { ended: ids.to_vec(), ..Effects::default() }
    }

    #[test]
    fn whoever_resumes_gets_what_came_since_in_its_order_and_once() {
        let (mut log, id, life) = log();
        assert!(!log.add(&ended(&[id(1)])), "nobody has asked yet");
        let start = log.since(None, || life);
        assert_eq!((start.ended.len(), start.missed), (0, false));
        assert!(!log.is_past(start.mark));
        assert!(log.add(&ended(&[id(2), id(3)])) && log.add(&Effects { readied: true, ..Effects::default() }));
        assert!(!log.add(&Effects { swept: true, ..Effects::default() }), "a look changes nothing");
        assert!(log.is_past(start.mark));
        let two = log.since(Some(start.mark), || life);
        assert_eq!((&two.ended, two.missed), (&vec![id(2), id(3)], false));
        assert!(log.add(&ended(&[id(2)])));
        assert_eq!(log.since(Some(two.mark), || life).ended, [id(2)]);
        assert_eq!(log.since(Some(start.mark), || life).ended, [id(2), id(3), id(2)]);
        assert_eq!(log.since(Some(two.mark.to_string().parse().unwrap()), || life).ended, [id(2)]);
    }

    #[test]
    fn what_was_missed_is_said() {
        let (mut log, id, life) = log();
        let start = log.since(None, || life).mark;
        log.add_unknown();
        let unknown = log.since(Some(start), || life);
        assert!(unknown.missed && unknown.mark != start);
        assert!(!log.since(Some(unknown.mark), || life).missed, "it is said once");
        // More than is kept: one is forgotten with all that ended in its commit.
        log.add(&ended(&[id(1), id(2)]));
        let one = log.since(Some(unknown.mark), || life).mark;
        for _ in 0..limits::CHANGES_KEPT - 1 {
            log.add(&ended(&[id(3)]));
        }
        assert!(log.since(Some(unknown.mark), || life).missed);
        let rest = log.since(Some(one), || life);
        assert_eq!((rest.ended.len(), rest.missed), (limits::CHANGES_KEPT - 1, false));
        // Marks of others, and from before a restart.
        let other = Mark { life: Uuid::from_u128(8), ..rest.mark };
        assert!(log.is_past(other) && log.since(Some(other), || life).missed);
        let ahead = Mark { number: rest.mark.number + 1, ..rest.mark };
        assert!(log.is_past(ahead) && log.since(Some(ahead), || life).missed);
        for text in
            ["", ".", "x.1", "67e5504410b1426f9247bb680e5fe0c8.-1", "67e5504410b1426f9247bb680e5fe0c8.99999999999999999999"]
        {
            assert!(text.parse::<Mark>().is_err(), "{text}");
        }
    }
}
