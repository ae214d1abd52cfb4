-- A past day of which little is kept is replaced by one that holds just that, instead of being emptied row by row: see
-- docs/decisions/0013-thin-days.md. One day at a time, in steps that are transactions of their own: `thin_begin` once, then `thin_step` until
-- it is done.

-- How far it is. day: null for none. copied: up to which id; null for all. part: how many tasks at once. try_at: not before, as somebody
-- held the tables, or no such day was found.
CREATE TABLE {s}.thin(
  one    boolean PRIMARY KEY DEFAULT true CHECK (one),
  day    bigint,
  copied uuid,
  part   integer NOT NULL DEFAULT 1000,
  try_at bigint  NOT NULL DEFAULT 0
);
INSERT INTO {s}.thin DEFAULT VALUES;

-- Tasks of that day of which something has changed since it was begun. No key: who notes the same one waits for nobody.
CREATE TABLE {s}.thin_change(id uuid NOT NULL);

CREATE FUNCTION {s}.thin_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  INSERT INTO {s}.thin_change(id) VALUES (coalesce(NEW.id, OLD.id));
  RETURN NULL;
END $gristmill$;

-- The tables of which a day has partitions.
CREATE FUNCTION {s}.thin_bases(day bigint) RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT ARRAY(SELECT base FROM unnest('{task,outcome,label}'::text[]) AS base WHERE to_regclass({s}.day_table(base, day)) IS NOT NULL)
$gristmill$;

-- Columns and indexes, as far as a table has to be like another to become its partition in a moment; null if there is none.
CREATE FUNCTION {s}.table_shape(name text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT string_agg(concat_ws(' ', attname, atttypid, attnotnull), ',' ORDER BY attnum)
      || (SELECT count(*) FROM pg_index WHERE indrelid = to_regclass(name))
  FROM pg_attribute WHERE attrelid = to_regclass(name) AND attnum > 0 AND NOT attisdropped
$gristmill$;

-- Whether everything is there still: changes are noted, and what was copied can take the day's place. Not after the day was dropped, or the
-- tables were altered.
CREATE FUNCTION {s}.thin_stands(day bigint) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT (SELECT count(*) = 2 FROM pg_trigger
          WHERE tgname = 'thin' AND tgrelid IN (to_regclass({s}.day_table('task', day)), to_regclass({s}.day_table('outcome', day))))
    AND (SELECT bool_and({s}.table_shape({s}.day_table(base, day) || '_thin') IS NOT DISTINCT FROM {s}.table_shape('{l}.' || base))
         FROM unnest({s}.thin_bases(day)) AS base)
$gristmill$;

-- Has the day not be deleted row by row for ten minutes, as each of these rows would be a change.
CREATE FUNCTION {s}.thin_hold(day bigint, now bigint) RETURNS void LANGUAGE sql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' AS $gristmill$
  INSERT INTO {s}.day_look(day, prune_at) VALUES (day, now + 600000) ON CONFLICT (day) DO UPDATE SET prune_at = excluded.prune_at
$gristmill$;

-- Whether a day is large, would be deleted row by row an hour from now, and at most a quarter of it is kept, by a sample of its tasks.
CREATE FUNCTION {s}.thin_is_worth(day bigint, now bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  task    CONSTANT text := {s}.day_table('task', day);
  outcome CONSTANT text := {s}.day_table('outcome', day);
  answer  boolean;
BEGIN
  IF to_regclass(outcome) IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE 'SELECT EXISTS (SELECT FROM ' || outcome || ' WHERE keep_until <= $1)' INTO answer USING now - 90000000;
  IF NOT answer OR NOT {s}.day_is_large(day) THEN
    RETURN false;
  END IF;
  EXECUTE 'SELECT 4 * count(*) FILTER (WHERE NOT EXISTS (SELECT FROM ' || outcome || ' o '
       || 'WHERE o.id = t.id AND coalesce(o.keep_until, 9223372036854775807) <= $1 OFFSET 0)) '
       || '<= count(*) FROM ' || task || ' t TABLESAMPLE SYSTEM ($2::real)'
    INTO answer USING now, least(100, 104857600.0 / greatest(pg_relation_size(to_regclass(task)), 1));
  -- What can be dropped as a whole needs no copy.
  RETURN answer AND {s}.day_wanted(day, now) IS NULL;
END
$gristmill$;

-- Begins with the first day of which that is so. True if there is one to go on with. What notes changes is made first and waits for
-- whoever writes to that day, so that all that is copied later either was there by then or is noted.
CREATE FUNCTION {s}.thin_begin(now bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $gristmill$
DECLARE
  state {s}.thin;
  found bigint;
  base  text;
BEGIN
  -- In any other mode the last look for changes would not see all.
  IF current_setting('transaction_isolation') <> 'read committed' OR NOT {s}.days_lock() THEN
    RETURN false;
  END IF;
  SELECT * INTO STRICT state FROM {s}.thin;
  IF state.day IS NOT NULL OR state.try_at BETWEEN now + 1 AND now + 3600000 THEN
    RETURN state.try_at NOT BETWEEN now + 1 AND now + 3600000;
  END IF;
  FOR found IN SELECT day FROM {s}.days() AS d(day) WHERE (day + 1) * 86400000 + 600000 <= now ORDER BY day LOOP
    CONTINUE WHEN NOT {s}.thin_is_worth(found, now);
    PERFORM {s}.thin_hold(found, now);
    BEGIN
      FOREACH base IN ARRAY {s}.thin_bases(found) LOOP
        -- What it holds is known, so that it need not be looked through when it takes the day's place.
        EXECUTE 'CREATE TABLE ' || {s}.day_table(base, found) || '_thin (LIKE {l}.' || base || ' INCLUDING ALL, CHECK (id >= '
             || quote_literal({s}.day_floor(found)) || ' AND id < ' || quote_literal({s}.day_floor(found + 1)) || '))';
      END LOOP;
      EXECUTE 'LOCK TABLE ' || {s}.day_table('task', found) || ' IN SHARE ROW EXCLUSIVE MODE';
      EXECUTE 'LOCK TABLE ' || {s}.day_table('outcome', found) || ' IN SHARE ROW EXCLUSIVE MODE NOWAIT';
      FOREACH base IN ARRAY ARRAY['task', 'outcome'] LOOP
        EXECUTE 'CREATE TRIGGER thin AFTER INSERT OR UPDATE OR DELETE ON ' || {s}.day_table(base, found)
             || ' FOR EACH ROW EXECUTE FUNCTION {l}.thin_note()';
      END LOOP;
      UPDATE {s}.thin SET day = found, copied = '00000000-0000-0000-0000-000000000000', part = 1000, try_at = 0;
    EXCEPTION WHEN lock_not_available THEN
      UPDATE {s}.thin SET try_at = now + 300000;
      RETURN false;
    END;
    RETURN true;
  END LOOP;
  UPDATE {s}.thin SET try_at = now + 3600000;
  RETURN false;
END
$gristmill$;

-- What is kept of the tasks above an id and up to another. One is left behind only if an outcome says that its time is over: what waits, runs
-- or was reopened has none that does. Both tables side by side in the order of the ids: nobody can tell the planner for sure how many lie
-- between two of them, and any other plan might look through all of these, or of the day, for each task or part.
CREATE FUNCTION {s}.thin_kept(day bigint, above uuid, upto uuid, now bigint) RETURNS uuid[] LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
  SET enable_nestloop = off SET enable_mergejoin = on AS $gristmill$
DECLARE
  ids uuid[];
BEGIN
  EXECUTE 'SELECT ARRAY(SELECT id FROM ' || {s}.day_table('task', day) || ' t WHERE id > $1 AND id <= $2 AND NOT EXISTS (SELECT FROM '
       || {s}.day_table('outcome', day) || ' o WHERE o.id = t.id AND o.id > $1 AND o.id <= $2 '
       || 'AND coalesce(o.keep_until, 9223372036854775807) <= $3))' INTO ids USING above, upto, now;
  RETURN ids;
END
$gristmill$;

-- Copies what is kept of these tasks.
CREATE FUNCTION {s}.thin_copy(day bigint, ids uuid[], now bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
  SET enable_mergejoin = off AS $gristmill$
DECLARE
  task    CONSTANT text := {s}.day_table('task', day);
  outcome CONSTANT text := {s}.day_table('outcome', day);
  label   CONSTANT text := {s}.day_table('label', day);
BEGIN
  EXECUTE 'WITH kept AS MATERIALIZED (SELECT * FROM ' || task || ' t WHERE id = ANY($1) AND NOT EXISTS (SELECT FROM ' || outcome
       || ' o WHERE o.id = t.id AND coalesce(o.keep_until, 9223372036854775807) <= $2 OFFSET 0)), '
       || 'tasks AS (INSERT INTO ' || task || '_thin SELECT * FROM kept), '
       || 'outcomes AS (INSERT INTO ' || outcome || '_thin SELECT * FROM ' || outcome || ' WHERE id = ANY (ARRAY(SELECT id FROM kept))) '
       || CASE WHEN to_regclass(label) IS NULL THEN 'SELECT' ELSE 'INSERT INTO ' || label || '_thin SELECT l, k.seq, k.id FROM kept k '
       || 'CROSS JOIN LATERAL unnest({l}.labels_of(k.meta)) AS l WHERE k.meta IS NOT NULL ON CONFLICT DO NOTHING' END
    USING ids, now;
END
$gristmill$;

-- The contrary, for tasks that are copied anew.
CREATE FUNCTION {s}.thin_forget(day bigint, ids uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
  SET enable_mergejoin = off AS $gristmill$
DECLARE
  task CONSTANT text := {s}.day_table('task', day) || '_thin';
BEGIN
  IF to_regclass({s}.day_table('label', day)) IS NOT NULL THEN
    EXECUTE 'DELETE FROM ' || {s}.day_table('label', day) || '_thin d USING ' || task || ' t CROSS JOIN LATERAL '
         || 'unnest({l}.labels_of(t.meta)) AS l WHERE t.id = ANY($1) AND t.meta IS NOT NULL AND d.label = l AND d.seq = t.seq AND d.id = t.id'
      USING ids;
  END IF;
  EXECUTE 'DELETE FROM ' || task || ' WHERE id = ANY($1)' USING ids;
  EXECUTE 'DELETE FROM ' || {s}.day_table('outcome', day) || '_thin WHERE id = ANY($1)' USING ids;
END
$gristmill$;

-- Has what was copied take the day's place, unless something changed since it was copied last: then a minute later. Nothing is copied while
-- others wait.
CREATE FUNCTION {s}.thin_swap(day bigint, now bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $gristmill$
DECLARE
  bases CONSTANT text[] := {s}.thin_bases(day);
  base  text;
  part  text;
BEGIN
  -- First what nobody but a vacuum knows, then, as drop_day does, that through which all others come.
  FOREACH base IN ARRAY bases LOOP
    EXECUTE 'LOCK TABLE ' || {s}.day_table(base, day) || '_thin IN ACCESS EXCLUSIVE MODE';
  END LOOP;
  LOCK TABLE ONLY {s}.task, ONLY {s}.outcome IN ACCESS EXCLUSIVE MODE;
  FOREACH base IN ARRAY bases LOOP
    EXECUTE 'LOCK TABLE ONLY {l}.' || base || ', ONLY {l}.' || base || '_rest, ONLY ' || {s}.day_table(base, day)
         || ' IN ACCESS EXCLUSIVE MODE NOWAIT';
  END LOOP;
  IF EXISTS (SELECT FROM {s}.thin_change) THEN
    UPDATE {s}.thin SET try_at = now + 60000;
    RETURN;
  END IF;
  FOREACH base IN ARRAY bases LOOP
    part := {s}.day_table(base, day);
    EXECUTE 'ALTER TABLE {l}.' || base || ' DETACH PARTITION ' || part;
    EXECUTE 'DROP TABLE ' || part;
    EXECUTE 'ALTER TABLE ' || part || '_thin RENAME TO ' || right(part, length(base) + 9);
    EXECUTE 'ALTER TABLE {l}.' || base || ' ATTACH PARTITION ' || part || ' FOR VALUES FROM (' || quote_literal({s}.day_floor(day))
         || ') TO (' || quote_literal({s}.day_floor(day + 1)) || ')';
  END LOOP;
  UPDATE {s}.thin SET day = NULL, try_at = 0;
END
$gristmill$;

-- Clears away what was made for a day, and tries none for an hour.
CREATE FUNCTION {s}.thin_end(day bigint, now bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $gristmill$
DECLARE
  part text;
BEGIN
  FOR part IN SELECT {s}.day_table(base, day) FROM unnest('{task,outcome,label}'::text[]) AS base LOOP
    IF to_regclass(part || '_thin') IS NOT NULL THEN
      EXECUTE 'DROP TABLE ' || part || '_thin';
    END IF;
  END LOOP;
  FOR part IN SELECT tgrelid::regclass::text FROM pg_trigger
    WHERE tgname = 'thin' AND tgrelid IN (to_regclass({s}.day_table('task', day)), to_regclass({s}.day_table('outcome', day)))
  LOOP
    EXECUTE 'LOCK TABLE ' || part || ' IN ACCESS EXCLUSIVE MODE NOWAIT';
    EXECUTE 'DROP TRIGGER thin ON ' || part;
  END LOOP;
  TRUNCATE {s}.thin_change;
  UPDATE {s}.thin SET day = NULL, try_at = now + 3600000;
END
$gristmill$;

-- One step with the day that was begun; false if that was the last, or it has to be tried again later. Needs to be its own transaction.
CREATE FUNCTION {s}.thin_step(now bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  began CONSTANT timestamptz := clock_timestamp();
  state {s}.thin;
  task  text;
  last  uuid;
  ids   uuid[];
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' OR NOT {s}.days_lock() THEN
    RETURN false;
  END IF;
  SELECT * INTO STRICT state FROM {s}.thin;
  IF state.day IS NULL OR state.try_at BETWEEN now + 1 AND now + 3600000 THEN
    RETURN false;
  END IF;
  BEGIN
    IF NOT {s}.thin_stands(state.day) THEN
      PERFORM {s}.thin_end(state.day, now);
      RETURN false;
    END IF;
  EXCEPTION WHEN lock_not_available THEN
    UPDATE {s}.thin SET try_at = now + 300000;
    RETURN false;
  END;
  PERFORM {s}.thin_hold(state.day, now);
  task := {s}.day_table('task', state.day);
  IF state.copied IS NOT NULL THEN
    EXECUTE 'SELECT id FROM ' || task || ' WHERE id > $1 ORDER BY id OFFSET $2 - 1 LIMIT 1' INTO last USING state.copied, state.part;
    ids := {s}.thin_kept(state.day, state.copied, coalesce(last, {s}.day_floor(state.day + 1)), now);
    state.copied := last;
  ELSE
    WITH taken AS (
      DELETE FROM {s}.thin_change WHERE ctid = ANY (ARRAY(SELECT ctid FROM {s}.thin_change LIMIT state.part)) RETURNING id
    )
    SELECT array_agg(DISTINCT id) INTO ids FROM taken;
    IF ids IS NULL THEN
      BEGIN
        PERFORM {s}.thin_swap(state.day, now);
      EXCEPTION WHEN lock_not_available THEN
        UPDATE {s}.thin SET try_at = now + 300000;
      END;
      RETURN false;
    END IF;
    PERFORM {s}.thin_forget(state.day, ids);
  END IF;
  PERFORM {s}.thin_copy(state.day, ids, now);
  -- However large the tasks are, and however slow the disks, a step is over in about a second.
  UPDATE {s}.thin SET copied = state.copied, try_at = 0, part = CASE
    WHEN clock_timestamp() - began > interval '1 s' THEN greatest(part / 2, 100)
    WHEN clock_timestamp() - began < interval '0.5 s' THEN least(part * 2, 20000)
    ELSE part END;
  RETURN true;
END
$gristmill$;

REVOKE ALL ON FUNCTION {s}.thin_note(), {s}.thin_bases(bigint), {s}.table_shape(text), {s}.thin_stands(bigint), {s}.thin_hold(bigint, bigint),
  {s}.thin_is_worth(bigint, bigint), {s}.thin_begin(bigint), {s}.thin_kept(bigint, uuid, uuid, bigint),
  {s}.thin_copy(bigint, uuid[], bigint), {s}.thin_forget(bigint, uuid[]), {s}.thin_swap(bigint, bigint),
  {s}.thin_end(bigint, bigint), {s}.thin_step(bigint) FROM PUBLIC;
