-- Durable steps: what tasks remember of what they have asked for, and the events that they may wait for. How they wait, and who lets them go on,
-- is in docs/decisions/0015-durable-steps.md; it is decided by no statement.

-- What a task remembers, by the position of what it asked for. seq: that of the task, so that one which is given the id of another that is gone
-- takes nothing over. claim_no: that of the attempt which wrote it; a task stands waiting for it as long as it is scheduled since that attempt.
-- code, text, until: what came of it. awaits: what it waits for beside its time; null again once that has come, or the task has ended or waits
-- for something else. child: a workflow that is to be cancelled should the task end before it; false again once that was seen to. No foreign
-- key, and no partition: what is left of tasks that are gone is deleted later.
CREATE TABLE {s}.memory(
  task       uuid     NOT NULL,
  seq        bigint   NOT NULL,
  until      bigint,
  position   integer  NOT NULL,
  occurrence integer  NOT NULL,
  claim_no   integer  NOT NULL,
  code       smallint NOT NULL,
  child      boolean  NOT NULL DEFAULT false,
  name       text COLLATE "C" NOT NULL,
  awaits     text COLLATE "C",
  text       text,
  PRIMARY KEY(task, position)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX memory_awaits ON {s}.memory(awaits, task) WHERE awaits IS NOT NULL;
CREATE INDEX memory_child ON {s}.memory(task, position) WHERE child;
CREATE INDEX memory_mismatch ON {s}.memory(task) WHERE code = 8;

-- What has happened. Of each name one is kept, until its time is over. told: whoever waited for it has been told.
CREATE TABLE {s}.event(
  id         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sent_at    bigint  NOT NULL,
  keep_until bigint  NOT NULL,
  told       boolean NOT NULL DEFAULT false,
  name       text COLLATE "C" NOT NULL UNIQUE,
  payload    text    NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX event_untold ON {s}.event(id) WHERE NOT told;
CREATE INDEX event_keep ON {s}.event(keep_until);

-- Keeps an event: 'stored', or 'exists' if one of this name is kept already. Nothing of those who wait is touched, as the transaction may stay
-- open for long: they are told after its commit. clock: the time, if it is a test's.
CREATE FUNCTION {s}.keep_event(name text, payload text, kept_ms bigint, clock bigint) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  now  CONSTANT bigint := coalesce(clock, floor(extract(epoch FROM statement_timestamp()) * 1000));
  said jsonb;
BEGIN
  PERFORM {s}.check_name('event', name);
  IF payload IS NULL THEN
    PERFORM {s}.refuse('payload', 'is NULL', 'Give JSON as text, and ''null'' for none.');
  ELSIF octet_length(payload) > 1048576 THEN
    PERFORM {s}.refuse('payload', format('has %s bytes of JSON; at most 1048576 are allowed', octet_length(payload)),
                       'Keep what is large elsewhere, and tell where it is.');
  ELSIF (kept_ms BETWEEN 0 AND {kept_max}) IS NOT TRUE THEN
    PERFORM {s}.refuse('kept_ms', 'is not a whole number from 0 to {kept_max}', 'Give milliseconds; a week has 604800000.');
  END IF;
  BEGIN
    -- jsonb would refuse a NUL, which is kept as an escape.
    said := replace(payload, chr(92) || 'u0000', chr(92) || 'u0001')::jsonb;
  EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    PERFORM {s}.refuse('payload', 'is no JSON', 'Give JSON as text, such as ''{"amount": 7}''.');
  END;
  IF octet_length(payload) > 256
    AND jsonb_path_exists(said, 'strict $.**{128} ? (@.type() == "object" || @.type() == "array")') THEN
    PERFORM {s}.refuse('payload', 'nests deeper than 128 levels', 'Tell something flatter.');
  END IF;
  DELETE FROM {s}.event e WHERE e.name = keep_event.name AND e.keep_until <= now;
  INSERT INTO {s}.event(sent_at, keep_until, name, payload) VALUES (now, now + kept_ms, keep_event.name, keep_event.payload)
    ON CONFLICT DO NOTHING;
  RETURN CASE WHEN FOUND THEN 'stored' ELSE 'exists' END;
END $gristmill$;

-- The same for everybody who may enqueue: docs/sql.md.
CREATE FUNCTION {s}.send_event(name text, payload text DEFAULT 'null', kept_ms bigint DEFAULT 604800000) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  RETURN {s}.keep_event(name, payload, kept_ms, NULL);
END $gristmill$;

REVOKE ALL ON FUNCTION {s}.keep_event(text, text, bigint, bigint), {s}.send_event(text, text, bigint) FROM PUBLIC;

-- As in additions/0008_spared.sql, but with what the tasks remember; and members of a step that is begun anew stay until all of it is.
CREATE OR REPLACE FUNCTION {s}.prune_rows(now bigint, most bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  pruned bigint := 0;
  here bigint;
  kept bigint;
  next bigint;
  part record;
  -- Whether anything is remembered, and whether members of a step are still to be begun anew, mended or kept.
  is_remembered CONSTANT boolean := EXISTS (SELECT FROM {s}.memory);
  is_held       CONSTANT boolean := EXISTS (SELECT FROM {s}.step WHERE chore <> 0 AND chore BETWEEN 4 AND 6);
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
    EXECUTE 'WITH over AS MATERIALIZED (SELECT id FROM ' || part.outcome || ' o WHERE keep_until IS NOT NULL AND keep_until <= $1 '
         || CASE WHEN is_held THEN 'AND NOT EXISTS (SELECT FROM ' || part.task || ' t JOIN {l}.step s ON s.workflow = t.workflow '
                                   || 'AND s.number = t.step AND s.chore BETWEEN 4 AND 6 WHERE t.id = o.id OFFSET 0) ' ELSE '' END
         || 'ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED), '
         || 'outcomes AS (DELETE FROM ' || part.outcome || ' WHERE id = ANY (ARRAY(SELECT id FROM over))), '
         || CASE WHEN is_remembered THEN 'memories AS (DELETE FROM {l}.memory WHERE task = ANY (ARRAY(SELECT id FROM over))), ' ELSE '' END
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

DO $gristmill$
DECLARE
  held record;
BEGIN
  FOR held IN
    SELECT pg_catalog.pg_get_userbyid(a.grantee) AS name
    FROM pg_catalog.pg_proc p CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) a
    WHERE p.oid = '{l}.insert_tasks(jsonb)'::regprocedure AND a.grantee <> 0
  LOOP
    EXECUTE 'GRANT EXECUTE ON FUNCTION {l}.send_event(text, text, bigint) TO ' || pg_catalog.quote_ident(held.name);
  END LOOP;
END $gristmill$;
