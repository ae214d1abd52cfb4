//! Rules in words, for lists. What has no short sentence keeps its expression.

use std::time::Duration;

use gristmill_core::format_duration;

use super::cron::{Cron, Days, MONTHS, WEEKDAYS};
use super::rule::Rule;

/// The rule in words, with its zone where the rule is about the local clock. `cron` is what was parsed, where it is one.
pub(super) fn describe(rule: &Rule, zone: &str, cron: Option<&Cron>) -> String {
    match rule {
        Rule::Every { every, aligned: false, .. } => interval(*every),
        Rule::Every { every, aligned: true, .. } => format!("{} on the clock, {zone}", interval(*every)),
        Rule::Cron { expr } | Rule::Crontab { expr } => {
            let words = cron.and_then(|cron| Some(format!("{}, {zone}", sentence(cron)?)));
            let kind = if matches!(rule, Rule::Cron { .. }) { "cron" } else { "crontab" };
            words.unwrap_or_else(|| format!("{kind} `{}`, {zone}", expr.trim()))
        }
        Rule::Solar { event, latitude, longitude } => {
            let event = match event.name().split_once('_') {
                Some((part, kind)) if part != "solar" => format!("{kind} {part}"),
                _ => event.name().replace('_', " "),
            };
            format!("at {event} at {latitude}, {longitude}")
        }
        Rule::On { at } => format!("once at {}", at.to_string().replace(".000Z", "Z")),
    }
}

/// `every minute`, `every 10 minutes`; an odd one as it is written: `every 1500ms`.
fn interval(every: Duration) -> String {
    let text = format_duration(every);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "d" => "day",
        "h" => "hour",
        "m" => "minute",
        "s" => "second",
        _ => return format!("every {text}"),
    };
    match digits.parse::<u64>() {
        Ok(days) if unit == "day" && days.is_multiple_of(7) => counted(days / 7, "week"),
        Ok(count) => counted(count, unit),
        Err(_) => format!("every {text}"),
    }
}

fn counted(count: u64, unit: &str) -> String {
    if count == 1 { format!("every {unit}") } else { format!("every {count} {unit}s") }
}

fn sentence(cron: &Cron) -> Option<String> {
    let (often, times) = time(cron)?;
    let when = [days(&cron.days, cron.months)?, months(cron)?];
    let when = when.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ");
    // Times alone leave the days open; "every ten minutes" does not.
    let when = if when.is_empty() && times { "every day".to_owned() } else { when };
    Some(if when.is_empty() { often } else { format!("{often} {when}") })
}

/// The time of day in words, and whether it names times rather than how often.
fn time(cron: &Cron) -> Option<(String, bool)> {
    let (seconds, minutes, hours) = (values(cron.seconds), values(cron.minutes), values(cron.hours));
    match (seconds.as_slice(), minutes.as_slice(), hours.as_slice()) {
        (seconds, minutes, hours) if minutes.len() == 60 && hours.len() == 24 && seconds != [0] => {
            Some((counted(step(seconds, 60)?, "second"), false))
        }
        ([0], minutes, hours) if minutes.len() > 4 && hours.len() == 24 => Some((counted(step(minutes, 60)?, "minute"), false)),
        ([0], [minute], hours) if hours.len() > 4 => {
            let often = counted(step(hours, 24)?, "hour");
            Some((if *minute == 0 { often } else { format!("{often} at :{minute:02}") }, false))
        }
        ([second], minutes, hours) if minutes.len() * hours.len() <= 4 => {
            let clock = |hour: &u64, minute: &u64| match second {
                0 => format!("{hour:02}:{minute:02}"),
                _ => format!("{hour:02}:{minute:02}:{second:02}"),
            };
            let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| clock(hour, minute)));
            Some((format!("at {}", join(&times.collect::<Vec<_>>())), true))
        }
        _ => None,
    }
}

/// The distance, where the values go through all of the field in even steps.
fn step(values: &[u64], cycle: u64) -> Option<u64> {
    let step = cycle / u64::try_from(values.len()).ok()?;
    let even = cycle.is_multiple_of(step) && values.iter().zip(0..).all(|(value, n)| *value == n * step);
    even.then_some(step)
}

fn days(days: &Days, months: u64) -> Option<String> {
    Some(match (days.month_restricted, days.week_restricted) {
        (false, false) => String::new(),
        (true, false) => format!("on {}", by_month(days, months)?),
        (false, true) => format!("on {}", by_week(days)?),
        (true, true) if days.both => format!("on {} if it is {}", by_month(days, months)?, by_week(days)?),
        (true, true) => format!("on {} or on {}", by_month(days, months)?, by_week(days)?),
    })
}

fn by_month(days: &Days, months: u64) -> Option<String> {
    let (of_month, nearest) = (values(days.of_month), values(days.nearest));
    let texts = match (of_month.as_slice(), nearest.as_slice(), days.last, days.last_workday) {
        (numbers @ [_, ..], [], false, false) if numbers.len() <= 4 => {
            let day = if numbers.len() == 1 { "day" } else { "days" };
            format!("{day} {}", join(&numbers.iter().map(u64::to_string).collect::<Vec<_>>()))
        }
        ([], [day], false, false) => format!("the weekday nearest to day {day}"),
        ([], [], true, false) => "the last day".to_owned(),
        ([], [], false, true) => "the last weekday".to_owned(),
        _ => return None,
    };
    Some(if values(months).len() == 12 { format!("{texts} of the month") } else { texts })
}

fn by_week(days: &Days) -> Option<String> {
    const NTH: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    let of_week = values(days.of_week);
    let names = |bits: u64| join(&values(bits).iter().map(|day| weekday(*day).to_owned()).collect::<Vec<_>>());
    let nth: Vec<_> = days.nth.iter().zip(NTH).filter(|(bits, _)| **bits > 0).collect();
    match (of_week.as_slice(), nth.as_slice(), days.last_of_week) {
        ([1, 2, 3, 4, 5], [], 0) => Some("weekdays".to_owned()),
        ([_, ..], [], 0) => Some(names(days.of_week)),
        ([], [(bits, nth)], 0) => Some(format!("the {nth} {} of the month", names(**bits))),
        ([], [], last) if last > 0 => Some(format!("the last {} of the month", names(last))),
        _ => None,
    }
}

fn months(cron: &Cron) -> Option<String> {
    let months = values(cron.months);
    let name = |month: &u64| usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month)).map(|name| (*name).to_owned());
    match months.len() {
        12 => Some(String::new()),
        1..=4 => Some(format!("in {}", join(&months.iter().filter_map(name).collect::<Vec<_>>()))),
        _ => None,
    }
}

fn weekday(day: u64) -> &'static str {
    usize::try_from(day).ok().and_then(|day| WEEKDAYS.get(day)).copied().unwrap_or("?")
}

/// The values of a set, in order.
fn values(bits: u64) -> Vec<u64> {
    (0..64).filter(|value| bits >> value & 1 == 1).collect()
}

fn join(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rule, SolarEvent, Timing};
    use super::Duration;

    #[test]
    fn rules_are_described_in_words() {
        let cases = [
            ("* * * * *", "every minute"),
            ("*/10 * * * *", "every 10 minutes"),
            ("*/10 * * * * *", "every 10 seconds"),
            ("* * * * * *", "every second"),
            ("*/20 * * * * *", "every 20 seconds"),
            ("@hourly", "every hour"),
            ("15 * * * *", "every hour at :15"),
            ("0 */2 * * *", "every 2 hours"),
            ("30 */3 * * MON-FRI", "every 3 hours at :30 on weekdays"),
            ("0 0,6,12,18 * * *", "at 00:00, 06:00, 12:00 and 18:00 every day"),
            ("0 3 * * *", "at 03:00 every day"),
            ("0 3 * * 1-5", "at 03:00 on weekdays"),
            ("15 0 3 * * SAT,SUN", "at 03:00:15 on Sunday and Saturday"),
            ("0 0 1 * *", "at 00:00 on day 1 of the month"),
            ("0 0 1,15 * *", "at 00:00 on days 1 and 15 of the month"),
            ("@yearly", "at 00:00 on day 1 in January"),
            ("0 9 L * *", "at 09:00 on the last day of the month"),
            ("0 9 LW * *", "at 09:00 on the last weekday of the month"),
            ("0 9 15W * *", "at 09:00 on the weekday nearest to day 15 of the month"),
            ("0 9 * * 2#2", "at 09:00 on the second Tuesday of the month"),
            ("0 9 * * 5L", "at 09:00 on the last Friday of the month"),
            ("0 0 13 * FRI", "at 00:00 on day 13 of the month or on Friday"),
            ("*/7 * * * *", "cron `*/7 * * * *`"),
            ("1-7 3-9 */3 * *", "cron `1-7 3-9 */3 * *`"),
        ];
        for (expr, words) in cases {
            assert_eq!(Timing::new(Rule::cron(expr)).plan().unwrap().describe(), format!("{words}, UTC"), "{expr}");
        }
        let others = [
            (Rule::crontab("0 0 13 * fri"), "at 00:00 on day 13 of the month if it is Friday, Europe/Rome"),
            (Rule::every(Duration::from_secs(600)), "every 10 minutes"),
            (Rule::every(Duration::from_millis(1_500)), "every 1500ms"),
            (Rule::every(Duration::from_secs(14 * 86_400)), "every 2 weeks"),
            (Rule::aligned(Duration::from_secs(86_400)), "every day on the clock, Europe/Rome"),
            (Rule::solar(SolarEvent::Sunset, 51.5, -0.1), "at sunset at 51.5, -0.1"),
            (Rule::solar(SolarEvent::DawnCivil, 51.5, -0.1), "at civil dawn at 51.5, -0.1"),
            (Rule::solar(SolarEvent::SolarNoon, 51.5, -0.1), "at solar noon at 51.5, -0.1"),
            (Rule::on("2027-01-31T09:00:00Z".parse().unwrap()), "once at 2027-01-31T09:00:00Z"),
        ];
        for (rule, words) in others {
            // Zones are found in any case, and shown in their own.
            assert_eq!(Timing::new(rule).tz("europe/rome").plan().unwrap().describe(), words);
        }
    }
}
