-- What the roles that only enqueue and cancel may call is checked in full: a task with numbers that no driver sends would stop the claims,
-- sweeps and settlements of everybody else, for as long as it is there.

-- Says which of a task's values can't be; of what is well, nothing is asked here.
CREATE FUNCTION {s}.refuse_task(nth bigint, task jsonb) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  most  CONSTANT numeric := 2305843009213693952;
  field text;
  low   numeric;
  high  numeric;
BEGIN
  FOR field, low, high IN VALUES
    ('priority', 0, 9), ('max_attempts', 1, 2147483647), ('max_crashes', 1, 2147483647), ('ack', 0, 1), ('retention', -2, most),
    ('delay', 0, most), ('expires', 0, most), ('at', -most, most), ('deadline', -most, most)
  LOOP
    IF task ->> field IS NULL AND field IN ('delay', 'expires', 'at', 'deadline') THEN
      CONTINUE;
    END IF;
    IF ((task ->> field)::numeric BETWEEN low AND high) IS NOT TRUE THEN
      PERFORM {s}.refuse(format('task %s: %s', nth, field), format('is %s', coalesce(task ->> field, 'missing')),
                         format('It is a whole number from %s to %s.', low, high));
    END IF;
  END LOOP;
  IF task ->> 'id' IS NULL THEN
    PERFORM {s}.refuse(format('task %s: id', nth), 'is missing', 'Give it a UUID, best of version 7.');
  ELSIF task ->> 'args' IS NULL OR octet_length(task ->> 'args') > 16777216 THEN
    PERFORM {s}.refuse(format('task %s: args', nth), 'is missing, or larger than 16 MiB', 'Give JSON as text.');
  END IF;
  -- A row for each label goes with the task, in the transaction of whoever deletes it together with others'.
  PERFORM {s}.refuse(format('task %s: meta', nth), 'is no JSON object, is larger than 16 MiB, or has more than 1000 tags and words to be found by',
                     'Give a JSON object as text, with a shorter title or fewer tags, or leave it away.');
END $gristmill$;

-- A test's clock is for whoever may write the table anyway: in others' hands it would decide until when a record is kept.
CREATE FUNCTION {s}.may_set_clock() RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT has_table_privilege(session_user, '{l}.outcome'::regclass, 'INSERT')
$gristmill$;

-- What queries/enqueue.sql does, task by task: a statement for all of them takes twice as long for one, and most calls bring
-- one. Of each, in order: 0 created, 1 there already with the same type and arguments, 2 its id is another task's.
-- args and meta are JSON as text within the JSON, so that \u0000 stays an escape, which jsonb would refuse.
CREATE OR REPLACE FUNCTION {s}.insert_tasks(tasks jsonb) RETURNS smallint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  now      CONSTANT bigint := floor(extract(epoch FROM statement_timestamp()) * 1000);
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
        flags integer
      )) WITH ORDINALITY AS t(id, queue, kind, priority, max_attempts, max_crashes, ack, retention, at, delay, expires, deadline,
                              args, meta, blocked, flags, nth)
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
    due := coalesce(task.at, now + coalesce(task.delay, 0));
    deadline := coalesce(task.deadline, due + task.expires);
    LOOP
      INSERT INTO {s}.task(id, seq, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                           created_at, run_at, expires_at, args, meta, flags)
        VALUES (task.id, task.seq, queue.id, kind.id, task.priority, task.max_attempts, task.max_crashes, task.ack,
                task.retention, now, due, deadline, task.args, task.meta, task.flags)
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

-- Cancels tasks: at once those that wait, by request those that run. Of each, in order: 'cancelled', 'cancel_requested',
-- 'already_ended' or 'not_found'. now: for a test's clock.
-- In the order of the ids, so that two calls with the same ids wait for one another in one direction only.
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
      SELECT * INTO t FROM {s}.task k WHERE k.id = asked.id;
      IF NOT FOUND THEN
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
      EXIT WHEN EXISTS (SELECT FROM {s}.outcome o WHERE o.id = t.id AND o.ended <> 0);
    END LOOP;
    -- In no place at all after so many looks, which only damage explains, it has no future either.
    answer := coalesce(answer, 'already_ended');
    answers[asked.nth] := answer;
  END LOOP;
  RETURN answers;
END $gristmill$;

-- With `standard_conforming_strings = off`, as a database of an old application may have it, a backslash in the text of a function means
-- something else: days were not found then, and what should have been deleted stayed.
DO $gristmill$
DECLARE
  named regprocedure;
BEGIN
  FOR named IN
    SELECT p.oid FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = '{l}'::regnamespace AND position(chr(92) IN p.prosrc) > 0
  LOOP
    EXECUTE 'ALTER FUNCTION ' || named || ' SET standard_conforming_strings = on';
  END LOOP;
END $gristmill$;

REVOKE ALL ON FUNCTION {s}.refuse_task(bigint, jsonb), {s}.may_set_clock() FROM PUBLIC;
