"""Writes the vectors that tests/it/schedule.rs compares the rule engine with. Knows nothing of the engine.

    python3 -m venv /tmp/oracle && /tmp/oracle/bin/pip install croniter==7.0.0 celery==5.7.0 ephem==4.2.1 tzdata==2026.6
    PYTHONTZPATH= /tmp/oracle/bin/python generate.py

Which readings of the local clock an expression names is asked of croniter (cron.tsv) and of Celery's own crontab class
(crontab.tsv), on a clock without a zone. Which instants those are is worked out here, by zoneinfo and by the rule that
docs/schedules.md states, because both libraries have rules of their own for the nights on which clocks change. What the sun
does is asked of ephem, with the arguments that Celery gives it (solar.tsv).

Left out, because croniter reads it differently on purpose or by mistake (all of it has its own tests in the engine):
`5-5` (croniter: the whole field), `21-3/2` (croniter counts 21, 23, 2; Celery and gristmill 21, 23, 1, 3), LW, `5#L`, 29W to
31W (croniter takes the last day of a shorter month, gristmill none), and
W, # or L in one of the days where the other one is restricted too (croniter finds nothing), and lists that name every day
without a `*` beside a `*/2` (croniter then takes both days for wildcards or neither, by where the star is).
"""

import random
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import ephem
from celery.schedules import crontab, solar
from croniter import croniter

HERE = Path(__file__).parent
TICKS = 5
FIRST, LAST = datetime(2000, 1, 1), datetime(2040, 1, 1)
ZONES = """UTC Europe/Rome Europe/London Europe/Dublin Europe/Lisbon Europe/Athens Europe/Moscow Europe/Istanbul Europe/Kyiv
Europe/Helsinki Atlantic/Azores America/New_York America/Chicago America/Denver America/Phoenix America/Los_Angeles
America/Anchorage America/St_Johns America/Halifax America/Havana America/Sao_Paulo America/Santiago America/Caracas
America/Bogota America/Mexico_City America/Argentina/Buenos_Aires Africa/Johannesburg Africa/Lagos Africa/Windhoek
Africa/Tunis Asia/Tehran Asia/Kolkata Asia/Kathmandu Asia/Dhaka Asia/Karachi Asia/Amman Asia/Beirut Asia/Damascus
Asia/Jerusalem Asia/Baghdad Asia/Pyongyang Asia/Tokyo Asia/Ulaanbaatar Australia/Sydney Australia/Lord_Howe
Australia/Adelaide Australia/Eucla Pacific/Apia Pacific/Chatham Pacific/Auckland Pacific/Norfolk Pacific/Easter
Pacific/Fakaofo Pacific/Kiritimati""".split()
PLACES = [(51.5, -0.1), (41.9, 12.5), (40.7, -74.0), (-33.9, 151.2), (0.0, 0.0), (1.3, 103.8), (-0.2, -78.5), (35.7, 139.7),
          (55.75, 37.6), (28.6, 77.2), (-23.5, -46.6), (64.1, -21.9), (69.6, 18.9), (78.2, 15.6), (-54.8, -68.3), (-77.8, 166.7),
          (21.3, -157.9), (61.2, -149.9), (-36.8, 174.8), (60.2, 24.9), (-18.1, 179.9), (52.0, -179.9)]
EVENTS = ["dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise", "solar_noon", "sunset", "dusk_civil", "dusk_nautical",
          "dusk_astronomical"]
DAYS = "sun mon tue wed thu fri sat".split()
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()


# The local clock -----------------------------------------------------------------------------------------------------

def unix(when):
    return int(when.replace(tzinfo=timezone.utc).timestamp()) if when.tzinfo is None else int(when.timestamp())


def reading(instant, zone):
    return datetime.fromtimestamp(instant, zone).replace(tzinfo=None)


def passes(named, zone):
    """The instants at which the local clock reads `named`: none, one or two."""
    instants = {unix(named.replace(tzinfo=zone, fold=fold)) for fold in (0, 1)}
    return sorted(instant for instant in instants if reading(instant, zone) == named)


def end_of_gap(named, zone):
    low, high = (unix(named.replace(tzinfo=zone, fold=fold)) for fold in (1, 0))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reading(middle, zone) > named else (middle, high)
    return high


def instants(named, zone, follows):
    found = passes(named, zone)
    if follows:
        return found
    return found[:1] or [end_of_gap(named, zone)]


def ticks(matches, zone, follows, after):
    """The first ticks after `after`. `matches(start)` yields the named readings after `start`, in order."""
    local = reading(after, zone)
    # Only around a change do instants and readings go in different orders.
    calm = len({datetime.fromtimestamp(after + hours * 3600, zone).utcoffset() for hours in range(-3, 4)}) == 1
    start = local if calm else local - timedelta(hours=3)
    found = set()
    for named in matches(start):
        found |= {instant for instant in instants(named, zone, follows) if instant > after}
        in_order = sorted(found)[:TICKS]
        if len(in_order) == TICKS and named > reading(in_order[-1], zone) + timedelta(hours=3):
            return in_order
        if named.year > 2080:
            return in_order


def changes(zone):
    """The instants between FIRST and LAST at which the zone's offset changes."""
    found, step = [], 6 * 3600
    for at in range(unix(FIRST), unix(LAST), step):
        offset = lambda instant: datetime.fromtimestamp(instant, zone).utcoffset()
        low, high = at, at + step
        if offset(low) != offset(high):
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            found.append(high)
    return found


def starts(rng, zone, jumps):
    """One instant anywhere, and two near a change of the zone's clock."""
    found = [rng.randrange(unix(FIRST), unix(LAST))]
    for _ in range(2):
        near = rng.choice(jumps) if jumps else rng.randrange(unix(FIRST), unix(LAST))
        found.append(near + rng.choice([0, -1, 1, -3600, -1800, rng.randrange(-7200, 7200), rng.randrange(-90000, 0)]))
    return found


# Expressions ---------------------------------------------------------------------------------------------------------

def item(rng, low, high, names, dialect, small):
    def value():
        at = rng.randint(low, min(high, small))
        return at, (names[at - low] if names and rng.random() < 0.5 else str(at))
    (a, first), (b, last) = value(), value()
    kind = rng.choice("vvvvrrswl")
    if kind == "v" or a == b:
        return first
    if kind == "r" and a < b:
        step = f"/{rng.randint(2, min(7, (high - low) // 2))}" if rng.random() < 0.3 else ""
        return f"{first}-{last}{step}"
    if kind in "rw":
        step = f"/{rng.randint(2, 5)}" if dialect == "crontab" and rng.random() < 0.3 else ""
        return f"{first}-{last}{step}"
    if kind == "s":
        return f"{a}/{rng.randint(2, (high - low) // 2)}" if dialect == "cron" and a < high else first
    return f"{first},{last}"


def field(rng, low, high, names=None, dialect="cron", stars=0.3, small=99):
    if rng.random() < stars:
        return "*" if rng.random() < 0.6 else f"*/{rng.randint(2, max(2, (high - low) // 2))}"
    return ",".join(item(rng, low, high, names, dialect, small) for _ in range(rng.choice([1, 1, 1, 2])))


def expression(rng, dialect):
    # Small hours and quarters, so that many of them are in the hour that clocks skip or repeat.
    hour = field(rng, 0, 23, dialect=dialect, small=rng.choice([3, 23]))
    minute = rng.choice(["0", "30", "15,45"]) if rng.random() < 0.3 else field(rng, 0, 59, dialect=dialect)
    month = field(rng, 1, 12, MONTHS, dialect, stars=0.8)
    day, weekday = (field(rng, 1, 31, dialect=dialect, stars=0.6), field(rng, 0, 6, DAYS, dialect, stars=0.6))
    if dialect == "crontab":
        return f"{minute} {hour} {day} {month} {weekday}"
    odd = rng.random()
    if odd < 0.05:
        day = "L"
    elif odd < 0.10:
        day, weekday = f"{rng.randint(1, 28)}W", "*"
    elif odd < 0.16:
        day, weekday = "*", f"{rng.randint(0, 6)}#{rng.randint(1, 5)}"
    elif odd < 0.22:
        day, weekday = "*", f"{rng.randint(0, 6)}L"
    elif odd < 0.25:
        weekday = rng.choice(["7", "5-7", "fri-mon", "sat-tue"])
    second = f"{field(rng, 0, 59, stars=0.1)} " if rng.random() < 0.3 else ""
    return f"{second}{minute} {hour} {day} {month} {weekday}"


def croniter_matches(expr):
    fields = expr.split()
    if fields[-1].endswith("L"):
        fields[-1] = "L" + fields[-1][:-1]

    def matches(start):
        it = croniter(" ".join(fields), start, second_at_beginning=True, ret_type=datetime, max_years_between_matches=60)
        while True:
            yield it.get_next()
    return matches


def celery_matches(expr):
    tab = crontab.from_string(expr)

    def matches(start):
        day = start.date()
        while day.year < 2090:
            if day.day in tab.day_of_month and day.month in tab.month_of_year and day.isoweekday() % 7 in tab.day_of_week:
                for hour in sorted(tab.hour):
                    for minute in sorted(tab.minute):
                        named = datetime(day.year, day.month, day.day, hour, minute)
                        if named > start:
                            yield named
            day += timedelta(days=1)
    return matches


def celery_next(expr, start):
    """The same by Celery's own search, which is a check of the above on a clock without changes."""
    tab = crontab.from_string(expr)
    tab.nowfun = lambda: start.replace(tzinfo=timezone.utc)
    last, delta, _ = tab.remaining_delta(start.replace(tzinfo=timezone.utc), tz=timezone.utc)
    return (last + delta).replace(tzinfo=None)


def names_every_day(expr):
    written = expr.split()[-3], expr.split()[-1]
    expanded = croniter.expand(" ".join(["0", "0", written[0], "*", written[1].replace("L", "")]))[0]
    return any("*" not in text.split(",") and len(values) == size for text, values, size in
               zip(written, (croniter.expand(f"0 0 {written[0]} * mon")[0][2], expanded[4]), (31, 7))) or any(
               "*" not in text.split(",") and values == ["*"] for text, values in zip(written, (expanded[2], expanded[4])))


def write_expressions(name, count, matches_of, seed):
    rng = random.Random(seed)
    jumps = {zone: changes(ZoneInfo(zone)) for zone in ZONES}
    lines = []
    while len(lines) < count:
        expr = expression(rng, name)
        if name == "cron" and names_every_day(expr):
            continue
        zone_name = ZONES[len(lines) % len(ZONES)]
        zone = ZoneInfo(zone_name)
        minute, hour = expr.split()[-5:-3]
        follows = any(mark in part for part in (minute, hour) for mark in "*/")
        matches = matches_of(expr)
        vectors = []
        try:
            for after in starts(rng, zone, jumps[zone_name]):
                found = ticks(matches, zone, follows, after)
                if found:
                    vectors.append(f"{after}:{','.join(str(b - a) for a, b in zip([after, *found], found))}")
        except Exception as error:  # An expression that names no day.
            print(f"left out: {expr}: {error}")
            continue
        if name == "crontab" and vectors:
            start = datetime(2026, 3, 1, 12, 34)
            ours, theirs = next(matches(start)), celery_next(expr, start)
            if ours != theirs:
                print(f"Celery's search differs from its sets: {expr}: {ours} {theirs}")
        if vectors:
            lines.append(f"{expr}\t{zone_name}\t{';'.join(vectors)}")
    (HERE / f"{name}.tsv").write_text("\n".join(lines) + "\n")


# The sun -------------------------------------------------------------------------------------------------------------

def write_solar():
    rng = random.Random(3)
    lines = []
    for latitude, longitude in PLACES:
        for n in range(24):
            after = unix(FIRST) + round((n + rng.random()) * (unix(LAST) - unix(FIRST)) / 24)
            row = []
            for event in EVENTS:
                rule = solar(event, latitude, longitude)
                rule.cal.date = ephem.Date(datetime.fromtimestamp(after, timezone.utc).replace(tzinfo=None))
                start = rule.cal.date
                happens = rule._next_event(start).datetime()
                row.append(str(round((happens - datetime.fromtimestamp(after, timezone.utc).replace(tzinfo=None)).total_seconds())))
            lines.append(f"{latitude}\t{longitude}\t{after}\t{','.join(row)}")
    (HERE / "solar.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write_solar()
    write_expressions("crontab", 400, celery_matches, 2)
    write_expressions("cron", 1000, croniter_matches, 1)
