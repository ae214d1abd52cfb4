-- A day of tasks is made ahead as two partitions, one of task and one of outcome, and goes away with them: dropping a day costs
-- the same whatever it held. What goes on, or is kept for longer, is carried into the default partitions first.
-- Whoever sweeps needs no right to make or drop tables: these functions run with the rights of who owns them.

-- The lowest id of a day, counted from 1970: a UUIDv7 begins with its milliseconds.
CREATE FUNCTION {s}.day_floor(day bigint) RETURNS uuid LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT rpad(lpad(to_hex(day * 86400000), 12, '0'), 32, '0')::uuid
$gristmill$;

-- The partition of a table for a day, such as "gristmill".task_20270115.
CREATE FUNCTION {s}.day_table(base text, day bigint) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT '{l}.' || base || to_char(date '1970-01-01' + day::integer, '_YYYYMMDD')
$gristmill$;

-- The days that have partitions.
CREATE FUNCTION {s}.days() RETURNS SETOF bigint LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT (to_date(substr(c.relname, 6), 'YYYYMMDD') - date '1970-01-01')::bigint
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = to_regclass('{l}.task') AND c.relname ~ '^task_\d{8}$' ORDER BY 1
$gristmill$;

-- One process at a time changes the days; the others go on with something else.
CREATE FUNCTION {s}.days_lock() RETURNS boolean LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT pg_try_advisory_xact_lock(hashtextextended('gristmill days of {l}', 0))
$gristmill$;

-- Makes a day's partitions; false if that has to be tried again later. A day that already has many tasks in the default
-- partitions stays there: they are locked against everybody while rows move, and while ATTACH looks through them.
CREATE FUNCTION {s}.make_day(day bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' SET enable_seqscan = off AS $gristmill$
DECLARE
  low uuid := {s}.day_floor(day);
  high uuid := {s}.day_floor(day + 1);
  base text;
BEGIN
  IF to_regclass({s}.day_table('task', day)) IS NOT NULL THEN
    RETURN true;
  ELSIF NOT {s}.days_lock() THEN
    RETURN false;
  ELSIF EXISTS (SELECT FROM {s}.task_rest WHERE id >= low AND id < high OFFSET 1000)
     OR EXISTS (SELECT FROM {s}.outcome_rest WHERE id >= low AND id < high OFFSET 1000) THEN
    RETURN true;
  END IF;
  FOREACH base IN ARRAY ARRAY['task', 'outcome'] LOOP
    EXECUTE 'CREATE TABLE ' || {s}.day_table(base, day) || ' (LIKE {l}.' || base || ' INCLUDING ALL)';
    EXECUTE 'WITH moved AS (DELETE FROM {l}.' || base || '_rest WHERE id >= $1 AND id < $2 RETURNING *) INSERT INTO '
         || {s}.day_table(base, day) || ' SELECT * FROM moved' USING low, high;
    EXECUTE 'ALTER TABLE {l}.' || base || ' ATTACH PARTITION ' || {s}.day_table(base, day)
         || ' FOR VALUES FROM (' || quote_literal(low) || ') TO (' || quote_literal(high) || ')';
  END LOOP;
  RETURN true;
END
$gristmill$;

-- The tasks of a day that have not ended or are kept beyond `now`; null if they are more, or larger, than can be carried in a
-- moment. A task that has not ended is found by its place in line, so that neither history nor backlog is looked through.
CREATE FUNCTION {s}.day_wanted(day bigint, now bigint) RETURNS uuid[] LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  most CONSTANT integer := 1000;
  low uuid := {s}.day_floor(day);
  high uuid := {s}.day_floor(day + 1);
  first bigint;
  last bigint;
  waiting uuid[];
  kept uuid[];
  bytes bigint;
BEGIN
  EXECUTE 'SELECT min(seq), max(seq) FROM ' || {s}.day_table('task', day) INTO first, last;
  WITH RECURSIVE pair AS (
    (SELECT queue, kind FROM {s}.parked ORDER BY queue, kind LIMIT 1)
    UNION ALL
    SELECT n.queue, n.kind FROM pair p CROSS JOIN LATERAL (
      SELECT queue, kind FROM {s}.parked WHERE (queue, kind) > (p.queue, p.kind) ORDER BY queue, kind LIMIT 1
    ) n
  )
  SELECT coalesce(array_agg(id), '{}') INTO waiting FROM (
    (SELECT id FROM {s}.lease l WHERE l.id >= low AND l.id < high)
    UNION ALL
    (SELECT id FROM {s}.scheduled WHERE seq BETWEEN first AND last LIMIT most + 1)
    UNION ALL
    (SELECT r.id FROM {s}.queue q CROSS JOIN generate_series(0, 9) AS p(n) CROSS JOIN LATERAL (
       SELECT id FROM {s}.ready WHERE queue = q.id AND priority = p.n::smallint AND seq BETWEEN first AND last LIMIT most + 1
     ) r LIMIT most + 1)
    UNION ALL
    (SELECT r.id FROM pair CROSS JOIN generate_series(0, 9) AS p(n) CROSS JOIN LATERAL (
       SELECT id FROM {s}.parked
       WHERE queue = pair.queue AND kind = pair.kind AND priority = p.n::smallint AND seq BETWEEN first AND last LIMIT most + 1
     ) r LIMIT most + 1)
  ) open;
  EXECUTE 'SELECT coalesce(array_agg(id), ''{}'') FROM (SELECT id FROM ' || {s}.day_table('outcome', day)
       || ' WHERE keep_until > $1 LIMIT $2) k' INTO kept USING now, most + 1;
  IF cardinality(waiting) + cardinality(kept) > most THEN
    RETURN NULL;
  END IF;
  EXECUTE 'SELECT coalesce((SELECT sum(pg_column_size(args) + coalesce(pg_column_size(meta), 0)) FROM '
       || {s}.day_table('task', day) || ' WHERE id = ANY($1)), 0) + coalesce((SELECT sum(coalesce(pg_column_size(result), 0) '
       || '+ coalesce(pg_column_size(error), 0) + coalesce(pg_column_size(logs), 0)) FROM '
       || {s}.day_table('outcome', day) || ' WHERE id = ANY($1)), 0)' INTO bytes USING waiting || kept;
  RETURN CASE WHEN bytes <= 8388608 THEN waiting || kept END;
END
$gristmill$;

-- Whether a day takes more than 16 MiB: deleted row by row it would be as much work as it was to run it.
CREATE FUNCTION {s}.day_is_large(day bigint) RETURNS boolean LANGUAGE sql VOLATILE SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT coalesce(pg_table_size(to_regclass({s}.day_table('task', day)))
                + pg_table_size(to_regclass({s}.day_table('outcome', day))), 0) > 16777216
$gristmill$;

-- Drops the oldest day of which hardly anything is wanted, and returns its number; null if there is none. Needs to be its own
-- transaction, as its locks keep everybody out until the commit: it waits for them 50 ms at most, and carries 1,000 tasks or
-- 8 MiB at most. A small day goes when its tasks were deleted one by one and what is left stays for a week or more.
CREATE FUNCTION {s}.drop_day(now bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  found bigint;
  soon boolean;
  wanted uuid[];
  base text;
BEGIN
  IF NOT {s}.days_lock() THEN
    RETURN NULL;
  END IF;
  -- Ten minutes after midnight nobody's clock makes ids of the day before any more.
  FOR found IN SELECT day FROM {s}.days() AS d(day) WHERE (day + 1) * 86400000 + 600000 <= now LOOP
    CONTINUE WHEN to_regclass({s}.day_table('outcome', found)) IS NULL OR {s}.day_wanted(found, now) IS NULL;
    EXECUTE 'SELECT EXISTS (SELECT FROM ' || {s}.day_table('outcome', found) || ' WHERE keep_until <= $1)'
       INTO soon USING now + 604800000;
    CONTINUE WHEN soon AND NOT {s}.day_is_large(found);
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
    RETURN found;
  END LOOP;
  RETURN NULL;
END
$gristmill$;

-- Deletes at most `most` ended tasks whose retention is over, one by one; returns how many. Those of a large day that is past
-- wait for 26 hours longer, as all of the day may go at once by then.
CREATE FUNCTION {s}.prune_rows(now bigint, most bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  pruned bigint := 0;
  here bigint;
  part record;
BEGIN
  -- So that no day is dropped between the list and the look.
  LOCK TABLE ONLY {s}.task, ONLY {s}.outcome IN ROW EXCLUSIVE MODE;
  FOR part IN
    SELECT '{l}.task_rest' AS task, '{l}.outcome_rest' AS outcome, now AS before
    UNION ALL
    SELECT {s}.day_table('task', day), {s}.day_table('outcome', day),
           CASE WHEN (day + 1) * 86400000 <= now AND {s}.day_is_large(day) THEN now - 93600000 ELSE now END
    FROM {s}.days() AS d(day)
  LOOP
    EXIT WHEN pruned >= most;
    EXECUTE 'WITH over AS MATERIALIZED (SELECT id FROM ' || part.outcome || ' WHERE keep_until IS NOT NULL AND keep_until <= $1 '
         || 'ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED), '
         || 'outcomes AS (DELETE FROM ' || part.outcome || ' WHERE id = ANY (ARRAY(SELECT id FROM over))), '
         || 'tasks AS (DELETE FROM ' || part.task || ' WHERE id = ANY (ARRAY(SELECT id FROM over))) '
         || 'SELECT count(*) FROM over' INTO here USING part.before, most - pruned;
    pruned := pruned + here;
  END LOOP;
  RETURN pruned;
END
$gristmill$;

-- Nothing else ever looks at the tables as wholes: autovacuum sees partitions only.
CREATE FUNCTION {s}.analyze_days() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $gristmill$
BEGIN
  ANALYZE {s}.task, {s}.outcome;
END
$gristmill$;

REVOKE ALL ON FUNCTION {s}.make_day(bigint), {s}.drop_day(bigint), {s}.prune_rows(bigint, bigint), {s}.analyze_days(),
  {s}.day_wanted(bigint, bigint), {s}.day_is_large(bigint), {s}.days_lock() FROM PUBLIC;
