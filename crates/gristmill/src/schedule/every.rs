use jiff::ToSpan;
use jiff::civil::{DateTime, date};

/// A Monday at midnight, so that aligned weeks begin on Mondays and whatever divides a day begins at midnight.
const ORIGIN: DateTime = date(1970, 1, 5).at(0, 0, 0, 0);

/// The first multiple of `every` milliseconds on the local clock at or after `from`.
pub(super) fn next_aligned(every: i64, from: DateTime) -> Option<DateTime> {
    let since = from.duration_since(ORIGIN);
    let ms = since.as_millis() + i128::from(since.subsec_nanos() % 1_000_000 > 0);
    let every = i128::from(every);
    let next = ms.div_euclid(every) * every + if ms.rem_euclid(every) > 0 { every } else { 0 };
    ORIGIN.checked_add(i64::try_from(next).ok()?.milliseconds()).ok()
}

/// The first instant after `after` (all in milliseconds) of those `every` apart from `first` on.
pub(super) fn next_counted(first: i64, every: i64, after: i64) -> Option<i64> {
    if after < first {
        return Some(first);
    }
    first.checked_add(((after - first) / every).checked_add(1)?.checked_mul(every)?)
}
