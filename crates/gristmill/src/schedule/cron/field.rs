use super::Dialect;
use super::parse::{Part, digits};
use crate::schedule::error::{FieldError, near};

/// What one field of an expression may say.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    min: u8,
    max: u8,
    names: &'static [&'static str],
}

pub(super) const SECOND: Field = Field { name: "second", min: 0, max: 59, names: &[] };
pub(super) const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
pub(super) const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
pub(super) const DAY: Field = Field { name: "day of month", min: 1, max: 31, names: &[] };
pub(super) const MONTH: Field = Field { name: "month", min: 1, max: 12, names: &MONTHS };
pub(super) const WEEKDAY: Field = Field { name: "day of week", min: 0, max: 6, names: &WEEKDAYS };

pub(in crate::schedule) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
pub(in crate::schedule) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl Field {
    /// The values of one item of a list: `*`, `5`, `1-5`, `22-2`, `*/10`, `1-30/2`, and in cron `5/10`.
    pub(super) fn values(&self, item: Part<'_>, dialect: Dialect) -> Result<u64, Box<FieldError>> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some((self.step(step, dialect)?, step))),
            None => (item, None),
        };
        let (first, last) = if range.text == "*" {
            (self.min, self.max)
        } else if let Some((first, last)) = range.split_once('-') {
            (self.value(first, dialect)?, self.value(last, dialect)?)
        } else {
            let first = self.value(range, dialect)?;
            match (&step, dialect) {
                (None, _) => (first, first),
                (Some(_), Dialect::Cron) => (first, self.max),
                (Some((step, written)), Dialect::Celery) => {
                    let error = self.error(item, "Celery takes a step only after `*` or a range");
                    // One that is longer than the field would be the first value alone, which nobody means.
                    let meant = (*step < self.cycle()).then(|| format!("{first}-{}/{}", self.max, written.text));
                    return Err(meant.into_iter().fold(error, FieldError::suggest));
                }
            }
        };
        let step = step.map_or(1, |(step, _)| step);
        Ok(self.expand(first, last, step))
    }

    /// The values from `first` to `last`, around the end of the field where `last` is the smaller one. Cron's Sunday 7 is 0.
    fn expand(&self, first: u8, last: u8, step: u8) -> u64 {
        let cycle = self.cycle();
        let (first, last) = if first > self.max { (first - cycle, last % cycle) } else { (first, last) };
        let length = if last < first { last + cycle - first } else { last - first };
        let value = |n: u8| self.min + (first - self.min + n) % cycle;
        (0..=length).step_by(usize::from(step)).fold(0, |bits, n| bits | 1 << value(n))
    }

    /// How many values there are.
    const fn cycle(&self) -> u8 {
        self.max - self.min + 1
    }

    /// One value: a number, or a name by its first three letters or more.
    pub(super) fn value(&self, part: Part<'_>, dialect: Dialect) -> Result<u8, Box<FieldError>> {
        let max = if self.name == WEEKDAY.name && dialect == Dialect::Cron { 7 } else { self.max };
        if let Some(number) = digits(part.text) {
            if let Some(value) = u8::try_from(number).ok().filter(|value| (self.min..=max).contains(value)) {
                return Ok(value);
            }
            let error = self.error(part, &format!("`{}` is out of range", part.text));
            // 24:00 is 00:00, minute 60 is minute 0, and Celery's Sunday is 0.
            let past = number == u32::from(self.max) + 1 && self.min == 0;
            let meant = past || (number == 0 && self.min == 1);
            return Err(if meant { error.suggest(self.min.to_string()) } else { error });
        }
        let lower = part.text.to_lowercase();
        let named =
            self.names.iter().zip(self.min..).find(|(name, _)| lower.len() >= 3 && name.to_lowercase().starts_with(&lower));
        named.map(|(_, value)| value).ok_or_else(|| self.unknown(part, dialect))
    }

    fn step(&self, part: Part<'_>, dialect: Dialect) -> Result<u8, Box<FieldError>> {
        let cycle = u32::from(self.cycle());
        match digits(part.text) {
            Some(0) => Err(self.error(part, "a step of 0 goes nowhere")),
            Some(step) if step < cycle => Ok(u8::try_from(step).unwrap_or(u8::MAX)),
            // Celery takes it, and so means the first value only.
            Some(_) if dialect == Dialect::Celery => Ok(u8::MAX),
            Some(step) => {
                let problem = format!(
                    "a step of {step} is longer than the field, and would be the first value only; an interval is written as `every`"
                );
                Err(self.error(part, &problem))
            }
            None => Err(self.error(part, &format!("`{}` is not a step: a number of at least 1 is", part.text))),
        }
    }

    fn unknown(&self, part: Part<'_>, dialect: Dialect) -> Box<FieldError> {
        if part.text.is_empty() {
            return self.error(part, "a value is missing");
        }
        let error = self.error(part, &format!("`{}` is not a value", part.text));
        let upper = part.text.to_uppercase();
        if upper == "?" {
            return error.suggest("*".to_owned());
        }
        let is_day = self.name == DAY.name || self.name == WEEKDAY.name;
        if dialect == Dialect::Cron && is_day && (matches!(upper.as_str(), "L" | "LW" | "WL") || upper.starts_with("L-")) {
            let problem =
                format!("`{}` goes with no range and no step; a distance from it, as in L-3, is not supported", part.text);
            return self.error(part, &problem);
        }
        if dialect == Dialect::Celery && upper.contains(['L', 'W', '#']) && upper.contains(|c: char| c.is_ascii_digit())
            || upper == "L"
        {
            return self.error(part, &format!("`{}` is not a value; L, W and # are for `cron`, in its day fields", part.text));
        }
        let short = self.names.iter().map(|name| &name[..3]);
        match near(part.text, short).into_iter().chain(near(part.text, self.names.iter().copied())).next() {
            Some(name) => error.suggest(name[..3].to_uppercase()),
            None => error,
        }
    }

    pub(super) fn error(&self, part: Part<'_>, problem: &str) -> Box<FieldError> {
        let names = match self.names {
            [first, .., last] => format!(" or {} to {}", first[..3].to_uppercase(), last[..3].to_uppercase()),
            _ => String::new(),
        };
        Box::new(FieldError {
            expr: part.expr.to_owned(),
            field: self.name,
            at: part.range(),
            problem: problem.to_owned(),
            allowed: format!("{} to {}{names}", self.min, self.max),
            suggestion: None,
        })
    }
}

impl FieldError {
    pub(super) fn suggest(mut self: Box<Self>, meant: String) -> Box<Self> {
        self.suggestion = Some(meant);
        self
    }
}
