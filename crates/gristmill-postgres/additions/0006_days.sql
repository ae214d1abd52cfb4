-- Days that are kept for long are not looked at again and again, each by every process.

-- A task whose priority no driver sends, from when this was not checked, was never seen by a claim.
DO $gristmill$
DECLARE
  base text;
  found uuid[];
  ids uuid[] := ARRAY(SELECT id FROM {s}.lease);
BEGIN
  FOREACH base IN ARRAY ARRAY['ready', 'parked', 'scheduled', 'waiting', 'blocked'] LOOP
    EXECUTE 'WITH mended AS (UPDATE {l}.' || base || ' SET priority = least(greatest(priority, 0), 9) WHERE priority NOT BETWEEN 0 AND 9 '
         || 'RETURNING id) SELECT coalesce(array_agg(id), ''{}'') FROM mended' INTO found;
    ids := ids || found;
  END LOOP;
  UPDATE {s}.task SET priority = least(greatest(priority, 0), 9) WHERE id = ANY(ids) AND priority NOT BETWEEN 0 AND 9;
END $gristmill$;

-- What is known of the days that are past: until when it is of no use to ask whether one can be dropped, and whether some of its tasks
-- can be deleted.
CREATE TABLE {s}.day_look(
  day      bigint NOT NULL PRIMARY KEY,
  drop_at  bigint NOT NULL DEFAULT 0,
  prune_at bigint NOT NULL DEFAULT 0
);

-- As in migrations/0003_days.sql, but the cheap questions come first, and a day of which the answer is known is not asked again: not before
-- hardly anything of it is kept, or an hour later if something else keeps it.
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
    WHERE (d.day + 1) * 86400000 + 600000 <= now AND coalesce(k.drop_at, 0) <= now ORDER BY d.day
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
    LOCK TABLE ONLY {s}.task, ONLY {s}.outcome IN ACCESS EXCLUSIVE MODE;
    EXECUTE 'LOCK TABLE ONLY ' || {s}.day_table('task', found) || ', ONLY ' || {s}.day_table('outcome', found)
         || ', ONLY {l}.task_rest, ONLY {l}.outcome_rest IN ACCESS EXCLUSIVE MODE NOWAIT';
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

-- As in migrations/0003_days.sql, but of the days that are past, of which each is a dozen of locks, one process at a time looks at a few:
-- those of which something can be deleted by now, as far as is known, or of which nobody has asked for ten minutes.
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
     WHERE is_ours AND (d.day + 1) * 86400000 <= now AND coalesce(k.prune_at, 0) <= now
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
