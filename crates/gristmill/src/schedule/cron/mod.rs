//! Both dialects of cron as one thing: the readings of the local clock that an expression names.

mod days;
mod field;
mod parse;

use jiff::civil::{Date, DateTime, Time};

pub(super) use self::days::Days;
pub(super) use self::field::{MONTHS, WEEKDAYS};

/// How an expression is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Cron,
    Celery,
}

/// A parsed expression. Sets are bits: bit 5 of `hours` is 05:00.
#[derive(Clone, Debug)]
pub(super) struct Cron {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    pub(super) months: u64,
    pub(super) days: Days,
    /// Whether the hours or minutes were written with a wildcard or a step.
    pub(super) steps: bool,
}

/// All calendars there are: within these 28 years a year begins on each day of the week, as a leap year and as another.
const ALL_CALENDARS: std::ops::RangeInclusive<i16> = 2001..=2028;

impl Cron {
    /// The first named reading at or after `from`; nothing after the year 9999.
    ///
    /// Looks at months, then at days, hours, minutes and seconds, each by its bits: an expression that names a day at all
    /// names one within 40 years (29 February around 2100, on one weekday), so at most 480 months are looked at.
    pub(super) fn next_from(&self, from: DateTime) -> Option<DateTime> {
        let from = if from.subsec_nanosecond() == 0 {
            from
        } else {
            from.with().subsec_nanosecond(0).build().ok()?.checked_add(jiff::Span::new().seconds(1)).ok()?
        };
        self.months_from(from.date()).find_map(|(month, mut days)| {
            while days > 0 {
                let date = Date::new(month.year(), month.month(), i8::try_from(days.trailing_zeros()).ok()?).ok()?;
                let earliest = if date == from.date() { from.time() } else { Time::midnight() };
                if let Some(time) = self.time_from(earliest) {
                    return Some(date.to_datetime(time));
                }
                days &= days - 1;
            }
            None
        })
    }

    /// The months from `from` on that the expression names, with their named days as bits.
    fn months_from(&self, from: Date) -> impl Iterator<Item = (Date, u32)> {
        let first = from.first_of_month();
        let later = std::iter::successors(first.checked_add(jiff::Span::new().months(1)).ok(), |month| {
            month.checked_add(jiff::Span::new().months(1)).ok()
        });
        let whole = later.map(|month| (month, u32::MAX));
        std::iter::once((first, u32::MAX << from.day()))
            .chain(whole)
            .filter(|(month, _)| self.months >> month.month() & 1 == 1)
            .map(|(month, mask)| (month, self.days.of(month) & mask))
    }

    /// The first named time of a day at or after `from`.
    fn time_from(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let at = |hour, minute, second| Time::new(hour, minute, second, 0).ok();
        let (first_minute, first_second) = (at_or_after(self.minutes, 0)?, at_or_after(self.seconds, 0)?);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = at_or_after(self.seconds, second)
            {
                return at(hour, minute, second);
            }
            if let Some(minute) = at_or_after(self.minutes, minute + 1) {
                return at(hour, minute, first_second);
            }
        }
        at(at_or_after(self.hours, hour + 1)?, first_minute, first_second)
    }

    /// Whether any month has a day that the expression names.
    fn names_a_day(&self) -> bool {
        let mut months = ALL_CALENDARS.flat_map(|year| (1..=12).filter_map(move |month| Date::new(year, month, 1).ok()));
        months.any(|month| has(self.months, month.month()) && self.days.of(month) > 0)
    }
}

fn has(bits: u64, value: i8) -> bool {
    at_or_after(bits, value) == Some(value)
}

/// The first value of the set at or after `value`.
fn at_or_after(bits: u64, value: i8) -> Option<i8> {
    let rest = bits & u64::MAX.checked_shl(u32::try_from(value).ok()?)?;
    (rest > 0).then(|| rest.trailing_zeros()).and_then(|value| i8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
