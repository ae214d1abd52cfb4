use jiff::civil::{DateTime, date};

use super::{Cron, Dialect};
use crate::schedule::RuleError;

fn cron(expr: &str) -> Cron {
    Cron::parse(expr, Dialect::Cron).unwrap_or_else(|error| panic!("{error}"))
}

/// The days of 2027 in `month` that the expression names.
fn days(expr: &str, month: i8) -> Vec<i8> {
    let days = cron(expr).days.of(date(2027, month, 1));
    (1..=31).filter(|day| days >> day & 1 == 1).collect()
}

fn bits(values: &[u32]) -> u64 {
    values.iter().fold(0, |bits, value| bits | 1 << value)
}

#[test]
fn l_w_and_nth_name_their_days() {
    // January 2027 begins on a Friday and ends on a Sunday; February begins and ends on a Monday and a Sunday.
    for (fields, month, expected) in [
        ("L * *", 2, vec![28]),
        ("LW * *", 1, vec![29]),
        ("15W * *", 1, vec![15]),
        ("2W * *", 1, vec![1]),
        ("3W * *", 1, vec![4]),
        ("1W * *", 5, vec![3]),
        ("31W * *", 1, vec![29]),
        ("30W * *", 2, vec![]),
        ("1,L * *", 2, vec![1, 28]),
        ("* * 5L", 1, vec![29]),
        ("* * FRI#L", 1, vec![29]),
        ("* * fri#1,fri#3", 1, vec![1, 15]),
        ("* * 1#5", 2, vec![]),
        ("* * 7", 2, vec![7, 14, 21, 28]),
        ("* * 5-7", 2, vec![5, 6, 7, 12, 13, 14, 19, 20, 21, 26, 27, 28]),
        ("* * SAT-MON", 2, vec![1, 6, 7, 8, 13, 14, 15, 20, 21, 22, 27, 28]),
        ("28-2 * *", 1, vec![1, 2, 28, 29, 30, 31]),
        ("13 * FRI", 1, vec![1, 8, 13, 15, 22, 29]),
        ("? * FRI", 1, vec![1, 8, 15, 22, 29]),
        ("13 * ?", 1, vec![13]),
        ("*/10 * MON", 2, vec![1, 8, 11, 15, 21, 22]),
    ] {
        assert_eq!(days(&format!("0 0 {fields}"), month), expected, "{fields}");
    }
}

#[test]
fn lists_ranges_and_steps_name_their_values() {
    assert_eq!(cron("5/20 22-2 * JAN,dec-Feb *").minutes, bits(&[5, 25, 45]));
    assert_eq!(cron("5/20 22-2 * JAN,dec-Feb *").hours, bits(&[22, 23, 0, 1, 2]));
    assert_eq!(cron("5/20 22-2 * JAN,dec-Feb *").months, bits(&[12, 1, 2]));
    assert_eq!(cron("0 21-3/2 * * *").hours, bits(&[21, 23, 1, 3]), "steps go on around the end");
    assert_eq!(cron("5-5 0 * * *").minutes, bits(&[5]));
    assert_eq!(cron("59/15 0 * * *").minutes, bits(&[59]));
    assert_eq!(cron("10 30 4 * * *").seconds, bits(&[10]), "six fields put seconds first");
    let celery = Cron::parse("*/90 22-2/2 * * monday", Dialect::Celery).unwrap();
    assert_eq!((celery.minutes, celery.hours, celery.days.of_week), (bits(&[0]), bits(&[22, 0, 2]), bits(&[1])));
}

#[test]
fn celery_wants_both_days() {
    let days = Cron::parse("0 0 13 * fri", Dialect::Celery).unwrap().days;
    assert_eq!(days.of(date(2027, 8, 1)), 1 << 13, "13 August 2027 is a Friday");
    assert_eq!(days.of(date(2027, 1, 1)), 0);
}

/// Errors say the field, where it is, what is allowed and what was probably meant.
#[test]
fn mistakes_are_pointed_at() {
    for (expr, field, marks, suggestion) in [
        ("0 24 * * *", "hour", "  ^^", Some("0")),
        ("60 * * * *", "minute", "^^", Some("0")),
        ("0 0 0 * *", "day of month", "    ^", Some("1")),
        ("0 0 32 * *", "day of month", "    ^^", None),
        ("0 0 * 13 *", "month", "      ^^", None),
        ("0 0 * * 8", "day of week", "        ^", None),
        ("0 0 * * MUN", "day of week", "        ^^^", Some("MON")),
        ("0 0 * Febuary *", "month", "      ^^^^^^^", Some("FEB")),
        ("0 0 * * L5", "day of week", "        ^^", Some("5L")),
        ("0 0 * * 5#6", "day of week", "          ^", None),
        ("0 9-x * * *", "hour", "    ^", None),
        ("0 1,,2 * * *", "hour", "    ^", None),
        ("0 1, * * *", "hour", "    ^", None),
        ("*/0 * * * *", "minute", "  ^", None),
        ("*/90 * * * *", "minute", "  ^^", None),
        ("? * * * *", "minute", "^", Some("*")),
        ("L * * * *", "minute", "^", None),
        ("0 0 L-3 * *", "day of month", "    ^", None),
        ("0 0 LW-1 * *", "day of month", "    ^^", None),
        ("0 0 * * L-3", "day of week", "        ^", None),
        ("0 0 é * *", "day of month", "    ^", None),
        ("  0 99999999999 * * *", "hour", "    ^^^^^^^^^^^", None),
        ("-5 * * * *", "minute", "^", None),
        ("+5 * * * *", "minute", "^^", None),
    ] {
        let error = Cron::parse(expr, Dialect::Cron).unwrap_err();
        assert_eq!(error.pointer(), Some(format!("{expr}\n{marks}")), "{error}");
        let RuleError::Field(error) = error else { panic!("{expr}: {error}") };
        assert_eq!((error.field, error.suggestion.as_deref()), (field, suggestion), "{expr}: {error}");
    }
    for (expr, suggestion) in [
        ("0 0 * * 7", Some("0")),
        ("5/10 * * * *", Some("5-59/10")),
        ("0 0 * * 1/9", None),
        ("5/60 * * * *", None),
        ("0 5/300 * * *", None),
        ("0 0 L * *", None),
        ("0 0 15W * *", None),
    ] {
        let RuleError::Field(error) = Cron::parse(expr, Dialect::Celery).unwrap_err() else { panic!("{expr}") };
        assert_eq!(error.suggestion.as_deref(), suggestion, "{expr}: {error}");
    }
}

#[test]
fn errors_read_well() {
    for (expr, dialect, text) in [
        ("0 24 * * *", Dialect::Cron, "`0 24 * * *`, hour: `24` is out of range; allowed is 0 to 23. Did you mean `0`?"),
        (
            "0 0 * * MUN",
            Dialect::Cron,
            "`0 0 * * MUN`, day of week: `MUN` is not a value; allowed is 0 to 6 or SUN to SAT. Did you mean `MON`?",
        ),
        (
            "* * L-3 * *",
            Dialect::Cron,
            "`* * L-3 * *`, day of month: `L` goes with no range and no step; a distance from it, as in L-3, is not supported; allowed is 1 to 31",
        ),
        (
            "* * L-3W * *",
            Dialect::Cron,
            "`* * L-3W * *`, day of month: `L-3` goes with no range and no step; a distance from it, as in L-3, is not supported; allowed is 1 to 31",
        ),
        (
            "0\u{a0}0 * * *",
            Dialect::Celery,
            "`0\u{a0}0 * * *` is not an expression: it has the character U+00A0, and fields are separated by spaces and tabs only",
        ),
        (
            "0 0 * *",
            Dialect::Cron,
            "`0 0 * *` is not an expression: it has 4 fields; five are needed (minute, hour, day of month, month, day of week), or six with seconds first",
        ),
        (
            "0 0 0 1 1 * 2027",
            Dialect::Cron,
            "`0 0 0 1 1 * 2027` is not an expression: it has 7 fields, and years are not among them: a schedule's start and end bound it",
        ),
        (
            "0 0 0 1 1 *",
            Dialect::Celery,
            "`0 0 0 1 1 *` is not an expression: it has 6 fields; Celery's crontab has no seconds, `cron` has",
        ),
        (
            "@dialy",
            Dialect::Cron,
            "`@dialy` is not an expression: there are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly. Did you mean `@daily`?",
        ),
        (
            "0 0 30 2 *",
            Dialect::Cron,
            "`0 0 30 2 *` never ticks: none of its months ever has such a day (February has at most 29; April, June, September and November have 30)",
        ),
    ] {
        assert_eq!(Cron::parse(expr, dialect).unwrap_err().to_string(), text);
    }
}

#[test]
fn blanks_are_spaces_and_tabs() {
    assert_eq!(cron("\t0  3\t* * *  ").hours, bits(&[3]));
    assert_eq!(cron(" @daily\t").hours, bits(&[0]));
    for expr in ["0\u{a0}0 * * *", "0 0 * * *\n", "@daily\n", "0\u{2003}0 * * *", "0 0 * *\u{85}*"] {
        assert!(matches!(Cron::parse(expr, Dialect::Cron), Err(RuleError::Expression { .. })), "{expr:?}");
    }
}

/// Where Vixie's cron would want both days.
#[test]
fn a_starred_day_beside_another_is_noticed() {
    for (expr, starred) in [
        ("0 0 */2 * MON", true),
        ("0 0 13 * */2", true),
        ("0 0 */2,5 * MON", true),
        ("0 0 * * MON", false),
        ("0 0 */2 * *", false),
        ("0 0 13 * FRI", false),
    ] {
        assert_eq!(cron(expr).days.starred, starred, "{expr}");
    }
    assert!(!Cron::parse("0 0 */2 * mon", Dialect::Celery).unwrap().days.starred);
}

#[test]
fn what_never_comes_is_refused_and_what_is_rare_is_found() {
    for expr in ["0 0 30 2 *", "0 0 31 2 *", "0 0 31 4,6,9,11 *", "0 0 30W 2 *", "0 0 31 2 ?"] {
        assert!(matches!(Cron::parse(expr, Dialect::Cron), Err(RuleError::NeverTicks { .. })), "{expr}");
    }
    assert!(matches!(Cron::parse("0 0 30 2 fri", Dialect::Celery), Err(RuleError::NeverTicks { .. })));
    // Either day suffices, so that the 30th does not matter.
    assert!(Cron::parse("0 0 30 2 FRI", Dialect::Cron).is_ok());
    let next = |expr, dialect, from: DateTime| Cron::parse(expr, dialect).unwrap().next_from(from).unwrap().date();
    assert_eq!(next("0 0 29 2 *", Dialect::Cron, date(2096, 3, 1).at(0, 0, 0, 0)), date(2104, 2, 29));
    assert_eq!(next("0 0 29 2 mon", Dialect::Celery, date(2072, 3, 1).at(0, 0, 0, 0)), date(2112, 2, 29));
    assert_eq!(next("0 0 * 2 1#5", Dialect::Cron, date(2072, 3, 1).at(0, 0, 0, 0)), date(2112, 2, 29));
}

/// The longest wait of any calendar is 40 years, and months are what is counted: never days, minutes or seconds.
#[test]
fn a_search_looks_at_no_more_than_480_months() {
    let rare = [
        ("0 0 29 2 mon", Dialect::Celery),
        ("59 59 23 29 2 ?", Dialect::Cron),
        ("0 0 * 2 1#5", Dialect::Cron),
        ("0 0 13 10 fri", Dialect::Celery),
    ];
    for (expr, dialect) in rare {
        let cron = Cron::parse(expr, dialect).unwrap();
        for year in 1970..2400 {
            let looked_at = cron.months_from(date(year, 3, 1)).take_while(|(_, days)| *days == 0).count();
            assert!(looked_at <= 480, "{expr} from {year}: {looked_at}");
            let waits = cron.next_from(date(year, 3, 1).at(0, 0, 0, 0)).unwrap().year() - year;
            assert!(waits <= 40, "{expr} from {year}: {waits} years");
        }
    }
}

#[test]
fn the_calendar_ends() {
    assert_eq!(cron("0 0 1 1 *").next_from(date(9999, 6, 1).at(0, 0, 0, 0)), None);
    assert_eq!(cron("59 59 23 31 12 *").next_from(date(9999, 12, 31).at(23, 59, 59, 1)), None);
}
