//! The two doors of the store in SQL: where a task goes in (a place) and where it goes out (its end). What core decides in
//! [`place`](gristmill_core::place) and [`ended`](gristmill_core::ended) stands here once more, as text for the statements and functions that
//! can't ask it; tests compare the two. Whatever stands in `queries/` or `additions/` about places and ends takes its text from here, by
//! the placeholders of [`sql`](crate::sql).

use gristmill_core::concurrency::fair::PLACE_MIN;
use gristmill_core::kit::encode::{ended_of, retention_of};
use gristmill_core::unique::COLLECTED_BYTES_MAX;
use gristmill_core::{Flags, Place, Retention, State};

/// What a task takes along from place to place.
pub(crate) const COLUMNS: &str = "id, seq, expires_at, queue, kind, attempt, claim_no, crashes, priority, flags";
/// A hundred years: so long is kept at most, so that no sum with the clock leaves the numbers, whatever is in a row.
const KEPT_MS_MAX: i64 = 3_153_600_000_000;

/// Puts the text of the doors into a statement.
pub(crate) fn fill(text: &str) -> String {
    type Part = (&'static str, fn() -> String);
    let parts: [Part; 30] = [
        ("{placed}", placed),
        ("{placed_new}", placed_new),
        ("{placed_free}", placed_free),
        ("{placed_one}", placed_one),
        ("{enter}", enter),
        ("{enter_free}", enter_free),
        ("{enter_one}", enter_one),
        ("{take_one}", take_one),
        ("{standing}", standing),
        ("{requeued}", requeued),
        ("{unclaimed}", unclaimed),
        ("{hold_unclaimed}", hold_unclaimed),
        ("{hold_and_look}", hold_and_look),
        ("{renew_unclaimed}", renew_unclaimed),
        ("{collected_max}", || COLLECTED_BYTES_MAX.to_string()),
        ("{ids_of_day}", ids_of_day),
        ("{keep}", keep),
        ("{keep_one}", keep_one),
        ("{owed}", owed),
        ("{unknown}", unknown),
        ("{lasting}", lasting),
        ("{limited}", || Flags::LIMITED.bits().to_string()),
        ("{rated}", || Flags::RATED.bits().to_string()),
        ("{member}", || Flags::MEMBER.bits().to_string()),
        ("{report}", report),
        ("{kept_after}", kept_after),
        ("{kept_max}", || KEPT_MS_MAX.to_string()),
        ("{columns}", || COLUMNS.to_owned()),
        ("{ready}", || code(Place::Ready).to_string()),
        ("{moved}", || Flags::MOVED.bits().to_string()),
    ];
    parts.iter().fold(text.to_owned(), |text, (mark, part)| if text.contains(mark) { text.replace(mark, &part()) } else { text })
}

/// The table of a place.
pub(crate) const fn table(place: Place) -> &'static str {
    match place {
        Place::Blocked => "blocked",
        Place::Scheduled => "scheduled",
        Place::Waiting => "waiting",
        Place::Ready => "ready",
        Place::Parked => "parked",
    }
}

/// The number of a place in statements: its own among all.
pub(crate) fn code(place: Place) -> i16 {
    Place::ALL.iter().position(|known| *known == place).and_then(|code| i16::try_from(code).ok()).unwrap_or_default()
}

/// What a place keeps of its tasks.
fn columns(place: Place) -> String {
    match place {
        // It is not due yet, or may not be once it goes on.
        Place::Blocked | Place::Scheduled => format!("{COLUMNS}, run_at"),
        Place::Waiting | Place::Ready | Place::Parked => COLUMNS.to_owned(),
    }
}

/// `{placed}`: the number of the place of a row with `blocked`, `run_at`, `flags` and the time `now`. As core's `place`, for a task of
/// which it is not known that nobody serves it.
pub(crate) fn placed() -> String {
    placed_of("blocked", "run_at", "flags", "now")
}

/// `{placed_new}`: the same where a new row of `task` is made, by the statement whose parameter 17 says who is blocked. That it stands in
/// the RETURNING spares the statement one more turn of each row.
fn placed_new() -> String {
    // A look into a table of them: each of many would be compared with all of many.
    placed_of("id IN (SELECT unnest($17))", "run_at", "flags", "created_at")
}

/// `{placed_free}`: the same for tasks that nothing but their time holds back.
fn placed_free() -> String {
    placed_of("false", "run_at", "flags", "created_at")
}

/// `{placed_one}`: the same for plpgsql, of the variables that `{enter_one}` takes.
pub(crate) fn placed_one() -> String {
    placed_of("task.blocked", "due", "task.flags", "now")
}

fn placed_of(blocked: &str, run_at: &str, flags: &str, now: &str) -> String {
    let [to_blocked, scheduled, waiting, ready] = [Place::Blocked, Place::Scheduled, Place::Waiting, Place::Ready].map(code);
    let limited = Flags::LIMITED.bits();
    format!(
        "(CASE WHEN {blocked} THEN {to_blocked} WHEN {run_at} > {now} THEN {scheduled} WHEN {flags} & {limited} <> 0 THEN {waiting} \
         ELSE {ready} END)::smallint"
    )
}

/// `{enter}`: parts of a WITH that put the rows of `placed` into the places that their column `place` says.
pub(crate) fn enter() -> String {
    // Nothing goes to the parked at first: a look at what is served puts it there.
    let places: Vec<_> = Place::ALL.into_iter().filter(|place| *place != Place::Parked).collect();
    enter_into(&places)
}

/// `{enter_free}`: the same for tasks that nothing but their time holds back. Each place costs a statement some time, used or not.
fn enter_free() -> String {
    enter_into(&[Place::Scheduled, Place::Ready])
}

fn enter_into(places: &[Place]) -> String {
    let into = |place: &Place| {
        let (table, columns, code) = (table(*place), columns(*place), code(*place));
        format!("into_{table} AS (INSERT INTO {{s}}.{table}({columns}) SELECT {columns} FROM placed WHERE place = {code})")
    };
    places.iter().map(into).collect::<Vec<_>>().join(",\n")
}

/// `{enter_one}`: the same for plpgsql, of the one row in the variables `task`, `queue`, `kind`, `due`, `deadline` and `into`.
pub(crate) fn enter_one() -> String {
    let into = |place: Place| {
        let (table, columns, code) = (table(place), columns(place), code(place));
        let run_at = if columns.ends_with("run_at") { ", due" } else { "" };
        format!(
            "WHEN {code} THEN INSERT INTO {{s}}.{table}({columns}) VALUES (task.id, task.seq, deadline, queue.id, kind.id, 0, 0, 0, \
             task.priority, coalesce(task.flags, 0){run_at});"
        )
    };
    let all: Vec<_> = Place::ALL.into_iter().filter(|place| *place != Place::Parked).map(into).collect();
    format!("CASE place {} END CASE;", all.join("\n"))
}

/// Where a task of `t` (id, queue, kind, priority, seq) stands in a place `p`: conditions of which one at most holds. Whatever stands at
/// another place in line than that of its arrival has a flag, and is found by its id.
fn spots(place: Place) -> &'static [&'static str] {
    match place {
        Place::Ready => &["p.queue = t.queue AND p.priority = t.priority AND p.seq = t.seq", "p.id = t.id AND p.flags <> 0"],
        Place::Parked => &[
            "p.queue = t.queue AND p.kind = t.kind AND p.priority = t.priority AND p.seq = t.seq",
            "p.id = t.id AND p.flags <> 0",
        ],
        Place::Scheduled => &["p.seq = t.seq"],
        Place::Waiting | Place::Blocked => &["p.id = t.id"],
    }
}

/// `{take_one}`: takes the task in the variable `t` out of wherever it waits, for plpgsql; its counts are in `attempt`, `claim_no`, `crashes`
/// and `flags` then, and FOUND says whether it waited.
pub(crate) fn take_one() -> String {
    let mut text = String::new();
    for place in Place::ALL.into_iter().rev() {
        for spot in spots(place) {
            let take = format!(
                "DELETE FROM {{s}}.{} p WHERE {spot} RETURNING p.attempt, p.claim_no, p.crashes, p.flags \
                 INTO attempt, claim_no, crashes, flags;",
                table(place)
            );
            text.push_str(&if text.is_empty() { format!("{take}\n") } else { format!("IF NOT FOUND THEN {take} END IF;\n") });
        }
    }
    text
}

/// `{standing}`: joins that find where the task `t` waits: a row of `p` with its place, counts, due time and flags; none if it runs or has
/// ended. Each look is made only if those before found nothing.
pub(crate) fn standing() -> String {
    let mut looks = Vec::new();
    for place in Place::ALL {
        let run_at = if columns(place).ends_with("run_at") { "p.run_at" } else { "NULL::bigint" };
        for spot in spots(place) {
            looks.push(format!(
                "(SELECT {}::smallint AS place, p.attempt, p.crashes, {run_at} AS run_at, p.flags FROM {{s}}.{} p WHERE {spot} OFFSET 0)",
                code(place),
                table(place)
            ));
        }
    }
    format!("LEFT JOIN LATERAL (\n{}\nLIMIT 1) p ON true", looks.join("\nUNION ALL\n"))
}

/// `{requeued}`: parts of a WITH that give the tasks of `asked` (id, queue, kind, priority, seq) the queue $2 wherever they wait, unless
/// somebody has them in hand; rows of `requeued` say which, where, and of what type.
fn requeued() -> String {
    let mut parts = Vec::new();
    let mut all = Vec::new();
    for place in Place::ALL {
        let (table, unknown) = (table(place), unknown());
        let look = |spot: &&str| {
            format!(
                "SELECT p.at FROM asked t CROSS JOIN LATERAL (SELECT ctid AS at FROM {{s}}.{table} p WHERE {spot} AND p.flags & {unknown} = 0 \
                 FOR UPDATE SKIP LOCKED) p"
            )
        };
        let looks: Vec<_> =
            spots(place).iter().enumerate().map(|(n, spot)| format!("{table}_{n} AS MATERIALIZED ({})", look(spot))).collect();
        let found: Vec<_> = (0..looks.len()).map(|n| format!("SELECT at FROM {table}_{n}")).collect();
        parts.extend(looks);
        // A turn is one among those of its queue, and would stand behind all arrivals of another.
        let line = match place {
            Place::Ready | Place::Parked => {
                format!(", seq = CASE WHEN seq >= {PLACE_MIN} THEN nextval('{{l}}.arrival') ELSE seq END")
            }
            Place::Blocked | Place::Scheduled | Place::Waiting => String::new(),
        };
        parts.push(format!(
            "requeued_{table} AS (UPDATE {{s}}.{table} SET queue = $2{line} WHERE ctid = ANY (ARRAY({})) RETURNING id, kind)",
            found.join(" UNION ALL ")
        ));
        all.push(format!("SELECT id, {}::smallint AS place, kind FROM requeued_{table}", code(place)));
    }
    parts.push(format!("requeued AS ({})", all.join(" UNION ALL ")));
    parts.join(",\n")
}

/// `{unclaimed}`: whether the task of `t` waits somewhere and was never claimed.
fn unclaimed() -> String {
    let look =
        |place: Place, spot: &str| format!("EXISTS (SELECT FROM {{s}}.{} p WHERE {spot} AND p.claim_no = 0)", table(place));
    let looks: Vec<_> = Place::ALL.iter().flat_map(|place| spots(*place).iter().map(|spot| look(*place, spot))).collect();
    looks.join("\nOR ")
}

/// `{hold_unclaimed}`: for plpgsql, returns true with the row locked by which the task in the variable `t` waits somewhere, if it was never claimed.
fn hold_unclaimed() -> String {
    unclaimed_held(|_| HOLD.to_owned())
}

/// `{hold_and_look}`: the same, and one that waits for a slot is looked at again.
fn hold_and_look() -> String {
    unclaimed_held(|place| if place == Place::Waiting { HOLD.replace("RETURN", LOOK_AGAIN) } else { HOLD.to_owned() })
}

/// For each spot of each place what is done with the row that is there.
fn unclaimed_held(hold: impl Fn(Place) -> String) -> String {
    let look = |place: Place, spot: &str| hold(place).replace("{table}", table(place)).replace("{spot}", spot);
    let looks: Vec<_> = Place::ALL.iter().flat_map(|place| spots(*place).iter().map(|spot| look(*place, spot))).collect();
    looks.join("\n")
}

const HOLD: &str = "PERFORM FROM {s}.{table} p WHERE {spot} AND p.claim_no = 0 FOR SHARE;\nIF FOUND THEN RETURN true; END IF;";

/// A row of those that claims look at, taken out and written again.
const RENEW: &str = "DELETE FROM {s}.{table} p WHERE {spot} AND p.claim_no = 0 RETURNING p.* INTO renewed;\n\
                     IF FOUND THEN INSERT INTO {s}.{table} SELECT (renewed).*; RETURN true; END IF;";

/// Whoever admits passes over what is held here: once it is let go, somebody looks at its line.
const LOOK_AGAIN: &str = "INSERT INTO {s}.touched(key) SELECT key FROM {s}.standby WHERE task = t.id; RETURN";

/// `{renew_unclaimed}`: the same, and a row of those that claims look at is taken out and written again, as `renewed`.
fn renew_unclaimed() -> String {
    unclaimed_held(|place| match place {
        Place::Ready => RENEW.to_owned(),
        Place::Waiting => HOLD.replace("RETURN", LOOK_AGAIN),
        Place::Scheduled | Place::Blocked | Place::Parked => HOLD.to_owned(),
    })
}

/// `{ids_of_day}`: the ids of all tasks of a day that wait anywhere, up to a number of each sort, for plpgsql with the variables `low`,
/// `high` (ids), `first`, `last` (arrivals) and `most`. A day's bodies are dropped only if they are not in it.
pub(crate) fn ids_of_day() -> String {
    let all = |place: Place| {
        match place {
            // By their arrival, in their order: of the backlog only what came while the day's tasks came is looked through. Those whose
            // callers chose ids of another day are among them, so that the number of rows says nothing before they are left out.
            Place::Ready => "(SELECT r.id FROM {s}.queue q CROSS JOIN generate_series(0, 9) AS g(n) CROSS JOIN LATERAL (
             SELECT p.id FROM {s}.ready p
             WHERE p.queue = q.id AND p.priority = g.n::smallint AND p.seq BETWEEN first AND last AND p.id >= low AND p.id < high
             LIMIT most + 1
           ) r LIMIT most + 1)
           UNION ALL
           (SELECT p.id FROM {s}.ready p WHERE p.id >= low AND p.id < high AND p.flags <> 0 LIMIT most + 1)"
                .to_owned(),
            Place::Parked => "(SELECT r.id FROM pair CROSS JOIN generate_series(0, 9) AS g(n) CROSS JOIN LATERAL (
             SELECT p.id FROM {s}.parked p
             WHERE p.queue = pair.queue AND p.kind = pair.kind AND p.priority = g.n::smallint AND p.seq BETWEEN first AND last
               AND p.id >= low AND p.id < high
             LIMIT most + 1
           ) r LIMIT most + 1)
           UNION ALL
           (SELECT p.id FROM {s}.parked p WHERE p.id >= low AND p.id < high AND p.flags <> 0 LIMIT most + 1)"
                .to_owned(),
            Place::Scheduled => {
                "(SELECT p.id FROM {s}.scheduled p WHERE p.seq BETWEEN first AND last AND p.id >= low AND p.id < high
           LIMIT most + 1)"
                    .to_owned()
            }
            Place::Waiting | Place::Blocked => {
                format!("(SELECT p.id FROM {{s}}.{} p WHERE p.id >= low AND p.id < high LIMIT most + 1)", table(place))
            }
        }
    };
    // What runs waits for its end.
    let lease = "(SELECT l.id FROM {s}.lease l WHERE l.id >= low AND l.id < high LIMIT most + 1)".to_owned();
    Place::ALL.into_iter().map(all).chain([lease]).collect::<Vec<_>>().join("\nUNION\n")
}

/// `{keep}`: until when a task with `retention` and `flags` is kept that ends now, unless nothing is: as core's `ended`. A number of a
/// retention that no version wrote is read as the longest.
pub(crate) fn keep() -> String {
    keep_from("{now}")
}

/// `{keep_one}`: the same for plpgsql, whose variable `clock` is the time.
pub(crate) fn keep_one() -> String {
    keep_from("clock")
}

fn keep_from(now: &str) -> String {
    let (forever, default) = (retention_of(Retention::Forever), retention_of(Retention::default()));
    let lasting = lasting();
    format!(
        "CASE WHEN flags & {lasting} <> 0 OR retention = {forever} THEN 9223372036854775807 WHEN retention < 0 THEN {now} + {default} \
         ELSE {now} + least(retention, {KEPT_MS_MAX}) END"
    )
}

/// `{owed}`: what its end leaves to a program that knows the flags.
pub(crate) fn owed() -> String {
    format!("flags & {}", unknown())
}

/// `{lasting}`: the flags with which nobody knows yet until when a task is kept.
fn lasting() -> String {
    format!("({})", !Flags::KNOWN.bits() | Flags::MEMBER.bits())
}

/// `{kept_after}`: until when a member is kept whose workflow has ended, by the row of its `task` and that of its end, `o`: as core's
/// `kept_after`.
fn kept_after() -> String {
    let (forever, default) = (retention_of(Retention::Forever), retention_of(Retention::default()));
    let succeeded = ended_of(State::Succeeded);
    format!(
        "CASE WHEN task.retention = {forever} THEN 9223372036854775807 WHEN task.retention >= 0 THEN o.finished_at + least(task.retention, \
         {KEPT_MS_MAX}) WHEN o.ended = {succeeded} THEN o.finished_at ELSE o.finished_at + {default} END"
    )
}

/// `{report}`: what follows a WITH in which the rows of `told` say what became of members: workflow, step, the code of the state, and 1 if it
/// ended so, or -1 if it is taken back. One report a step, and nothing of the workflow is locked.
fn report() -> String {
    let [succeeded, failed] = [State::Succeeded, State::Failed].map(ended_of);
    format!(
        "INSERT INTO {{s}}.report(workflow, step, succeeded, failed, cancelled) SELECT workflow, step, coalesce(sum(n) FILTER (WHERE ended \
         = {succeeded}), 0), coalesce(sum(n) FILTER (WHERE ended = {failed}), 0), coalesce(sum(n) FILTER (WHERE ended NOT IN \
         ({succeeded}, {failed})), 0) FROM told WHERE workflow IS NOT NULL AND step IS NOT NULL GROUP BY workflow, step"
    )
}

/// `{unknown}`: the flags that this version does not know.
pub(crate) fn unknown() -> String {
    format!("({})", !Flags::KNOWN.bits())
}

#[cfg(test)]
mod tests {
    use gristmill_core::kit::fnv;

    use super::*;

    /// A store that has taken a step keeps the functions as they were then, and the checksum of the step is that of its text without
    /// this one: who changes what stands here would have new stores and old ones do different things, and no other test would see it.
    #[test]
    fn functions_that_stores_have_are_not_changed_under_them() {
        let texts = [
            include_str!("../additions/0002_doors.sql"),
            include_str!("../additions/0004_checks.sql"),
            include_str!("../additions/0008_spared.sql"),
            include_str!("../additions/0011_workflows.sql"),
        ];
        let sum = |text| format!("{:016x}", fnv(fill(text).bytes().filter(|byte| *byte != b'\r')));
        assert_eq!(
            texts.map(sum),
            ["060bf4125bbd6282", "fa7860ed610b63de", "44a8ebbac316f94b", "15a43c364d66be66"],
            "the text of the doors has changed: add a step that makes these functions anew, if this one was released; then its sum goes \
             here"
        );
    }
}
