-- Lists: what a task says of itself, filed under so that it is found without reading the others.

-- label: p:PARENT, s:SCHEDULE, n:TITLE, t:TAG or w:WORD of title and tags, as gristmill-core's kit/list.rs has them. A task without
-- any has no row. A partition a day, as task has, and dropped after it.
CREATE TABLE {s}.label(
  label text COLLATE "C" NOT NULL,
  seq   bigint NOT NULL,
  id    uuid   NOT NULL,
  PRIMARY KEY(label, seq, id)
) PARTITION BY RANGE (id);
CREATE TABLE {s}.label_rest PARTITION OF {s}.label DEFAULT;
CREATE INDEX label_rest_id ON {s}.label_rest(id);

-- Tasks below this place in the order of arrival came before there were labels. Sweeps label them, from the newest on.
CREATE TABLE {s}.label_gap(
  one   boolean PRIMARY KEY DEFAULT true CHECK (one),
  below bigint NOT NULL
);

-- The labels of a task that says so of itself. Words are what `words` of gristmill-core says: space and the punctuation of ASCII
-- stand between two. What is no JSON of ours has none, and is kept all the same; jsonb would refuse \u0000.
CREATE FUNCTION {s}.labels_of(meta text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  said  jsonb;
  title text;
  tags  text[] := '{}';
  found text[] := '{}';
BEGIN
  said := replace(meta, '\u0000', '\u0001')::jsonb;
  title := said ->> 'title';
  IF said ? 'parent' THEN
    found := found || ('p:' || (said ->> 'parent'));
  END IF;
  IF said -> 'headers' ? 'schedule' THEN
    found := found || ('s:' || (said -> 'headers' ->> 'schedule'));
  END IF;
  IF said ? 'tags' THEN
    tags := ARRAY(SELECT jsonb_array_elements_text(said -> 'tags'));
  END IF;
  IF title IS NOT NULL OR tags <> '{}' THEN
    found := ARRAY(
      SELECT DISTINCT l FROM (
        SELECT unnest(found) AS l UNION ALL SELECT 'n:' || title WHERE title IS NOT NULL UNION ALL SELECT 't:' || unnest(tags)
        UNION ALL
        SELECT 'w:' || w FROM unnest(tags || title) AS t(said),
               regexp_split_to_table(lower(t.said COLLATE "C"), '[ !-/:-@[-`{-~]+') AS w
        WHERE t.said IS NOT NULL AND w <> ''
      ) x);
  END IF;
  -- Of one that nobody can ask for the index would keep no row, and refuse the task.
  RETURN ARRAY(SELECT l FROM unnest(found) AS l WHERE l IS NOT NULL AND octet_length(l) <= 512);
EXCEPTION WHEN data_exception OR invalid_parameter_value THEN
  RETURN '{}';
END $gristmill$;

-- By triggers, so that every program files its tasks, in whatever language, and those of the version before included. A task
-- without a meta costs a look at it.
CREATE FUNCTION {s}.label_new() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  INSERT INTO {s}.label(label, seq, id) SELECT l, NEW.seq, NEW.id FROM unnest({s}.labels_of(NEW.meta)) AS l ON CONFLICT DO NOTHING;
  RETURN NULL;
END $gristmill$;

CREATE FUNCTION {s}.label_old() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
BEGIN
  DELETE FROM {s}.label WHERE label = ANY({s}.labels_of(OLD.meta)) AND seq = OLD.seq AND id = OLD.id;
  RETURN NULL;
END $gristmill$;

CREATE TRIGGER label_new AFTER INSERT ON {s}.task FOR EACH ROW WHEN (NEW.meta IS NOT NULL) EXECUTE FUNCTION {s}.label_new();
CREATE TRIGGER label_old AFTER DELETE ON {s}.task FOR EACH ROW WHEN (OLD.meta IS NOT NULL) EXECUTE FUNCTION {s}.label_old();

-- As in migrations/0003_days.sql, but looking only once the lock is held: who looked before it and waited for nothing would make at
-- midnight what another process has made meanwhile, and leave the days alone for its error. And with the labels of the day, so that a
-- program of the version before makes their partition, too: else all of a day's labels would have to be moved at once later.
CREATE OR REPLACE FUNCTION {s}.make_day(day bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' SET enable_seqscan = off AS $gristmill$
DECLARE
  low uuid := {s}.day_floor(day);
  high uuid := {s}.day_floor(day + 1);
  base text;
BEGIN
  IF NOT {s}.days_lock() THEN
    RETURN false;
  ELSIF to_regclass({s}.day_table('task', day)) IS NOT NULL THEN
    RETURN true;
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
  PERFORM {s}.make_label_day(day);
  -- Those that were moved have lost theirs: at most as many as are moved.
  EXECUTE 'INSERT INTO {l}.label SELECT l, t.seq, t.id FROM ' || {s}.day_table('task', day)
       || ' t, unnest({l}.labels_of(t.meta)) AS l WHERE t.seq >= (SELECT below FROM {l}.label_gap) AND t.meta IS NOT NULL '
       || 'ON CONFLICT DO NOTHING';
  RETURN true;
END
$gristmill$;

-- Makes the partition of a day's labels, unless too many would have to be moved there while others wait.
CREATE FUNCTION {s}.make_label_day(day bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' SET enable_seqscan = off AS $gristmill$
DECLARE
  low uuid := {s}.day_floor(day);
  high uuid := {s}.day_floor(day + 1);
BEGIN
  IF to_regclass({s}.day_table('label', day)) IS NOT NULL
     OR EXISTS (SELECT FROM {s}.label_rest WHERE id >= low AND id < high OFFSET 5000) THEN
    RETURN;
  END IF;
  EXECUTE 'CREATE TABLE ' || {s}.day_table('label', day) || ' (LIKE {l}.label INCLUDING ALL)';
  EXECUTE 'WITH moved AS (DELETE FROM {l}.label_rest WHERE id >= $1 AND id < $2 RETURNING *) INSERT INTO '
       || {s}.day_table('label', day) || ' SELECT * FROM moved' USING low, high;
  EXECUTE 'ALTER TABLE {l}.label ATTACH PARTITION ' || {s}.day_table('label', day)
       || ' FOR VALUES FROM (' || quote_literal(low) || ') TO (' || quote_literal(high) || ')';
END
$gristmill$;

-- Drops the labels of days that were dropped; false if that has to be tried again later. What was carried with its day is labelled anew.
CREATE FUNCTION {s}.drop_label_days() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' SET enable_seqscan = off AS $gristmill$
DECLARE
  found bigint;
  low uuid;
  high uuid;
BEGIN
  IF NOT {s}.days_lock() THEN
    RETURN false;
  END IF;
  FOR found IN
    SELECT (to_date(substr(c.relname, 7), 'YYYYMMDD') - date '1970-01-01')::bigint
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass('{l}.label') AND c.relname ~ '^label_\d{8}$'
  LOOP
    CONTINUE WHEN to_regclass({s}.day_table('task', found)) IS NOT NULL;
    low := {s}.day_floor(found);
    high := {s}.day_floor(found + 1);
    EXECUTE 'ALTER TABLE {l}.label DETACH PARTITION ' || {s}.day_table('label', found);
    EXECUTE 'DROP TABLE ' || {s}.day_table('label', found);
    INSERT INTO {s}.label SELECT l, t.seq, t.id FROM {s}.task_rest t, unnest({s}.labels_of(t.meta)) AS l
      WHERE t.id >= low AND t.id < high AND t.meta IS NOT NULL ON CONFLICT DO NOTHING;
  END LOOP;
  -- Of days that had no partition of labels; the tasks that went with a partition fired no trigger.
  DELETE FROM {s}.label_rest WHERE id IN (
    SELECT l.id FROM {s}.label_rest l
    WHERE l.id < {s}.day_floor((SELECT min(day) FROM {s}.days() AS d(day)))
      AND NOT EXISTS (SELECT FROM {s}.task_rest t WHERE t.id = l.id)
    LIMIT 10000
  );
  RETURN true;
END
$gristmill$;

-- Whoever was in the middle of an enqueue has been waited for by the triggers' lock.
INSERT INTO {s}.label_gap(below) SELECT coalesce(max(seq) + 1, 0) FROM {s}.task;
DO $gristmill$
BEGIN
  PERFORM {s}.make_label_day(day) FROM {s}.days() AS d(day);
END $gristmill$;

REVOKE ALL ON FUNCTION {s}.labels_of(text), {s}.label_new(), {s}.label_old(), {s}.make_label_day(bigint), {s}.drop_label_days() FROM PUBLIC;
