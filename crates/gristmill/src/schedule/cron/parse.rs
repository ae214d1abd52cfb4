use std::ops::Range;

use super::field::{DAY, Field, HOUR, MINUTE, MONTH, SECOND, WEEKDAY};
use super::{Cron, Days, Dialect};
use crate::schedule::error::{FieldError, RuleError, near};

/// The longest expression, in bytes.
const EXPRESSION_MAX: usize = 1_000;

const ALIASES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Cron {
    /// Reads an expression. What can't ever name a day is refused as well.
    pub(in crate::schedule) fn parse(expr: &str, dialect: Dialect) -> Result<Self, RuleError> {
        if expr.len() > EXPRESSION_MAX {
            let problem = format!("it has {} bytes, and {EXPRESSION_MAX} are allowed", expr.len());
            return Err(RuleError::Expression { expr: expr.chars().take(40).collect(), problem });
        }
        if let Some(odd) = expr.chars().find(|c| c.is_whitespace() && !is_blank(*c)) {
            let code = u32::from(odd);
            let problem = format!("it has the character U+{code:04X}, and fields are separated by spaces and tabs only");
            return Err(RuleError::Expression { expr: expr.to_owned(), problem });
        }
        let whole = expr.trim_matches(is_blank);
        let expr = if whole.starts_with('@') && dialect == Dialect::Cron { alias(whole)? } else { expr };
        let cron = Self::read(expr, dialect)?;
        if cron.names_a_day() {
            return Ok(cron);
        }
        let why = "none of its months ever has such a day (February has at most 29; April, June, September and November have 30)";
        Err(RuleError::NeverTicks { what: format!("`{expr}`"), why: why.to_owned() })
    }

    fn read(expr: &str, dialect: Dialect) -> Result<Self, RuleError> {
        let parts: Vec<_> = Part::whole(expr).split(is_blank).filter(|part| !part.text.is_empty()).collect();
        let (seconds, [minute, hour, day, month, weekday]) = match (parts.as_slice(), dialect) {
            (&[minute, hour, day, month, weekday], _) => (1, [minute, hour, day, month, weekday]),
            (&[second, minute, hour, day, month, weekday], Dialect::Cron) => {
                (set(&SECOND, second, dialect)?, [minute, hour, day, month, weekday])
            }
            _ => return Err(wrong_count(expr, parts.len(), dialect)),
        };
        Ok(Self {
            seconds,
            minutes: set(&MINUTE, minute, dialect)?,
            hours: set(&HOUR, hour, dialect)?,
            days: days(day, weekday, dialect)?,
            months: set(&MONTH, month, dialect)?,
            steps: [minute, hour].iter().any(|part| part.text.contains(['*', '/'])),
        })
    }
}

/// What separates fields. Of what looks like a space, and is none, nobody would see how it was read.
fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn alias(name: &str) -> Result<&'static str, RuleError> {
    let lower = name.to_lowercase();
    let found = ALIASES.iter().find(|(alias, _)| *alias == lower);
    found.map(|(_, expr)| *expr).ok_or_else(|| {
        let names = ALIASES.map(|(alias, _)| alias);
        let meant = near(name, names.into_iter()).into_iter().next().map(|near| format!(". Did you mean `{near}`?"));
        let problem = format!("there are {}{}", names.join(", "), meant.unwrap_or_default());
        RuleError::Expression { expr: name.to_owned(), problem }
    })
}

fn wrong_count(expr: &str, count: usize, dialect: Dialect) -> RuleError {
    let problem = match (dialect, count) {
        (Dialect::Cron, 7) => "it has 7 fields, and years are not among them: a schedule's start and end bound it".to_owned(),
        (Dialect::Cron, _) => format!(
            "it has {count} fields; five are needed (minute, hour, day of month, month, day of week), or six with seconds first"
        ),
        (Dialect::Celery, 6) => "it has 6 fields; Celery's crontab has no seconds, `cron` has".to_owned(),
        (Dialect::Celery, _) => {
            format!("it has {count} fields; five are needed (minute, hour, day of month, month, day of week)")
        }
    };
    RuleError::Expression { expr: expr.to_owned(), problem }
}

/// The values of a list.
fn set(field: &Field, part: Part<'_>, dialect: Dialect) -> Result<u64, Box<FieldError>> {
    part.split(|c| c == ',').try_fold(0, |bits, item| Ok(bits | field.values(item, dialect)?))
}

fn days(day: Part<'_>, weekday: Part<'_>, dialect: Dialect) -> Result<Days, Box<FieldError>> {
    let unrestricted = |part: Part<'_>| part.split(|c| c == ',').any(|item| item.text == "*" || item.text == "?");
    let mut days = Days {
        month_restricted: !unrestricted(day),
        week_restricted: !unrestricted(weekday),
        both: dialect == Dialect::Celery,
        ..Days::default()
    };
    let starred = day.text.starts_with('*') || weekday.text.starts_with('*');
    days.starred = dialect == Dialect::Cron && starred && days.month_restricted && days.week_restricted;
    for item in day.split(|c| c == ',') {
        day_item(&mut days, item, dialect)?;
    }
    for item in weekday.split(|c| c == ',') {
        weekday_item(&mut days, item, dialect)?;
    }
    Ok(days)
}

fn day_item(days: &mut Days, item: Part<'_>, dialect: Dialect) -> Result<(), Box<FieldError>> {
    if dialect == Dialect::Celery {
        days.of_month |= DAY.values(item, dialect)?;
        return Ok(());
    }
    let upper = item.text.to_ascii_uppercase();
    match upper.as_str() {
        "?" => {}
        "L" => days.last = true,
        "LW" | "WL" => days.last_workday = true,
        _ => match upper.strip_suffix('W') {
            Some(number) => days.nearest |= 1 << DAY.value(item.cut(0..number.len()), dialect)?,
            None => days.of_month |= DAY.values(item, dialect)?,
        },
    }
    Ok(())
}

fn weekday_item(days: &mut Days, item: Part<'_>, dialect: Dialect) -> Result<(), Box<FieldError>> {
    if dialect == Dialect::Celery {
        days.of_week |= WEEKDAY.values(item, dialect)?;
        return Ok(());
    }
    let bit = |part| Ok::<_, Box<FieldError>>(1 << (WEEKDAY.value(part, dialect)? % 7));
    let upper = item.text.to_ascii_uppercase();
    if let Some((weekday, nth)) = item.split_once('#') {
        match digits(nth.text).and_then(|nth| days.nth.get_mut(usize::try_from(nth).ok()?.checked_sub(1)?)) {
            Some(of) => *of |= bit(weekday)?,
            None if nth.text.eq_ignore_ascii_case("L") => days.last_of_week |= bit(weekday)?,
            None => return Err(WEEKDAY.error(nth, "after `#` comes 1 to 5, or L for the last one of the month")),
        }
    } else if let Some(weekday) = upper.strip_suffix('L').filter(|weekday| !weekday.is_empty()) {
        days.last_of_week |= bit(item.cut(0..weekday.len()))?;
    } else if upper.strip_prefix('L').is_some_and(|weekday| weekday.is_empty() || digits(weekday).is_some()) {
        let meant = upper[1..].chars().next().unwrap_or('5');
        return Err(WEEKDAY.error(item, "the last one of a month is written with the day first").suggest(format!("{meant}L")));
    } else if upper != "?" {
        days.of_week |= WEEKDAY.values(item, dialect)?;
    }
    Ok(())
}

/// A number without a sign; one with too many digits is larger than any limit.
pub(super) fn digits(text: &str) -> Option<u32> {
    let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| text.parse().unwrap_or(u32::MAX))
}

/// A part of an expression that knows where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) expr: &'a str,
    pub(super) text: &'a str,
    start: usize,
}

impl<'a> Part<'a> {
    const fn whole(expr: &'a str) -> Self {
        Self { expr, text: expr, start: 0 }
    }

    pub(super) const fn range(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn cut(self, range: Range<usize>) -> Self {
        Self { text: self.text.get(range.clone()).unwrap_or(""), start: self.start + range.start, ..self }
    }

    fn split(self, at: fn(char) -> bool) -> impl Iterator<Item = Self> {
        let base = self.text.as_ptr().addr();
        self.text.split(at).map(move |piece| {
            let start = piece.as_ptr().addr() - base;
            self.cut(start..start + piece.len())
        })
    }

    pub(super) fn split_once(self, at: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(at)?;
        let end = self.text.len();
        Some((self.cut(0..left.len()), self.cut(end - right.len()..end)))
    }
}
