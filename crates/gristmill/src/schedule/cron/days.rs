use jiff::civil::Date;

/// The days that an expression names, by day of month and by day of week. Sets are bits; Sunday is 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Days {
    /// Days of the month: bits 1 to 31.
    pub(crate) of_month: u64,
    /// `L`: the last day of the month.
    pub(crate) last: bool,
    /// `LW`: the last of Monday to Friday in the month.
    pub(crate) last_workday: bool,
    /// `15W`: the nearest of Monday to Friday, in the same month. Bits 1 to 31.
    pub(crate) nearest: u64,
    /// Days of the week: bits 0 to 6.
    pub(crate) of_week: u64,
    /// `5#2`: the second Friday. Bits are days of the week, the first in the list is about the first of the month.
    pub(crate) nth: [u64; 5],
    /// `5L`: the last Friday of the month.
    pub(crate) last_of_week: u64,
    /// The day of month was written as something else than `*`.
    pub(crate) month_restricted: bool,
    /// The day of week was written as something else than `*`.
    pub(crate) week_restricted: bool,
    /// Celery's way: both must match. Cron's: either, where both are restricted.
    pub(crate) both: bool,
    /// Both are restricted and either suffices, though one begins with `*`: for Vixie's cron, and those that come from it, such a
    /// field restricts nothing, and they want both.
    pub(crate) starred: bool,
}

impl Days {
    /// The named days of the month that begins on `first`: bits 1 to 31.
    pub(super) fn of(&self, first: Date) -> u32 {
        let length = u32::try_from(first.days_in_month()).unwrap_or(31);
        let weekday_of_first = u32::try_from(first.weekday().to_sunday_zero_offset()).unwrap_or(0);
        let month = Month { length, weekday_of_first };
        match (self.month_restricted, self.week_restricted) {
            (true, true) if self.both => self.by_month(month) & self.by_week(month),
            (true, true) => self.by_month(month) | self.by_week(month),
            (true, false) => self.by_month(month),
            (false, true) => self.by_week(month),
            (false, false) => month.all(),
        }
    }

    fn by_month(&self, month: Month) -> u32 {
        let mut days = u32::try_from(self.of_month).unwrap_or(0) & month.all();
        if self.last {
            days |= 1 << month.length;
        }
        if self.last_workday {
            days |= 1 << month.nearest_workday(month.length);
        }
        for day in (1..=month.length).filter(|day| self.nearest >> day & 1 == 1) {
            days |= 1 << month.nearest_workday(day);
        }
        days
    }

    fn by_week(&self, month: Month) -> u32 {
        let named = |day: &u32| {
            let nth = usize::try_from((day - 1) / 7).ok().and_then(|nth| self.nth.get(nth)).copied().unwrap_or(0);
            let last = if day + 7 > month.length { self.last_of_week } else { 0 };
            (self.of_week | nth | last) >> month.weekday(*day) & 1 == 1
        };
        (1..=month.length).filter(named).fold(0, |days, day| days | 1 << day)
    }
}

#[derive(Clone, Copy)]
struct Month {
    length: u32,
    weekday_of_first: u32,
}

impl Month {
    fn all(self) -> u32 {
        (u32::MAX >> (31 - self.length)) & !1
    }

    fn weekday(self, day: u32) -> u32 {
        (self.weekday_of_first + day - 1) % 7
    }

    /// The day of Monday to Friday nearest to `day`, without leaving the month.
    fn nearest_workday(self, day: u32) -> u32 {
        match self.weekday(day) {
            6 if day == 1 => 3,
            6 => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        }
    }
}
