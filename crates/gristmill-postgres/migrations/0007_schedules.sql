-- Schedules, what became of their ticks, and who leads the beats.

-- due_at: null while a beat need not look at it. body, memory: JSON text of the beat's.
-- revision: one count for all, as a schedule that is removed and made again must not get one that it had.
CREATE SEQUENCE {s}.revision AS bigint;
CREATE TABLE {s}.schedule(
  name       text COLLATE "C" NOT NULL PRIMARY KEY,
  owner      text COLLATE "C",
  body       text   NOT NULL,
  due_at     bigint,
  memory     text   NOT NULL,
  revision   bigint NOT NULL,
  created_at bigint NOT NULL,
  edited_at  bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
CREATE INDEX schedule_due ON {s}.schedule(due_at, name) WHERE due_at IS NOT NULL;
CREATE INDEX schedule_owner ON {s}.schedule(owner, name) WHERE owner IS NOT NULL;

-- The key is what makes a tick happen once. By name, as ticks outlive their schedule.
-- outcome: 0 enqueued, 1 manual, 2 skipped, 3 missed, 4 suppressed, 5 failed.
CREATE TABLE {s}.tick(
  schedule   text COLLATE "C" NOT NULL,
  at         bigint   NOT NULL,
  written_at bigint   NOT NULL,
  outcome    smallint NOT NULL,
  task       uuid,
  reason     text,
  PRIMARY KEY(schedule, at)
);
CREATE INDEX tick_written ON {s}.tick(written_at);

CREATE TABLE {s}.beat(
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  beat       uuid   NOT NULL,
  term       bigint NOT NULL,
  expires_at bigint NOT NULL
) WITH (fillfactor = 50);

-- The schedules of these names as they stand, kept from other editors until the end of the transaction, and the time. A name
-- without a row has no row to lock, and two who make it at once would both find nothing: so the names are locked.
CREATE FUNCTION {s}.schedules_for_edit(names jsonb, now bigint DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  key   bigint;
  found jsonb;
BEGIN
  FOR key IN SELECT DISTINCT hashtextextended('{l}.' || n, 0) FROM jsonb_array_elements_text(names) n ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock(key);
  END LOOP;
  -- In the order of the names, as advances write them.
  SELECT jsonb_object_agg(s.name, to_jsonb(s)) INTO found FROM (
    SELECT s.* FROM {s}.schedule s WHERE s.name IN (SELECT jsonb_array_elements_text(names)) ORDER BY s.name FOR UPDATE
  ) s;
  RETURN jsonb_build_object(
    'now', coalesce(now, floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint),
    'found', coalesce(found, '{}'));
END $gristmill$;

-- Writes and removes schedules; returns those that were written.
CREATE FUNCTION {s}.write_schedules(puts jsonb, removed jsonb, now bigint DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  clock   CONSTANT bigint := coalesce(now, floor(extract(epoch FROM statement_timestamp()) * 1000));
  written jsonb;
BEGIN
  DELETE FROM {s}.schedule s WHERE s.name IN (SELECT jsonb_array_elements_text(removed));
  WITH w AS (
    INSERT INTO {s}.schedule AS s (name, owner, body, due_at, memory, revision, created_at, edited_at)
    SELECT p.name, p.owner, p.body, p.due_at, p.memory, nextval('{l}.revision'), clock, clock
    FROM jsonb_to_recordset(puts) AS p(name text, owner text, body text, due_at bigint, memory text) ORDER BY p.name
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, body = excluded.body, due_at = excluded.due_at,
      memory = excluded.memory, revision = excluded.revision, edited_at = excluded.edited_at
    RETURNING s.*
  )
  SELECT jsonb_object_agg(w.name, to_jsonb(w)) INTO written FROM w;
  RETURN coalesce(written, '{}');
END $gristmill$;

REVOKE ALL ON FUNCTION {s}.schedules_for_edit, {s}.write_schedules FROM PUBLIC;
