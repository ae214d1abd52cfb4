-- Workflows: tasks that wait for tasks. What they are and why so is in docs/decisions/0014-workflows.md. What is told of their members and what
-- follows is kept here, and decided by no statement.

-- ended: 0 while it goes on; else 1 succeeded, 2 failed, 3 cancelled, and 4 more if something was left unhandled. spec: see step.
-- keep_until: null while it goes on, or if it is kept for ever. quiet_since: when something of it was last written, or it was looked at.
CREATE TABLE {s}.workflow(
  id          uuid     NOT NULL PRIMARY KEY,
  seq         bigint   GENERATED ALWAYS AS IDENTITY UNIQUE,
  retention   bigint   NOT NULL,
  created_at  bigint   NOT NULL,
  finished_at bigint,
  keep_until  bigint,
  quiet_since bigint   NOT NULL,
  attempt     integer  NOT NULL DEFAULT 1,
  ended       smallint NOT NULL DEFAULT 0,
  paused      boolean  NOT NULL DEFAULT false,
  cancelled   boolean  NOT NULL DEFAULT false,
  name        text COLLATE "C" NOT NULL,
  key         text COLLATE "C",
  tags        text     NOT NULL,
  definition  text     NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE UNIQUE INDEX workflow_held ON {s}.workflow(key) WHERE ended = 0 AND key IS NOT NULL;
CREATE INDEX workflow_key ON {s}.workflow(key, seq) WHERE key IS NOT NULL;
CREATE INDEX workflow_quiet ON {s}.workflow(quiet_since) WHERE ended = 0;
CREATE INDEX workflow_keep ON {s}.workflow(keep_until) WHERE keep_until IS NOT NULL;

-- spec: what it is, as JSON. state: 0 waits, 1 goes, 2 stops, 3 succeeded, 4 failed, 5 cancelled, 6 skipped. chore: what is still to be done to
-- its members from place chore_from on: 0 nothing, 1 let them go, 2 cancel them, 3 keep them no longer than others. held_from: the first place
-- from which one was passed over meanwhile that somebody had in hand, to be come back to; again: this is such a return. first_id, last_id: the
-- least and the greatest of its members' ids, so that nobody looks for them in other days. witness: a member that could still end when they
-- were last counted, so that they need not be counted anew as long as it can.
CREATE TABLE {s}.step(
  workflow   uuid     NOT NULL,
  number     integer  NOT NULL,
  members    integer  NOT NULL,
  succeeded  integer  NOT NULL DEFAULT 0,
  failed     integer  NOT NULL DEFAULT 0,
  cancelled  integer  NOT NULL DEFAULT 0,
  chore_from integer  NOT NULL DEFAULT 0,
  held_from  integer,
  state      smallint NOT NULL,
  chore      smallint NOT NULL DEFAULT 0,
  closed     boolean  NOT NULL,
  again      boolean  NOT NULL DEFAULT false,
  first_id   uuid,
  last_id    uuid,
  witness    uuid,
  spec       text     NOT NULL,
  PRIMARY KEY(workflow, number)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX step_chore ON {s}.step(workflow) WHERE chore <> 0;

-- What became of members, in the transaction in which they ended, or were retried, which takes back: so many more or less of a step. Whoever
-- wrote it gives it to the workflow after his commit, so that no open transaction holds what the ends of others need.
CREATE TABLE {s}.report(
  id        bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workflow  uuid    NOT NULL,
  step      integer NOT NULL,
  succeeded integer NOT NULL,
  failed    integer NOT NULL,
  cancelled integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX report_workflow ON {s}.report(workflow);

-- Of a member: its workflow, the number of its step, and its place among those of the step; null for all other tasks. They are found by the
-- index `task_member`, which src/indexes.rs builds.
ALTER TABLE {s}.task ADD COLUMN workflow uuid, ADD COLUMN step integer, ADD COLUMN place integer;

-- A member that had ended is retried, by whatever program: those of the version before would not take its end back, which then counted twice. It
-- fires for nothing else that is written to outcome.
CREATE FUNCTION {s}.report_reopened() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  of_workflow uuid;
  of_step     integer;
BEGIN
  EXECUTE 'SELECT workflow, step FROM {l}.task WHERE id = $1' INTO of_workflow, of_step USING NEW.id;
  WITH told AS (SELECT of_workflow AS workflow, of_step AS step, OLD.ended AS ended, -1 AS n)
  {report};
  RETURN NULL;
END $gristmill$;
CREATE TRIGGER report_reopened AFTER UPDATE OF ended ON {s}.outcome FOR EACH ROW WHEN (OLD.ended <> 0 AND NEW.ended = 0)
  EXECUTE FUNCTION {s}.report_reopened();

-- The workflow of which a task is a member, as what goes along with it says; null if it is none. jsonb would refuse a NUL.
CREATE FUNCTION {s}.member_of(meta text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  said jsonb;
BEGIN
  IF meta IS NULL OR strpos(meta, 'member') = 0 AND strpos(meta, chr(92) || 'u') = 0 THEN
    RETURN NULL;
  END IF;
  said := replace(meta, chr(92) || 'u0000', chr(92) || 'u0001')::jsonb;
  RETURN CASE WHEN said ? 'member' THEN coalesce(said -> 'member' ->> 'workflow', '') END;
EXCEPTION WHEN data_exception THEN
  -- No program can read it.
  RETURN NULL;
END $gristmill$;

-- What queries/enqueue.sql does, task by task: a statement for all of them takes twice as long for one, and most calls bring
-- one. With `run`, the members of that workflow; none is one otherwise. clock: the time, if it is a test's. Of each, in order: 0 created, 1 there already with the same type and arguments, 2 its id is another task's.
-- args and meta are JSON as text within the JSON, so that \u0000 stays an escape, which jsonb would refuse.
CREATE FUNCTION {s}.add_tasks(tasks jsonb, run uuid, clock bigint) RETURNS smallint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  now      CONSTANT bigint := coalesce(clock, floor(extract(epoch FROM statement_timestamp()) * 1000));
  outcomes smallint[] := array_fill(0::smallint, ARRAY[coalesce(jsonb_array_length(tasks), 0)]);
  task     record;
  queue    {s}.queue;
  kind     {s}.kind;
  due      bigint;
  deadline bigint;
  place    smallint;
  is_same  boolean;
  -- As far as the drivers go. No sum of two of them and the clock leaves the numbers, so that no row can make a statement fail
  -- that claims, sweeps or settles others' tasks with it.
  most     CONSTANT bigint := 2305843009213693952;
BEGIN
  -- They arrive as they were given, and are written in the order of the ids, so that two batches with the same ids wait for
  -- one another in one direction only.
  FOR task IN
    SELECT * FROM (
      SELECT *, nextval('{l}.arrival') AS seq
      FROM ROWS FROM (jsonb_to_recordset(tasks) AS (
        id uuid, queue text, kind text, priority smallint, max_attempts integer, max_crashes integer, ack smallint,
        retention bigint, at bigint, delay bigint, expires bigint, deadline bigint, args text, meta text, blocked boolean,
        flags integer, of_step integer, of_place integer
      )) WITH ORDINALITY AS t(id, queue, kind, priority, max_attempts, max_crashes, ack, retention, at, delay, expires, deadline,
                              args, meta, blocked, flags, of_step, of_place, nth)
    ) t ORDER BY t.id, t.nth
  LOOP
    IF (task.id IS NOT NULL AND task.priority BETWEEN 0 AND 9 AND task.max_attempts > 0 AND task.max_crashes > 0
        AND task.ack IN (0, 1) AND task.retention BETWEEN -2 AND most AND coalesce(task.delay, 0) BETWEEN 0 AND most
        AND coalesce(task.expires, 0) BETWEEN 0 AND most AND coalesce(task.at, 0) BETWEEN -most AND most
        AND coalesce(task.deadline, 0) BETWEEN -most AND most AND octet_length(task.args) <= 16777216
        AND (task.meta IS NULL OR octet_length(task.meta) <= 16777216 AND json_typeof(task.meta::json) = 'object'
             AND (octet_length(task.meta) < 2000 OR cardinality({s}.labels_of(task.meta)) <= 1000))) IS NOT TRUE THEN
      PERFORM {s}.refuse_task(task.nth, to_jsonb(task));
    END IF;
    IF task.queue IS DISTINCT FROM queue.name THEN
      PERFORM {s}.check_name('queue', task.queue);
      queue := {s}.queue_of(task.queue, tasks);
    END IF;
    IF task.kind IS DISTINCT FROM kind.name THEN
      PERFORM {s}.check_name('kind', task.kind);
      kind := {s}.kind_of(task.kind, tasks);
    END IF;
    IF coalesce(task.flags, 0) & {unknown} <> 0 THEN
      RAISE 'a task has flags that this version of the store does not know: %', task.flags USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF (coalesce(task.flags, 0) & {member} <> 0) <> (run IS NOT NULL) OR {s}.member_of(task.meta) IS DISTINCT FROM run::text THEN
      PERFORM {s}.refuse(format('task %s: flags', task.nth), 'are those of a member of a workflow, and of no other task',
                         'Members come with their workflow, by start_workflow.');
    END IF;
    due := coalesce(task.at, now + coalesce(task.delay, 0));
    deadline := coalesce(task.deadline, due + task.expires);
    LOOP
      INSERT INTO {s}.task(id, seq, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                           created_at, run_at, expires_at, args, meta, flags, workflow, step, place)
        VALUES (task.id, task.seq, queue.id, kind.id, task.priority, task.max_attempts, task.max_crashes, task.ack,
                task.retention, now, due, deadline, task.args, task.meta, task.flags, run, task.of_step, task.of_place)
        ON CONFLICT (id) DO NOTHING;
      IF FOUND THEN
        place := {placed_one};
        {enter_one}
        EXIT;
      END IF;
      SELECT t.kind = kind.id AND t.args = task.args INTO is_same FROM {s}.task t WHERE t.id = task.id;
      IF FOUND THEN
        outcomes[task.nth] := CASE WHEN is_same THEN 1 ELSE 2 END;
        EXIT;
      END IF;
      -- Its namesake was deleted in between, so that there is room for it now.
    END LOOP;
  END LOOP;
  RETURN outcomes;
END $gristmill$;

CREATE OR REPLACE FUNCTION {s}.insert_tasks(tasks jsonb) RETURNS smallint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  RETURN {s}.add_tasks(tasks, NULL, NULL);
END $gristmill$;

-- Cancels tasks: at once those that wait, by request those that run. Of each, in order: 'cancelled', 'cancel_requested',
-- 'already_ended' or 'not_found'. now: for a test's clock.
-- In the order of the ids, so that two calls with the same ids wait for one another in one direction only.
-- As in additions/0008_spared.sql, but the steps of which they are members are told.
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
-- As in additions/0008_spared.sql, but the step of which it is a member is told.
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
  IF flags & {member} <> 0 THEN
    EXECUTE 'SELECT workflow, step FROM {l}.task WHERE id = $1' INTO of_workflow, of_step USING lease.id;
    WITH told AS (SELECT of_workflow AS workflow, of_step AS step, 1 AS ended, 1 AS n)
    {report};
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

-- What a step is, as JSON, if it is something that every program can read: by one that none can, whoever may only enqueue would make a workflow
-- that stands still for ever. A key that is there twice, which no driver reads, is there once then.
CREATE FUNCTION {s}.spec_of(field text, spec text, steps integer) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  said  jsonb;
  after jsonb;
  role  text;
BEGIN
  IF (octet_length(spec) <= 65536) IS NOT TRUE THEN
    PERFORM {s}.refuse(field || ': spec', 'is missing, or larger than 64 KiB', 'Start it by a client of gristmill.');
  END IF;
  said := spec::jsonb;
  IF jsonb_typeof(said) <> 'object' THEN
    PERFORM {s}.refuse(field || ': spec', 'is no JSON object', 'Start it by a client of gristmill.');
  END IF;
  PERFORM {s}.check_name(field || ': name', CASE jsonb_typeof(said -> 'name') WHEN 'string' THEN said ->> 'name' END);
  PERFORM {s}.check_name(field || ': kind', CASE jsonb_typeof(said -> 'kind') WHEN 'string' THEN said ->> 'kind' END);
  role := said -> 'role';
  IF (role ~ '^("work"|[{]"handler": "(success|failure|end)"[}]|[{]"undo": [0-9]{1,3}[}])$') IS NOT TRUE
    OR (said -> 'role' ->> 'undo')::integer >= steps THEN
    PERFORM {s}.refuse(field || ': role', 'is none', 'It is "work", or says which steps it handles or undoes.');
  END IF;
  after := coalesce(said -> 'after', '[]');
  -- No backslash, which a session may read otherwise.
  IF after::text !~ '^[[](([[][0-9]{1,3}, "(success|failure|end)"], )*[[][0-9]{1,3}, "(success|failure|end)"])?]$'
    OR jsonb_array_length(after) > 1000 OR EXISTS (SELECT FROM jsonb_array_elements(after) a WHERE (a ->> 0)::integer >= steps) THEN
    PERFORM {s}.refuse(field || ': after', 'names no steps of the workflow with what is needed of each, or more than 1000',
                       'Name each step that it waits for by its number, once.');
  END IF;
  IF coalesce(said -> 'group', 'false')::text NOT IN ('true', 'false') THEN
    PERFORM {s}.refuse(field || ': group', 'is neither true nor false', 'Leave it out for a single task.');
  END IF;
  IF coalesce(said -> 'tolerance', '{"count": 0}')::text !~ '^[{]"(count": [0-9]{1,10}|percent": ([0-9]{1,2}|100))[}]$'
    OR (said -> 'tolerance' ->> 'count')::bigint > 4294967295 THEN
    PERFORM {s}.refuse(field || ': tolerance', 'is no number of members', 'Give a count, or up to 100 percent.');
  END IF;
  RETURN said::text;
END $gristmill$;

-- Writes a workflow with its steps and members, all of it or nothing: 'created'; 'conflict' if a member has the id of another task; or the id of
-- the one that was started before under its id, or that goes on and has its key. now: for a test's clock.
-- workflow: id, name, key, tags, retention, definition, ended, steps: [{spec, state, chore, closed}], and members as insert_tasks takes tasks, with
-- of_step and of_place. How the steps stand is decided by whoever calls; who waits follows from it.
CREATE FUNCTION {s}.start_workflow(workflow jsonb, now bigint DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  clock   CONSTANT bigint := CASE WHEN {s}.may_set_clock() THEN now END;
  at      CONSTANT bigint := coalesce(clock, floor(extract(epoch FROM statement_timestamp()) * 1000));
  run     CONSTANT uuid := {s}.id_of('id', workflow -> 'id');
  its_key CONSTANT text := workflow ->> 'key';
  kept    CONSTANT bigint := {s}.count_of('retention', workflow -> 'retention', -2, 2305843009213693952);
  code    CONSTANT smallint := {s}.count_of('ended', workflow -> 'ended', 0, 7);
  steps   CONSTANT jsonb := workflow -> 'steps';
  members CONSTANT jsonb := workflow -> 'members';
  tags    CONSTANT text[] := {s}.tags_of('tags', workflow -> 'tags');
  wrong   text;
  holder  uuid;
BEGIN
  PERFORM {s}.check_name('name', workflow ->> 'name');
  IF its_key IS NOT NULL THEN
    PERFORM {s}.check_name('key', its_key);
  END IF;
  IF run IS NULL OR kept IS NULL OR code IS NULL THEN
    PERFORM {s}.refuse('workflow', 'lacks its id, retention or ended', 'Start it by a client of gristmill.');
  ELSIF workflow ->> 'definition' IS NULL OR octet_length(workflow ->> 'definition') > 16777216 THEN
    PERFORM {s}.refuse('definition', 'is missing, or larger than 16 MiB', 'Give JSON as text.');
  ELSIF (jsonb_typeof(steps) = 'array' AND jsonb_array_length(steps) <= 1000) IS NOT TRUE THEN
    PERFORM {s}.refuse('steps', 'are no JSON array, or more than 1000', 'Give fewer.');
  ELSIF (jsonb_typeof(members) = 'array' AND jsonb_array_length(members) <= 1000) IS NOT TRUE THEN
    PERFORM {s}.refuse('members', 'are no JSON array, or more than 1000', 'Add the others to the workflow afterwards.');
  END IF;
  SELECT format('step %s', x.nth) INTO wrong
  FROM ROWS FROM (jsonb_to_recordset(steps) AS (spec text, state smallint, chore smallint, closed boolean))
    WITH ORDINALITY AS x(spec, state, chore, closed, nth)
  WHERE (x.state IN (0, 1, 3, 6) AND x.chore IN (0, 2, 3) AND x.closed IS NOT NULL) IS NOT TRUE
  ORDER BY x.nth LIMIT 1;
  IF wrong IS NOT NULL THEN
    PERFORM {s}.refuse(wrong, 'has a state or a chore that none can have at first', 'Start it by a client of gristmill.');
  END IF;
  -- The places of each step's members are those from 0 on.
  IF EXISTS (
    SELECT FROM jsonb_to_recordset(members) AS x(of_step integer, of_place integer) GROUP BY x.of_step
    HAVING (x.of_step BETWEEN 0 AND jsonb_array_length(steps) - 1 AND min(x.of_place) = 0 AND max(x.of_place) = count(*) - 1
            AND count(DISTINCT x.of_place) = count(*)) IS NOT TRUE
  ) THEN
    PERFORM {s}.refuse('members', 'are of no step, or leave places out', 'Number them from 0 on, step by step.');
  END IF;
  LOOP
    INSERT INTO {s}.workflow(id, retention, created_at, finished_at, keep_until, quiet_since, ended, name, key, tags, definition)
      VALUES (run, kept, at, CASE WHEN code <> 0 THEN at END,
              CASE WHEN code <> 0 AND kept <> -1 THEN at + greatest(least(kept, {kept_max}), 0) END, at, code, workflow ->> 'name', its_key,
              array_to_json(tags)::text, workflow ->> 'definition')
      ON CONFLICT DO NOTHING;
    EXIT WHEN FOUND;
    SELECT w.id INTO holder FROM {s}.workflow w WHERE w.id = run;
    IF NOT FOUND THEN
      SELECT w.id INTO holder FROM {s}.workflow w WHERE w.key = its_key AND w.ended = 0;
    END IF;
    IF FOUND THEN
      RETURN holder;
    END IF;
    -- It has ended in between, so that there is room for this one now.
  END LOOP;
  INSERT INTO {s}.step(workflow, number, members, state, chore, closed, first_id, last_id, spec)
    SELECT run, x.nth - 1, coalesce(m.count, 0), x.state, x.chore, x.closed, m.ids[1], m.ids[m.count], {s}.spec_of(format('step %s', x.nth), x.spec, jsonb_array_length(steps))
    FROM ROWS FROM (jsonb_to_recordset(steps) AS (spec text, state smallint, chore smallint, closed boolean))
      WITH ORDINALITY AS x(spec, state, chore, closed, nth)
    LEFT JOIN (
      SELECT m.of_step, count(*)::integer AS count, array_agg(m.id ORDER BY m.id) AS ids
      FROM jsonb_to_recordset(members) AS m(id uuid, of_step integer) GROUP BY m.of_step
    ) m ON m.of_step = x.nth - 1;
  IF jsonb_array_length(members) > 0 AND {s}.add_tasks((
    SELECT jsonb_agg(m || jsonb_build_object('blocked', (steps -> (m ->> 'of_step')::integer ->> 'state')::integer <> 1) ORDER BY nth)
    FROM jsonb_array_elements(members) WITH ORDINALITY AS x(m, nth)
  ), run, clock) && '{1, 2}' THEN
    -- Nothing of it is kept, whatever the caller does with his transaction.
    RAISE 'a member has the id of another task' USING ERRCODE = 'UGM02';
  END IF;
  RETURN 'created';
EXCEPTION WHEN SQLSTATE 'UGM02' THEN
  RETURN 'conflict';
END $gristmill$;

-- Tells of a member that a claim found too late; true. Whoever may not write to report may do so by it neither.
CREATE FUNCTION {s}.report_late(of_workflow uuid, of_step integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  IF of_workflow IS NOT NULL AND of_step IS NOT NULL THEN
    INSERT INTO {s}.report(workflow, step, succeeded, failed, cancelled) VALUES (of_workflow, of_step, 0, 0, 1);
  END IF;
  RETURN true;
END $gristmill$;

REVOKE ALL ON FUNCTION {s}.report_reopened(), {s}.member_of(text), {s}.spec_of(text, text, integer), {s}.add_tasks(jsonb, uuid, bigint), {s}.start_workflow(jsonb, bigint) FROM PUBLIC;

-- Whoever may enqueue may start.
DO $gristmill$
DECLARE
  held record;
BEGIN
  FOR held IN
    SELECT pg_catalog.pg_get_userbyid(a.grantee) AS name
    FROM pg_catalog.pg_proc p CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) a
    WHERE p.oid = '{l}.insert_tasks(jsonb)'::regprocedure AND a.grantee <> 0
  LOOP
    EXECUTE 'GRANT EXECUTE ON FUNCTION {l}.start_workflow(jsonb, bigint) TO ' || pg_catalog.quote_ident(held.name);
  END LOOP;
END $gristmill$;
