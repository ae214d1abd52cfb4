-- Keys with a limit: how many tasks with one key may run at once. Who is admitted is decided by gristmill-core's concurrency/admission.rs; why so
-- is in docs/decisions/0016-limits.md.

-- declared: what the newest task says, whose seq is said_by; set_to: what an operator says, which holds until it is null again. Only those who admit write here and lock
-- its rows, so that no caller's transaction holds up another.
CREATE TABLE {s}.key(
  key      text COLLATE "C" NOT NULL PRIMARY KEY,
  declared integer,
  said_by  bigint,
  set_to   integer
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- What is taken of a key: by tasks that are ready or run, and with until_ended by those that have not ended. seq: that of the task.
CREATE TABLE {s}.slot(
  task        uuid    NOT NULL,
  seq         bigint  NOT NULL,
  cost        integer NOT NULL,
  until_ended boolean NOT NULL,
  key         text COLLATE "C" NOT NULL,
  PRIMARY KEY(key, task)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX slot_task ON {s}.slot(task);

-- Tasks of waiting, each in the line of one of its keys. late: false for one that holds slots already, which goes before all others, as they may
-- wait for those. needs: what the task says of all its keys, as JSON.
CREATE TABLE {s}.standby(
  task  uuid    NOT NULL PRIMARY KEY,
  seq   bigint  NOT NULL,
  late  boolean NOT NULL,
  key   text COLLATE "C" NOT NULL,
  needs text    NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX standby_line ON {s}.standby(key, late, seq);

-- Keys of which something has changed, so that somebody may be admitted: written in the transaction that changes it, and seen to after its commit.
-- declared: what the task says that has come, whose seq is said_by.
CREATE TABLE {s}.touched(
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  said_by  bigint,
  declared integer,
  key      text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Puts a waiting task into the line of its first key; false if it needs none and waits for a word by hand. Its body is looked for by its id as a
-- value: a plan for any would open all days. jsonb would refuse a NUL. Whoever may only enqueue may say anything here, and an error would be one of
-- the statement that lets others go on as well: what can't be read, and what has no body, stands in a line without a limit, whose name no key can have, and is for its claim to end.
CREATE FUNCTION {s}.line_up(id uuid, seq bigint, claim_no integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  said    text;
  is_here boolean;
  needs   jsonb;
BEGIN
  EXECUTE 'SELECT meta, true FROM {l}.task WHERE id = $1' INTO said, is_here USING id;
  IF is_here AND (said IS NULL OR strpos(said, '"needs"') = 0) THEN
    RETURN false;
  END IF;
  BEGIN
    needs := replace(said, chr(92) || 'u0000', chr(92) || 'u0001')::jsonb -> 'needs';
    IF (jsonb_typeof(needs) = 'array' AND jsonb_array_length(needs) BETWEEN 1 AND 8 AND NOT EXISTS (
      SELECT FROM jsonb_array_elements(needs) n
      WHERE (jsonb_typeof(n) = 'object' AND jsonb_typeof(n -> 'key') = 'string' AND octet_length(n ->> 'key') BETWEEN 1 AND 255
             AND jsonb_typeof(n -> 'limit') = 'number' AND n ->> 'limit' ~ '^([1-9][0-9]{0,4}|100000)$'
             AND coalesce(jsonb_typeof(n -> 'cost'), 'number') = 'number' AND coalesce(n ->> 'cost', '1') ~ '^([1-9][0-9]{0,4}|100000)$'
             AND coalesce(jsonb_typeof(n -> 'until_ended'), 'boolean') = 'boolean') IS NOT TRUE
    )) IS NOT TRUE THEN
      needs := NULL;
    END IF;
  EXCEPTION WHEN OTHERS THEN
    needs := NULL;
  END;
  INSERT INTO {s}.standby(task, seq, late, key, needs)
    VALUES (id, seq, NOT EXISTS (SELECT FROM {s}.slot s WHERE s.task = line_up.id), coalesce(needs -> 0 ->> 'key', chr(1)),
            coalesce(needs, '[]')::text)
    ON CONFLICT (task) DO NOTHING;
  INSERT INTO {s}.touched(key, declared, said_by)
    SELECT n ->> 'key', CASE WHEN claim_no = 0 THEN (n ->> 'limit')::integer END, seq FROM jsonb_array_elements(needs) n
    UNION ALL SELECT chr(1), NULL, seq WHERE needs IS NULL;
  PERFORM set_config('gristmill.touched', 'yes', true);
  RETURN true;
END $gristmill$;

-- Whoever comes to wait stands in a line, by whatever program he comes, and whoever waits no more leaves it.
CREATE FUNCTION {s}.stand_by() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  PERFORM {s}.line_up(NEW.id, NEW.seq, NEW.claim_no);
  RETURN NULL;
END $gristmill$;
CREATE TRIGGER stand_by AFTER INSERT ON {s}.waiting FOR EACH ROW EXECUTE FUNCTION {s}.stand_by();

CREATE FUNCTION {s}.stand_down() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  WITH gone AS (DELETE FROM {s}.standby WHERE task = OLD.id RETURNING key)
  INSERT INTO {s}.touched(key) SELECT key FROM gone;
  IF FOUND THEN
    PERFORM set_config('gristmill.touched', 'yes', true);
  END IF;
  RETURN NULL;
END $gristmill$;
CREATE TRIGGER stand_down AFTER DELETE ON {s}.waiting FOR EACH ROW EXECUTE FUNCTION {s}.stand_down();

-- A task that has ended gives back what it holds of keys.
CREATE FUNCTION {s}.give_back(ended uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
BEGIN
  WITH gone AS (DELETE FROM {s}.slot WHERE task = ended RETURNING key)
  INSERT INTO {s}.touched(key) SELECT key FROM gone;
  IF FOUND THEN
    PERFORM set_config('gristmill.touched', 'yes', true);
  END IF;
END $gristmill$;

-- Cancels tasks: at once those that wait, by request those that run. Of each, in order: 'cancelled', 'cancel_requested',
-- 'already_ended' or 'not_found'. now: for a test's clock.
-- In the order of the ids, so that two calls with the same ids wait for one another in one direction only.
-- As in additions/0011_workflows.sql, but the slots are given back that they held.
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
  workflows uuid[] := '{}';
  steps    integer[] := '{}';
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
                CASE WHEN claim_no > 0 THEN '{"reason":"cancelled","message":"cancelled while it waited"}'
                     ELSE '{"reason":"cancelled","message":"cancelled before it started"}' END, {owed});
        IF flags & {limited} <> 0 THEN
          PERFORM {s}.give_back(t.id);
        END IF;
        IF flags & {member} <> 0 THEN
          workflows := workflows || t.workflow;
          steps := steps || t.step;
        END IF;
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
  IF workflows <> '{}' THEN
    WITH told AS (SELECT x.workflow, x.step, 3 AS ended, 1 AS n FROM unnest(workflows, steps) AS x(workflow, step))
    {report};
    -- For whoever calls from a program of ours: he has nothing to look for if no member was among them.
    PERFORM set_config('gristmill.told', 'yes', true);
  END IF;
  RETURN answers;
END $gristmill$;

-- The end of an attempt that succeeded, in the transaction of its effects; what settle_plain.sql and settle_forget.sql write,
-- with all that was noted while it ran. False: the lease is lost, and nothing was written.
-- As in additions/0011_workflows.sql, but the slots are given back that it held.
CREATE OR REPLACE FUNCTION {s}.settle_succeeded(task uuid, fence uuid, ran_ms bigint, result text, logs text, progress text, children jsonb)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  clock     CONSTANT bigint := floor(extract(epoch FROM statement_timestamp()) * 1000);
  lease     {s}.lease;
  noted     {s}.live;
  retention bigint;
  flags     integer;
  made      record;
  of_workflow uuid;
  of_step   integer;
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
  IF retention = -2 AND flags & {lasting} = 0 THEN
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
  IF flags & {limited} <> 0 THEN
    PERFORM {s}.give_back(lease.id);
  END IF;
  IF flags & {member} <> 0 THEN
    EXECUTE 'SELECT workflow, step FROM {l}.task WHERE id = $1' INTO of_workflow, of_step USING lease.id;
    WITH told AS (SELECT of_workflow AS workflow, of_step AS step, 1 AS ended, 1 AS n)
    {report};
  END IF;
  IF jsonb_array_length(children) > 0 THEN
    -- Of additions/0017_unique.sql.
    FOR made IN SELECT t.child ->> 'id' AS id, o.outcome
      FROM jsonb_array_elements({s}.insert_unique(children)) WITH ORDINALITY AS o(outcome, nth)
      JOIN jsonb_array_elements(children) WITH ORDINALITY AS t(child, nth) ON t.nth = o.nth
    LOOP
      -- A success that lost a child in silence would be none.
      IF made.outcome = '2' THEN
        PERFORM {s}.refuse_id('child ', made.id);
      END IF;
    END LOOP;
  END IF;
  RETURN true;
END $gristmill$;

REVOKE ALL ON FUNCTION {s}.line_up(uuid, bigint, integer), {s}.stand_by(), {s}.stand_down(), {s}.give_back(uuid) FROM PUBLIC;
