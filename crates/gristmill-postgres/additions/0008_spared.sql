-- What asks for tasks by their ids opens no day but theirs, also in functions: a text that is executed is planned for its values, where a
-- statement of the function may be planned once for all, which locks every day. And days cost others less.

-- Cancels tasks: at once those that wait, by request those that run. Of each, in order: 'cancelled', 'cancel_requested',
-- 'already_ended' or 'not_found'. now: for a test's clock.
-- In the order of the ids, so that two calls with the same ids wait for one another in one direction only.
-- As in additions/0004_checks.sql, but what asks for a task or its end is planned for its id.
CREATE OR REPLACE FUNCTION {s}.cancel_tasks(ids uuid[], now bigint DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  clock    CONSTANT bigint := coalesce(CASE WHEN {s}.may_set_clock() THEN now END,
                                       floor(extract(epoch FROM statement_timestamp()) * 1000));
  answers  text[] := array_fill(NULL::text, ARRAY[cardinality(ids)]);
  answer   text;
  last     uuid;
  asked    record;
  t        {s}.task;
  is_ended boolean;
  attempt  integer;
  claim_no integer;
  crashes  integer;
  flags    integer;
  retention bigint;
BEGIN
  FOR asked IN SELECT x.id, x.nth FROM unnest(ids) WITH ORDINALITY AS x(id, nth) ORDER BY x.id, x.nth LOOP
    IF asked.id = last THEN
      -- A second time in one call it has ended already.
      answers[asked.nth] := CASE answer WHEN 'cancelled' THEN 'already_ended' ELSE answer END;
      CONTINUE;
    END IF;
    last := asked.id;
    answer := NULL;
    -- What is in no place was moved by somebody else while we looked from one to the next.
    FOR look IN 1..20 LOOP
      EXECUTE 'SELECT * FROM {l}.task WHERE id = $1' INTO t USING asked.id;
      IF t.id IS NULL THEN
        answer := 'not_found';
        EXIT;
      END IF;
      -- Once only: who settles finds a lease that was written again in another place, and has to begin anew.
      UPDATE {s}.lease l SET cancel = true WHERE l.id = t.id AND NOT l.cancel;
      IF FOUND OR EXISTS (SELECT FROM {s}.lease l WHERE l.id = t.id AND l.cancel) THEN
        answer := 'cancel_requested';
        EXIT;
      END IF;
      {take_one}
      IF FOUND THEN
        retention := t.retention;
        INSERT INTO {s}.outcome(id, seq, finished_at, keep_until, claim_no, attempt, crashes, state, ended, error, owed)
        VALUES (t.id, t.seq, clock, {keep_one}, claim_no + 1, attempt, crashes, 6, 3,
                '{"reason":"cancelled","message":"cancelled before it started"}', {owed});
        answer := 'cancelled';
        EXIT;
      END IF;
      EXECUTE 'SELECT EXISTS (SELECT FROM {l}.outcome WHERE id = $1 AND ended <> 0)' INTO is_ended USING t.id;
      EXIT WHEN is_ended;
    END LOOP;
    -- In no place at all after so many looks, which only damage explains, it has no future either.
    answer := coalesce(answer, 'already_ended');
    answers[asked.nth] := answer;
  END LOOP;
  RETURN answers;
END $gristmill$;

-- The end of an attempt that succeeded, in the transaction of its effects; what settle_plain.sql and settle_forget.sql write,
-- with all that was noted while it ran. False: the lease is lost, and nothing was written.
-- As in additions/0002_doors.sql, but what deletes a task is planned for its id.
CREATE OR REPLACE FUNCTION {s}.settle_succeeded(task uuid, fence uuid, ran_ms bigint, result text, logs text, progress text, children jsonb)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  clock     CONSTANT bigint := floor(extract(epoch FROM statement_timestamp()) * 1000);
  lease     {s}.lease;
  noted     {s}.live;
  retention bigint;
  flags     integer;
  outcomes  smallint[];
BEGIN
  DELETE FROM {s}.lease l WHERE l.id = settle_succeeded.task AND l.fence = settle_succeeded.fence RETURNING * INTO lease;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF lease.noted THEN
    DELETE FROM {s}.live v WHERE v.id = lease.id RETURNING * INTO noted;
  END IF;
  retention := lease.retention;
  flags := lease.flags;
  IF retention = -2 AND {owed} = 0 THEN
    EXECUTE 'DELETE FROM {l}.task WHERE id = $1' USING lease.id;
    IF lease.claim_no > 1 THEN
      EXECUTE 'DELETE FROM {l}.outcome WHERE id = $1' USING lease.id;
    END IF;
  ELSE
    INSERT INTO {s}.outcome(id, seq, finished_at, started_at, keep_until, claim_no, attempt, crashes, state, ended,
                            worker, result, logs, progress, owed)
    VALUES (lease.id, lease.seq, clock, greatest(lease.claimed_at, clock - ran_ms), {keep_one}, lease.claim_no, lease.attempt,
            lease.crashes, 1, 1, (SELECT w.name FROM {s}.worker w WHERE w.key = lease.worker), settle_succeeded.result,
            coalesce(settle_succeeded.logs, noted.logs), coalesce(settle_succeeded.progress, noted.progress), {owed});
  END IF;
  IF jsonb_array_length(children) > 0 THEN
    outcomes := {s}.insert_tasks(children);
    IF 2 = ANY (outcomes) THEN
      -- A success that lost a child in silence would be none.
      PERFORM {s}.refuse_id('child ', children -> (array_position(outcomes, 2::smallint) - 1) ->> 'id');
    END IF;
  END IF;
  RETURN true;
END $gristmill$;

-- Until when nobody tries to make days, as somebody holds the tables.
ALTER TABLE {s}.day_look ADD COLUMN make_at bigint NOT NULL DEFAULT 0;

-- As in additions/0006_days.sql, but what a clock said that was ahead is not believed, or nothing would be dropped until then; and who
-- could not have the tables says so to all, and nobody tries again for ten minutes: whoever waits for
-- them holds up everybody, and a hundred processes that each wait a little every few minutes do so all the time.
CREATE OR REPLACE FUNCTION {s}.drop_day(now bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  found bigint;
  soon boolean;
  until bigint;
  wanted uuid[];
  base text;
BEGIN
  IF NOT {s}.days_lock() THEN
    RETURN NULL;
  END IF;
  -- Ten minutes after midnight nobody's clock makes ids of the day before any more.
  FOR found IN
    SELECT d.day FROM {s}.days() AS d(day) LEFT JOIN {s}.day_look k ON k.day = d.day
    WHERE (d.day + 1) * 86400000 + 600000 <= now AND coalesce(k.drop_at, 0) NOT BETWEEN now + 1 AND now + 86400000 ORDER BY d.day
  LOOP
    CONTINUE WHEN to_regclass({s}.day_table('outcome', found)) IS NULL;
    EXECUTE 'SELECT keep_until FROM ' || {s}.day_table('outcome', found) || ' WHERE keep_until > $1 ORDER BY keep_until DESC OFFSET 1000 LIMIT 1'
       INTO until USING now;
    IF until IS NULL THEN
      EXECUTE 'SELECT EXISTS (SELECT FROM ' || {s}.day_table('outcome', found) || ' WHERE keep_until <= $1)'
         INTO soon USING now + 604800000;
      until := CASE WHEN soon AND NOT {s}.day_is_large(found) OR {s}.day_wanted(found, now) IS NULL THEN now + 3600000 END;
    END IF;
    IF until IS NOT NULL THEN
      INSERT INTO {s}.day_look AS k(day, drop_at) VALUES (found, least(until, now + 86400000))
        ON CONFLICT (day) DO UPDATE SET drop_at = excluded.drop_at;
      CONTINUE;
    END IF;
    -- Those first through which all others come. Once they are ours, only a vacuum can hold the partitions.
    BEGIN
      LOCK TABLE ONLY {s}.task, ONLY {s}.outcome IN ACCESS EXCLUSIVE MODE;
      EXECUTE 'LOCK TABLE ONLY ' || {s}.day_table('task', found) || ', ONLY ' || {s}.day_table('outcome', found)
           || ', ONLY {l}.task_rest, ONLY {l}.outcome_rest IN ACCESS EXCLUSIVE MODE NOWAIT';
    EXCEPTION WHEN lock_not_available THEN
      -- These rows are another's for as long as it prunes.
      PERFORM set_config('lock_timeout', '1s', true);
      UPDATE {s}.day_look SET drop_at = now + 600000 WHERE drop_at < now + 600000;
      INSERT INTO {s}.day_look(day, drop_at) SELECT day, now + 600000 FROM {s}.days() AS d(day) ON CONFLICT DO NOTHING;
      RETURN NULL;
    END;
    -- Again, now that nobody can retry or settle.
    wanted := {s}.day_wanted(found, now);
    IF wanted IS NULL THEN
      RETURN NULL;
    END IF;
    FOREACH base IN ARRAY ARRAY['task', 'outcome'] LOOP
      EXECUTE 'ALTER TABLE {l}.' || base || ' DETACH PARTITION ' || {s}.day_table(base, found);
      EXECUTE 'INSERT INTO {l}.' || base || ' SELECT * FROM ' || {s}.day_table(base, found) || ' WHERE id = ANY($1)' USING wanted;
      EXECUTE 'DROP TABLE ' || {s}.day_table(base, found);
    END LOOP;
    DELETE FROM {s}.day_look WHERE day = found;
    RETURN found;
  END LOOP;
  RETURN NULL;
END
$gristmill$;

-- As in additions/0006_days.sql, but what a clock said that was ahead is not believed.
CREATE OR REPLACE FUNCTION {s}.prune_rows(now bigint, most bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  pruned bigint := 0;
  here bigint;
  kept bigint;
  next bigint;
  part record;
  is_ours boolean := pg_try_advisory_xact_lock(hashtextextended('gristmill prune of {l}', 0));
BEGIN
  -- So that no day is dropped between the list and the look.
  LOCK TABLE ONLY {s}.task, ONLY {s}.outcome IN ROW EXCLUSIVE MODE;
  FOR part IN
    SELECT '{l}.task_rest' AS task, '{l}.outcome_rest' AS outcome, NULL::bigint AS past
    UNION ALL
    SELECT {s}.day_table('task', day), {s}.day_table('outcome', day), NULL FROM {s}.days() AS d(day) WHERE (day + 1) * 86400000 > now
    UNION ALL
    (SELECT {s}.day_table('task', d.day), {s}.day_table('outcome', d.day), d.day
     FROM {s}.days() AS d(day) LEFT JOIN {s}.day_look k ON k.day = d.day
     WHERE is_ours AND (d.day + 1) * 86400000 <= now AND coalesce(k.prune_at, 0) NOT BETWEEN now + 1 AND now + 600000
     ORDER BY coalesce(k.prune_at, 0), d.day LIMIT 10)
  LOOP
    EXIT WHEN pruned >= most;
    kept := CASE WHEN part.past IS NOT NULL AND {s}.day_is_large(part.past) THEN 93600000 ELSE 0 END;
    EXECUTE 'WITH over AS MATERIALIZED (SELECT id FROM ' || part.outcome || ' WHERE keep_until IS NOT NULL AND keep_until <= $1 '
         || 'ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED), '
         || 'outcomes AS (DELETE FROM ' || part.outcome || ' WHERE id = ANY (ARRAY(SELECT id FROM over))), '
         || 'tasks AS (DELETE FROM ' || part.task || ' WHERE id = ANY (ARRAY(SELECT id FROM over))) '
         || 'SELECT count(*) FROM over'
       INTO here USING now - kept, most - pruned;
    pruned := pruned + here;
    IF part.past IS NOT NULL AND pruned < most THEN
      EXECUTE 'SELECT keep_until + $1 FROM ' || part.outcome || ' WHERE keep_until IS NOT NULL AND keep_until < 9223372036854775807 - $1 '
           || 'ORDER BY keep_until LIMIT 1' INTO next USING kept;
      INSERT INTO {s}.day_look AS k(day, prune_at) VALUES (part.past, least(next, now + 600000))
        ON CONFLICT (day) DO UPDATE SET prune_at = excluded.prune_at;
    END IF;
  END LOOP;
  RETURN pruned;
END
$gristmill$;

-- As in migrations/0003_days.sql, but with a tenth of the usual sample of each partition, and not at all where the statements that look for
-- tasks by their ids are planned for each call: until the last partition is read, no day can be made or dropped.
CREATE OR REPLACE FUNCTION {s}.analyze_days() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' SET default_statistics_target = 10 AS $gristmill$
BEGIN
  IF (SELECT count(*) FROM {s}.days()) <= 14 THEN
    ANALYZE {s}.task, {s}.outcome;
  END IF;
END
$gristmill$;
