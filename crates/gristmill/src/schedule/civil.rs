//! From the local clock to instants: what happens where the local clock jumps.

use gristmill_core::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, ToSpan};

use super::cron::Cron;
use super::every::next_aligned;

/// What is written in terms of the local clock.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Cron(Cron),
    /// Multiples of so many milliseconds.
    Aligned(i64),
}

impl Pattern {
    /// The first reading of the local clock at or after `from` that the pattern names.
    fn next_from(&self, from: DateTime) -> Option<DateTime> {
        match self {
            Self::Cron(cron) => cron.next_from(from),
            Self::Aligned(every) => next_aligned(*every, from),
        }
    }

    /// Whether the pattern goes along with the clock, reading by reading: then a reading that comes twice counts twice,
    /// and one that does not come does not count. Otherwise it names times of a day, and each of them happens once.
    fn follows_the_clock(&self) -> bool {
        match self {
            Self::Cron(cron) => cron.steps,
            Self::Aligned(every) => *every < 86_400_000,
        }
    }

    /// The first tick after `after`.
    pub(super) fn next_after(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let instant = instant(after)?;
        let local = zone.to_datetime(instant);
        let next = local.checked_add(1.millisecond()).ok()?;
        let Some(fold) = Fold::at(zone, instant, local) else { return self.first_from(zone, next) };
        if !self.follows_the_clock() {
            return self.first_from(zone, if fold.second_pass { next.max(fold.end) } else { next });
        }
        if !fold.second_pass {
            let reading = self.next_from(next)?;
            if reading < fold.end {
                return fold.earlier.to_timestamp(reading).ok().map(timestamp);
            }
        }
        let reading = self.next_from(if fold.second_pass { next } else { fold.start })?;
        if reading < fold.end {
            return fold.later.to_timestamp(reading).ok().map(timestamp);
        }
        self.first_from(zone, reading)
    }

    /// The tick of the first reading at or after `from`, on its first pass.
    fn first_from(&self, zone: &TimeZone, from: DateTime) -> Option<Timestamp> {
        let mut reading = self.next_from(from)?;
        loop {
            let instant = match zone.to_ambiguous_timestamp(reading).offset() {
                AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(reading),
                AmbiguousOffset::Fold { before, .. } => before.to_timestamp(reading),
                AmbiguousOffset::Gap { before, .. } => {
                    let jump = last_change(zone, before.to_timestamp(reading).ok()?)?;
                    if self.follows_the_clock() {
                        reading = self.next_from(zone.to_datetime(jump))?;
                        continue;
                    }
                    Ok(jump)
                }
            };
            return instant.ok().map(timestamp);
        }
    }

    /// The first reading that the pattern names in the gap which ends at `at`, if one does and the pattern makes up for it.
    fn in_the_gap(&self, zone: &TimeZone, at: jiff::Timestamp) -> Option<DateTime> {
        if self.follows_the_clock() {
            return None;
        }
        let before = zone.to_offset(at.checked_sub(1.millisecond()).ok()?);
        let (from, to) = (before.to_datetime(at), zone.to_datetime(at));
        if from >= to {
            return None;
        }
        self.next_from(from).filter(|reading| *reading < to)
    }
}

/// A stretch of the local clock that comes twice.
struct Fold {
    start: DateTime,
    end: DateTime,
    earlier: Offset,
    later: Offset,
    second_pass: bool,
}

impl Fold {
    /// The stretch in which the clock reads `local` at `instant`, if it comes twice.
    fn at(zone: &TimeZone, instant: jiff::Timestamp, local: DateTime) -> Option<Self> {
        let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(local).offset() else { return None };
        let second_pass = zone.to_offset(instant) == after;
        let jump = if second_pass { last_change(zone, instant)? } else { next_change(zone, instant)? };
        let (start, end) = (after.to_datetime(jump), before.to_datetime(jump));
        Some(Self { start, end, earlier: before, later: after, second_pass })
    }
}

/// What daylight saving did to the tick `at`, in words; nothing where it did nothing.
pub(super) fn remark(pattern: Option<&Pattern>, zone: &TimeZone, at: Timestamp) -> Option<String> {
    let instant = instant(at)?;
    let local = zone.to_datetime(instant);
    if let Some(fold) = Fold::at(zone, instant, local) {
        let pass = if fold.second_pass { "second" } else { "first" };
        return Some(format!("{pass} of two {}", clock(local)));
    }
    let missing = pattern?.in_the_gap(zone, instant)?;
    Some(if missing.date() == local.date() {
        format!("in the gap: {} does not exist, runs at {}", clock(missing), clock(local))
    } else {
        let day = |reading: DateTime| format!("{} {}", reading.date(), clock(reading));
        format!("in the gap: {} does not exist, runs at {}", day(missing), day(local))
    })
}

/// The time of day, without seconds where there are none.
pub(super) fn clock(reading: DateTime) -> String {
    let (hour, minute, second) = (reading.hour(), reading.minute(), reading.second());
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

/// The last instant at or before `at` at which the zone's offset changed. Some transitions change only a name.
fn last_change(zone: &TimeZone, at: jiff::Timestamp) -> Option<jiff::Timestamp> {
    let after = at.checked_add(1.millisecond()).ok()?;
    zone.preceding(after).map(|transition| transition.timestamp()).find(|jump| changes(zone, *jump))
}

/// The first instant after `at` at which the zone's offset changes.
fn next_change(zone: &TimeZone, at: jiff::Timestamp) -> Option<jiff::Timestamp> {
    zone.following(at).map(|transition| transition.timestamp()).find(|jump| changes(zone, *jump))
}

fn changes(zone: &TimeZone, jump: jiff::Timestamp) -> bool {
    let just_before = jump.saturating_sub(SignedDuration::from_millis(1)).unwrap_or(jump);
    zone.to_offset(just_before) != zone.to_offset(jump)
}

pub(super) fn instant(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(at.as_millis()).ok()
}

fn timestamp(instant: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(instant.as_millisecond())
}
