-- What is beside the plain way of a task: 0 is none of it, which the fast paths ask for. A program leaves alone what has a flag that
-- it does not know. owed: what the end of the task has still to set off.
ALTER TABLE {s}.ready ADD COLUMN flags integer NOT NULL DEFAULT 0;
ALTER TABLE {s}.scheduled ADD COLUMN flags integer NOT NULL DEFAULT 0;
ALTER TABLE {s}.parked ADD COLUMN flags integer NOT NULL DEFAULT 0;
ALTER TABLE {s}.lease ADD COLUMN flags integer NOT NULL DEFAULT 0;
ALTER TABLE {s}.outcome ADD COLUMN owed integer NOT NULL DEFAULT 0;

-- As in migrations/0003_days.sql, but looking only once the lock is held: who looked before it and waited for nothing would make at
-- midnight what another process has made meanwhile, and leave the days alone for its error.
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
  RETURN true;
END
$gristmill$;
