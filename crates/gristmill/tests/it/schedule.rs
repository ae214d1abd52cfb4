//! The rule engine against vectors that others computed: see `tests/oracle/generate.py`.

use std::time::Duration;

use gristmill::Timestamp;
use gristmill::schedule::{Plan, Rule, RuleError, SolarEvent, Timing};
use proptest::prelude::*;

fn plan(rule: Rule, zone: &str) -> Plan {
    Timing::new(rule).tz(zone).plan().unwrap()
}

fn utc(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn seconds(instant: Timestamp) -> i64 {
    instant.as_millis() / 1_000
}

/// Lines of `expression, zone, after:distance,distance,...;...`.
fn assert_all_ticks_agree(vectors: &str, rule: fn(&str) -> Rule) {
    let mut differences = Vec::new();
    let mut compared = 0;
    for line in vectors.lines() {
        let [expr, zone, runs] = line.split('\t').collect::<Vec<_>>().try_into().expect("three columns");
        let plan = Timing::new(rule(expr)).tz(zone).plan().unwrap_or_else(|error| panic!("{line}: {error}"));
        for run in runs.split(';') {
            let (after, distances) = run.split_once(':').expect("an instant and distances");
            let after: i64 = after.parse().unwrap();
            let ticks: Vec<i64> = distances
                .split(',')
                .scan(after, |tick, distance| {
                    *tick += distance.parse::<i64>().unwrap();
                    Some(*tick)
                })
                .collect();
            let ours: Vec<i64> = plan.ticks_after(at(after)).take(ticks.len()).map(seconds).collect();
            compared += ticks.len();
            if ours != ticks {
                let show = |ticks: &[i64]| ticks.iter().map(|tick| plan.upcoming(at(*tick)).local).collect::<Vec<_>>();
                let after = plan.upcoming(at(after)).local;
                differences.push(format!(
                    "{expr} in {zone} after {after}:\n  vectors {:?}\n  ours    {:?}",
                    show(&ticks),
                    show(&ours)
                ));
                continue;
            }
            // The same, backwards.
            for pair in ticks.windows(2) {
                assert_eq!(plan.last_until(at(pair[1] - 1)), Some(at(pair[0])), "{expr} in {zone}");
                assert_eq!(plan.last_until(at(pair[1])), Some(at(pair[1])), "{expr} in {zone}");
            }
        }
    }
    assert!(compared > 5_000, "only {compared} ticks compared");
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences[..differences.len().min(20)].join("\n")
    );
}

#[test]
fn cron_agrees_with_croniter_and_zoneinfo() {
    assert_all_ticks_agree(include_str!("../oracle/cron.tsv"), |expr| Rule::cron(expr));
}

#[test]
fn crontab_agrees_with_celery_and_zoneinfo() {
    assert_all_ticks_agree(include_str!("../oracle/crontab.tsv"), |expr| Rule::crontab(expr));
}

/// To the minute, up to 80 degrees. An ordinary day agrees to some seconds; on the first and last days of an event (astronomical dawn
/// in June in London, sunrise in Tromso) the sun goes along its line, and a thousandth of a degree is half a minute.
#[test]
fn the_sun_agrees_with_ephem_to_the_minute() {
    let mut compared = 0;
    for line in include_str!("../oracle/solar.tsv").lines() {
        let [latitude, longitude, after, distances] = line.split('\t').collect::<Vec<_>>().try_into().expect("four columns");
        let (latitude, longitude, after) = (latitude.parse().unwrap(), longitude.parse().unwrap(), after.parse::<i64>().unwrap());
        for (event, distance) in SolarEvent::ALL.into_iter().zip(distances.split(',')) {
            let ours = plan(Rule::solar(event, latitude, longitude), "UTC").next_after(at(after)).unwrap();
            let theirs = after + distance.parse::<i64>().unwrap();
            let error = (seconds(ours) - theirs).abs();
            assert!(error <= 60, "{event} at {latitude}, {longitude}: {ours}, and by ephem {}", at(theirs));
            compared += 1;
        }
    }
    assert!(compared > 4_000, "only {compared} compared");
}

#[test]
fn days_without_the_event_have_no_tick() {
    let sunset = plan(Rule::solar(SolarEvent::Sunset, 69.65, 18.96), "Europe/Oslo");
    let next = sunset.next_after(utc("2027-06-01T12:00:00Z")).unwrap();
    assert!(
        (utc("2027-07-24T00:00:00Z")..utc("2027-07-29T00:00:00Z")).contains(&next),
        "the midnight sun of Tromso ends: {next}"
    );
    let noons = plan(Rule::solar(SolarEvent::SolarNoon, 90.0, 0.0), "UTC");
    assert_eq!(noons.ticks(utc("2027-01-01T00:00:00Z"), utc("2028-01-01T00:00:00Z"), 1_000).len(), 365);
    let error = Timing::new(Rule::solar(SolarEvent::Sunrise, 90.0, 0.0)).plan().unwrap_err();
    assert_eq!(error.to_string(), "at sunrise at 90, 0 never ticks: at latitude 90 no day of the year has a sunrise");
}

/// A rule, its zone, an instant, and the ticks after it: local time and remark.
type ClockCase = (Rule, &'static str, &'static str, &'static [(&'static str, Option<&'static str>)]);

/// The table of docs/schedules.md: what happens when clocks change.
#[test]
fn changing_clocks_neither_lose_nor_repeat_a_fixed_time() {
    let cases: &[ClockCase] = &[
        (
            Rule::cron("30 2 * * *"),
            "Europe/Rome",
            "2027-03-27T12:00:00Z",
            &[
                ("2027-03-28T03:00:00+02:00", Some("in the gap: 02:30 does not exist, runs at 03:00")),
                ("2027-03-29T02:30:00+02:00", None),
            ],
        ),
        (
            Rule::cron("0,30 2,3 * * *"),
            "Europe/Rome",
            "2027-03-28T00:00:00Z",
            &[
                ("2027-03-28T03:00:00+02:00", Some("in the gap: 02:00 does not exist, runs at 03:00")),
                ("2027-03-28T03:30:00+02:00", None),
                ("2027-03-29T02:00:00+02:00", None),
            ],
        ),
        (
            Rule::cron("30 2 * * *"),
            "Europe/Rome",
            "2027-10-30T12:00:00Z",
            &[("2027-10-31T02:30:00+02:00", Some("first of two 02:30")), ("2027-11-01T02:30:00+01:00", None)],
        ),
        (
            Rule::cron("*/30 * * * *"),
            "Europe/Rome",
            "2027-03-28T00:00:00Z",
            &[("2027-03-28T01:30:00+01:00", None), ("2027-03-28T03:00:00+02:00", None), ("2027-03-28T03:30:00+02:00", None)],
        ),
        (
            Rule::cron("*/30 * * * *"),
            "Europe/Rome",
            "2027-10-30T23:45:00Z",
            &[
                ("2027-10-31T02:00:00+02:00", Some("first of two 02:00")),
                ("2027-10-31T02:30:00+02:00", Some("first of two 02:30")),
                ("2027-10-31T02:00:00+01:00", Some("second of two 02:00")),
                ("2027-10-31T02:30:00+01:00", Some("second of two 02:30")),
                ("2027-10-31T03:00:00+01:00", None),
            ],
        ),
        (
            Rule::aligned(Duration::from_secs(21_600)),
            "Europe/Rome",
            "2027-03-27T22:00:00Z",
            &[("2027-03-28T00:00:00+01:00", None), ("2027-03-28T06:00:00+02:00", None)],
        ),
        (
            Rule::aligned(Duration::from_secs(86_400)),
            "Asia/Beirut",
            "2027-03-26T22:30:00Z",
            &[
                ("2027-03-28T01:00:00+03:00", Some("in the gap: 00:00 does not exist, runs at 01:00")),
                ("2027-03-29T00:00:00+03:00", None),
            ],
        ),
        (
            Rule::cron("15 2 * * *"),
            "Australia/Lord_Howe",
            "2027-10-02T00:00:00Z",
            &[
                ("2027-10-03T02:30:00+11:00", Some("in the gap: 02:15 does not exist, runs at 02:30")),
                ("2027-10-04T02:15:00+11:00", None),
            ],
        ),
        (
            Rule::crontab("45 1 * * *"),
            "Australia/Lord_Howe",
            "2027-04-03T00:00:00Z",
            &[("2027-04-04T01:45:00+11:00", Some("first of two 01:45")), ("2027-04-05T01:45:00+10:30", None)],
        ),
        (
            Rule::cron("0 9 * * *"),
            "Pacific/Apia",
            "2011-12-29T19:30:00Z",
            &[
                ("2011-12-31T00:00:00+14:00", Some("in the gap: 2011-12-30 09:00 does not exist, runs at 2011-12-31 00:00")),
                ("2011-12-31T09:00:00+14:00", None),
            ],
        ),
    ];
    for (rule, zone, after, expected) in cases {
        let upcoming = plan(rule.clone(), zone).preview(utc(after), expected.len());
        let upcoming: Vec<_> = upcoming.iter().map(|tick| (tick.local.as_str(), tick.remark.as_deref())).collect();
        assert_eq!(&upcoming, expected, "{rule:?} in {zone}");
    }
}

#[test]
fn intervals_count_from_their_start_or_their_anchor() {
    let ten = Duration::from_secs(600);
    let (noon, day) = (utc("2027-01-01T12:00:00Z"), utc("2027-01-02T00:00:00Z"));
    let minutes = |timing: Timing| {
        let ticks = timing.plan().unwrap().ticks(utc("2027-01-01T11:00:00Z"), day, 3);
        ticks.into_iter().map(|tick| (tick.as_millis() - noon.as_millis()) / 60_000).collect::<Vec<_>>()
    };
    assert_eq!(minutes(Timing::new(Rule::every(ten)).start(noon)), [0, 10, 20]);
    assert_eq!(minutes(Timing::new(Rule::every(ten)).anchor(noon)), [10, 20, 30]);
    assert_eq!(minutes(Timing::new(Rule::every(ten).at_once()).anchor(noon)), [0, 10, 20]);
    assert_eq!(minutes(Timing::new(Rule::aligned(ten)).anchor(noon).start(noon.saturating_add(ten / 2))), [10, 20, 30]);
    assert_eq!(minutes(Timing::new(Rule::every(ten)).start(noon).end(noon.saturating_add(ten))), [0], "the end is outside");
    let weekly = plan(Rule::aligned(Duration::from_secs(604_800)), "Europe/Rome").preview(noon, 1).remove(0);
    assert_eq!(weekly.local, "2027-01-04T00:00:00+01:00", "aligned weeks begin on Mondays");
}

#[test]
fn a_timing_that_cannot_be_is_refused_with_a_reason() {
    let daily = || Timing::new(Rule::cron("@daily"));
    let (one, two) = (utc("2027-01-01T00:00:00Z"), utc("2027-01-01T12:00:00Z"));
    for (timing, text) in [
        (daily().tz("Europe/Rom"), "there is no time zone `Europe/Rom`. Did you mean `Europe/Rome`?"),
        (daily().tz("rome"), "there is no time zone `rome`. Did you mean `Europe/Rome`?"),
        (daily().tz("Mars/Olympus"), "there is no time zone `Mars/Olympus`"),
        (daily().tz("../../etc/passwd"), "there is no time zone `../../etc/passwd`"),
        (
            daily().tz("America/Buenos_Aries"),
            "there is no time zone `America/Buenos_Aries`. Did you mean `America/Buenos_Aires`?",
        ),
        (daily().tz(""), "there is no time zone ``"),
        (daily().start(two).end(one), "the end 2027-01-01T00:00:00.000Z is not after the start 2027-01-01T12:00:00.000Z"),
        (
            daily().start(one.saturating_add(Duration::from_secs(1))).end(two),
            "at 00:00 every day, UTC never ticks: there is none between the start and 2027-01-01T12:00:00.000Z",
        ),
        (
            Timing::new(Rule::on(two)).start(one).end(two),
            "once at 2027-01-01T12:00:00Z never ticks: its instant is outside the start and the end",
        ),
        (Timing::new(Rule::every(Duration::ZERO)), "the interval 0s is out of range: from 1s to 36500d"),
        (
            Timing::new(Rule::every(Duration::from_secs(36_501 * 86_400))),
            "the interval 36501d is out of range: from 1s to 36500d",
        ),
        (Timing::new(Rule::aligned(Duration::from_millis(999))), "the interval 999ms is out of range: from 1s to 36500d"),
        (daily().jitter(Duration::from_secs(8 * 86_400)), "the jitter 8d is too large: at most 7d"),
        (
            Timing::new(Rule::solar(SolarEvent::Sunset, 151.2, -33.9)),
            "the latitude 151.2 is out of range: degrees from -90 to 90; the latitude comes first, is it the longitude?",
        ),
        (
            Timing::new(Rule::solar(SolarEvent::Sunset, 0.0, f64::NAN)),
            "the longitude NaN is out of range: degrees from -180 to 180",
        ),
    ] {
        assert_eq!(timing.plan().unwrap_err().to_string(), text);
    }
    let unknown = "sunsett".parse::<SolarEvent>().unwrap_err();
    assert!(matches!(&unknown, RuleError::UnknownEvent { near, .. } if near == &["sunset"]), "{unknown}");
}

/// What is stored is read by older and newer programs.
#[test]
fn timings_are_stored_as_json_with_stable_names() {
    for (timing, json) in [
        (Timing::new(Rule::cron("@daily")), r#"{"rule":{"kind":"cron","expr":"@daily"}}"#),
        (
            Timing::new(Rule::crontab("0 3 * * *")).tz("Europe/Rome").jitter(Duration::from_secs(30)),
            r#"{"rule":{"kind":"crontab","expr":"0 3 * * *"},"timezone":"Europe/Rome","jitter":"30s"}"#,
        ),
        (
            Timing::new(Rule::aligned(Duration::from_secs(600))).start(utc("2027-01-01T00:00:00Z")),
            r#"{"rule":{"kind":"every","every":"10m","aligned":true},"start":"2027-01-01T00:00:00.000Z"}"#,
        ),
        (
            Timing::new(Rule::solar(SolarEvent::DawnCivil, 51.5, -0.1)),
            r#"{"rule":{"kind":"solar","event":"dawn_civil","latitude":51.5,"longitude":-0.1}}"#,
        ),
        (
            Timing::new(Rule::on(utc("2027-01-01T00:00:00Z"))).anchor(Timestamp::MIN),
            r#"{"rule":{"kind":"on","at":"2027-01-01T00:00:00.000Z"},"anchor":"1970-01-01T00:00:00.000Z"}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&timing).unwrap(), json);
        assert_eq!(serde_json::from_str::<Timing>(json).unwrap(), timing);
    }
    let newer = r#"{"rule":{"kind":"cron","expr":"@daily","calendar":"TARGET"},"timezone":"UTC","colour":"red"}"#;
    assert_eq!(serde_json::from_str::<Timing>(newer).unwrap(), Timing::new(Rule::cron("@daily")));
    let error = serde_json::from_str::<Timing>(r#"{"rule":{"kind":"lunar"}}"#).unwrap_err();
    assert!(error.to_string().contains("lunar"), "{error}");
}

/// The spread of a jitter is part of what beats of several versions agree on.
#[test]
fn jitter_is_the_same_everywhere_and_spreads() {
    let plan = Timing::new(Rule::cron("@hourly")).jitter(Duration::from_secs(60)).plan().unwrap();
    let tick = utc("2027-01-01T00:00:00Z");
    let late = |name: &str, tick: Timestamp| plan.starts_at(name, tick).since(tick).as_millis();
    assert_eq!([late("a", tick), late("b", tick), late("report", tick)], [7_537, 30_851, 46_757]);
    let ticks = plan.ticks(tick, Timestamp::MAX, 1_000);
    let quarters = ticks.iter().fold([0; 4], |mut quarters, tick| {
        quarters[usize::try_from(late("report", *tick) / 15_000).unwrap()] += 1;
        quarters
    });
    assert!(quarters.iter().all(|count| (200..300).contains(count)), "{quarters:?}");
}

#[test]
fn the_last_tick_before_ten_years_off_is_found_at_once() {
    let every_second = plan(Rule::cron("* * * * * *"), "Europe/Rome");
    let now = utc("2037-03-04T05:06:07.890Z");
    assert_eq!(every_second.last_until(now), Some(utc("2037-03-04T05:06:07Z")));
    let leap_days = plan(Rule::cron("0 0 29 2 *"), "UTC");
    assert_eq!(leap_days.last_until(now), Some(utc("2036-02-29T00:00:00Z")));
    assert_eq!(leap_days.last_until(utc("1971-01-01T00:00:00Z")), None);
    let bounded = Timing::new(Rule::cron("@daily")).start(utc("2037-03-04T00:00:00Z")).plan().unwrap();
    assert_eq!(bounded.last_until(utc("2037-03-03T23:59:59Z")), None);
    assert_eq!(bounded.last_until(utc("2037-03-04T00:00:00Z")), Some(utc("2037-03-04T00:00:00Z")));
}

/// Zones with changes of an hour, half an hour, a day, at midnight, and none.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Rome",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Beirut",
    "America/Havana",
    "Asia/Kathmandu",
];

fn field(min: u8, max: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => (min..=max).prop_map(|value| value.to_string()),
        1 => (min..=max, min..=max).prop_map(|(first, last)| format!("{first}-{last}")),
        1 => (2..(max - min) / 2).prop_map(|step| format!("*/{step}")),
        1 => proptest::collection::vec(min..=max, 2..5)
            .prop_map(|values| values.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    ]
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (utc("2000-01-01T00:00:00Z").as_millis()..utc("2040-01-01T00:00:00Z").as_millis()).prop_map(Timestamp::from_millis)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing that is written panics, and a refusal marks a part of what was written.
    #[test]
    fn any_text_is_planned_or_refused(text in "[-0-9*/,#?LWA-Fa-f@ é]{0,24}", celery: bool) {
        let rule = if celery { Rule::crontab(text.clone()) } else { Rule::cron(text.clone()) };
        if let Err(error) = Timing::new(rule).plan() {
            prop_assert!(!error.to_string().is_empty());
            if let Some(pointer) = error.pointer() {
                prop_assert!(pointer.starts_with(&text) && pointer.ends_with('^'), "{}", pointer);
            }
        }
    }

    /// Ticks come in order, none is skipped from wherever one looks, and the search back agrees with the search forth.
    #[test]
    fn next_and_last_agree(
        (minute, hour, day, month, weekday) in (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)),
        zone in proptest::sample::select(&ZONES[..]),
        after in instant(),
        part in 0.0..1.0f64,
    ) {
        let plan = plan(Rule::cron(format!("{minute} {hour} {day} {month} {weekday}")), zone);
        let next = plan.next_after(after).unwrap();
        prop_assert!(next > after);
        let between = Timestamp::from_millis(after.as_millis() + ((next.as_millis() - after.as_millis() - 1) as f64 * part) as i64);
        prop_assert_eq!(plan.next_after(between), Some(next));
        prop_assert_eq!(plan.last_until(next), Some(next));
        let second = plan.next_after(next).unwrap();
        prop_assert!(second > next);
        prop_assert_eq!(plan.last_until(Timestamp::from_millis(second.as_millis() - 1)), Some(next));
    }

    /// What goes along with the clock ticks at each instant whose local minute fits, and at no other: looked at minute by minute.
    #[test]
    fn steps_follow_the_clock(step in 2u8..30, zone in proptest::sample::select(&ZONES[..]), after in instant()) {
        let plan = plan(Rule::cron(format!("*/{step} * * * *")), zone);
        let from = Timestamp::from_millis(after.as_millis() / 60_000 * 60_000);
        let minutes = (1..=240).map(|minute| from.saturating_add(Duration::from_secs(minute * 60)));
        let fits = |at: &Timestamp| plan.upcoming(*at).local[14..16].parse::<u8>().unwrap().is_multiple_of(step);
        let expected: Vec<_> = minutes.filter(fits).collect();
        prop_assert_eq!(plan.ticks(from, from.saturating_add(Duration::from_secs(240 * 60)), 1_000), expected);
    }
}
