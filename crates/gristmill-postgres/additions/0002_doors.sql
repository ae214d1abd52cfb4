-- The two doors, in and out, for what is SQL alone: see src/doors.rs, whose text is put in here. Functions that were there before keep
-- their signatures: programs of the version before call them.

-- flags: null for none. What holds a task back beside its time, as it was enqueued; what a retry goes by.
ALTER TABLE {s}.task ADD COLUMN flags integer;

-- What stands elsewhere in line than at its arrival is found by its id: hardly anything, so that they cost nobody anything.
CREATE INDEX ready_flagged ON {s}.ready(id) WHERE flags <> 0;
CREATE INDEX parked_flagged ON {s}.parked(id) WHERE flags <> 0;

-- Tasks that wait for others. run_at: when they are due, once those are done.
CREATE TABLE {s}.blocked(
  id         uuid     NOT NULL PRIMARY KEY,
  seq        bigint   NOT NULL,
  run_at     bigint   NOT NULL,
  expires_at bigint,
  queue      integer  NOT NULL,
  kind       integer  NOT NULL,
  attempt    integer  NOT NULL,
  claim_no   integer  NOT NULL,
  crashes    integer  NOT NULL,
  priority   smallint NOT NULL,
  flags      integer  NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX blocked_seq ON {s}.blocked(seq);
CREATE INDEX blocked_queue ON {s}.blocked(queue);
CREATE INDEX blocked_expiry ON {s}.blocked(expires_at) WHERE expires_at IS NOT NULL;

-- Tasks that wait for a slot of their limit.
CREATE TABLE {s}.waiting(
  id         uuid     NOT NULL PRIMARY KEY,
  seq        bigint   NOT NULL,
  expires_at bigint,
  queue      integer  NOT NULL,
  kind       integer  NOT NULL,
  attempt    integer  NOT NULL,
  claim_no   integer  NOT NULL,
  crashes    integer  NOT NULL,
  priority   smallint NOT NULL,
  flags      integer  NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX waiting_seq ON {s}.waiting(seq);
CREATE INDEX waiting_queue ON {s}.waiting(queue);
CREATE INDEX waiting_expiry ON {s}.waiting(expires_at) WHERE expires_at IS NOT NULL;

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
    IF task.queue IS DISTINCT FROM queue.name THEN
      queue := {s}.queue_of(task.queue, tasks);
    END IF;
    IF task.kind IS DISTINCT FROM kind.name THEN
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

-- The end of an attempt that succeeded, in the transaction of its effects; what settle_plain.sql and settle_forget.sql write,
-- with all that was noted while it ran. False: the lease is lost, and nothing was written.
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
  IF retention = -2 AND {owed} = 0 THEN
    DELETE FROM {s}.task t WHERE t.id = lease.id;
    IF lease.claim_no > 1 THEN
      DELETE FROM {s}.outcome o WHERE o.id = lease.id;
    END IF;
  ELSE
    INSERT INTO {s}.outcome(id, seq, finished_at, started_at, keep_until, claim_no, attempt, crashes, state, ended,
                            worker, result, logs, progress, owed)
    VALUES (lease.id, lease.seq, clock, greatest(lease.claimed_at, clock - ran_ms), {keep_one}, lease.claim_no, lease.attempt,
            lease.crashes, 1, 1, (SELECT w.name FROM {s}.worker w WHERE w.key = lease.worker), settle_succeeded.result,
            coalesce(settle_succeeded.logs, noted.logs), coalesce(settle_succeeded.progress, noted.progress), {owed});
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

-- Cancels tasks: at once those that wait, by request those that run. Of each, in order: 'cancelled', 'cancel_requested',
-- 'already_ended' or 'not_found'. now: for a test's clock.
-- In the order of the ids, so that two calls with the same ids wait for one another in one direction only.
CREATE OR REPLACE FUNCTION {s}.cancel_tasks(ids uuid[], now bigint DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  clock    CONSTANT bigint := coalesce(now, floor(extract(epoch FROM statement_timestamp()) * 1000));
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
      UPDATE {s}.lease l SET cancel = true WHERE l.id = t.id;
      IF FOUND THEN
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

-- The tasks of a day that have not ended or are kept beyond `now`; null if they are more, or larger, than can be carried in a
-- moment. One whose end somebody has still to deal with is kept for ever. A task that has not ended is found by its place in
-- line, so that neither history nor backlog is looked through.
CREATE OR REPLACE FUNCTION {s}.day_wanted(day bigint, now bigint) RETURNS uuid[] LANGUAGE plpgsql SECURITY DEFINER
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
    {ids_of_day}
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
