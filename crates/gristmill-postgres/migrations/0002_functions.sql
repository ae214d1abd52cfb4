-- What gristmill's own drivers call on a connection that is not theirs: one round trip, names instead of numbers, and no
-- right on any table. The planner settings of our own connections are not there; what looks up rows in tables that fill and
-- empty all day brings the one it needs, as a plan made while a table was empty reads all of it.
-- Times are milliseconds; plpgsql gives each statement a new snapshot, so that what others committed meanwhile is seen.

-- What queries/enqueue.sql does, task by task: a statement for all of them takes twice as long for one, and most calls bring
-- one. Of each, in order: 0 created, 1 there already with the same type and arguments, 2 its id is another task's.
-- args and meta are JSON as text within the JSON, so that \u0000 stays an escape, which jsonb would refuse.
CREATE FUNCTION {s}.insert_tasks(tasks jsonb) RETURNS smallint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  now      CONSTANT bigint := floor(extract(epoch FROM statement_timestamp()) * 1000);
  outcomes smallint[] := array_fill(0::smallint, ARRAY[coalesce(jsonb_array_length(tasks), 0)]);
  task     record;
  queue    {s}.queue;
  kind     {s}.kind;
  due      bigint;
  deadline bigint;
  is_same  boolean;
BEGIN
  -- They arrive as they were given, and are written in the order of the ids, so that two batches with the same ids wait for
  -- one another in one direction only.
  FOR task IN
    SELECT * FROM (
      SELECT *, nextval('{l}.arrival') AS seq
      FROM ROWS FROM (jsonb_to_recordset(tasks) AS (
        id uuid, queue text, kind text, priority smallint, max_attempts integer, max_crashes integer, ack smallint,
        retention bigint, at bigint, delay bigint, expires bigint, deadline bigint, args text, meta text
      )) WITH ORDINALITY AS t(id, queue, kind, priority, max_attempts, max_crashes, ack, retention, at, delay, expires, deadline,
                              args, meta, place)
    ) t ORDER BY t.id, t.place
  LOOP
    IF task.queue IS DISTINCT FROM queue.name THEN
      queue := {s}.queue_of(task.queue, tasks);
    END IF;
    IF task.kind IS DISTINCT FROM kind.name THEN
      kind := {s}.kind_of(task.kind, tasks);
    END IF;
    due := coalesce(task.at, now + coalesce(task.delay, 0));
    deadline := coalesce(task.deadline, due + task.expires);
    LOOP
      INSERT INTO {s}.task(id, seq, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                           created_at, run_at, expires_at, args, meta)
        VALUES (task.id, task.seq, queue.id, kind.id, task.priority, task.max_attempts, task.max_crashes, task.ack,
                task.retention, now, due, deadline, task.args, task.meta)
        ON CONFLICT (id) DO NOTHING;
      IF FOUND AND due <= now THEN
        INSERT INTO {s}.ready(id, seq, expires_at, queue, kind, attempt, claim_no, crashes, priority)
          VALUES (task.id, task.seq, deadline, queue.id, kind.id, 0, 0, 0, task.priority);
        EXIT;
      ELSIF FOUND THEN
        INSERT INTO {s}.scheduled(id, seq, run_at, expires_at, queue, kind, attempt, claim_no, crashes, priority)
          VALUES (task.id, task.seq, due, deadline, queue.id, kind.id, 0, 0, 0, task.priority);
        EXIT;
      END IF;
      SELECT t.kind = kind.id AND t.args = task.args INTO is_same FROM {s}.task t WHERE t.id = task.id;
      IF FOUND THEN
        outcomes[task.place] := CASE WHEN is_same THEN 1 ELSE 2 END;
        EXIT;
      END IF;
      -- Its namesake was deleted in between, so that there is room for it now.
    END LOOP;
  END LOOP;
  RETURN outcomes;
END $gristmill$;

-- The row of a name. Looked up first, as even an insert that finds the name there would lock its row until the caller's
-- commit. If it is new, so may be others of these tasks; all are made in the order of the names, for two who make the same.
CREATE FUNCTION {s}.queue_of(name text, tasks jsonb) RETURNS {s}.queue LANGUAGE plpgsql AS $gristmill$
DECLARE
  found_row {s}.queue;
BEGIN
  SELECT * INTO found_row FROM {s}.queue q WHERE q.name = queue_of.name AND q.known;
  IF NOT FOUND THEN
    INSERT INTO {s}.queue(name, known)
      SELECT DISTINCT t.queue, true FROM jsonb_to_recordset(tasks) AS t(queue text)
      WHERE NOT EXISTS (SELECT FROM {s}.queue q WHERE q.name = t.queue AND q.known) ORDER BY 1
      ON CONFLICT ON CONSTRAINT queue_name_key DO UPDATE SET known = true WHERE NOT queue.known;
    SELECT * INTO STRICT found_row FROM {s}.queue q WHERE q.name = queue_of.name;
  END IF;
  RETURN found_row;
END $gristmill$;

CREATE FUNCTION {s}.kind_of(name text, tasks jsonb) RETURNS {s}.kind LANGUAGE plpgsql AS $gristmill$
DECLARE
  found_row {s}.kind;
BEGIN
  SELECT * INTO found_row FROM {s}.kind k WHERE k.name = kind_of.name AND k.known;
  IF NOT FOUND THEN
    INSERT INTO {s}.kind(name, known)
      SELECT DISTINCT t.kind, true FROM jsonb_to_recordset(tasks) AS t(kind text)
      WHERE NOT EXISTS (SELECT FROM {s}.kind k WHERE k.name = t.kind AND k.known) ORDER BY 1
      ON CONFLICT ON CONSTRAINT kind_name_key DO UPDATE SET known = true WHERE NOT kind.known;
    SELECT * INTO STRICT found_row FROM {s}.kind k WHERE k.name = kind_of.name;
  END IF;
  RETURN found_row;
END $gristmill$;

-- The end of an attempt that succeeded, in the transaction of its effects; what settle_plain.sql and settle_forget.sql write,
-- with all that was noted while it ran. False: the lease is lost, and nothing was written.
CREATE FUNCTION {s}.settle_succeeded(task uuid, fence uuid, ran_ms bigint, result text, logs text, progress text, children jsonb)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  now   CONSTANT bigint := floor(extract(epoch FROM statement_timestamp()) * 1000);
  lease {s}.lease;
  noted {s}.live;
BEGIN
  DELETE FROM {s}.lease l WHERE l.id = settle_succeeded.task AND l.fence = settle_succeeded.fence RETURNING * INTO lease;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF lease.noted THEN
    DELETE FROM {s}.live v WHERE v.id = lease.id RETURNING * INTO noted;
  END IF;
  IF lease.retention = -2 THEN
    DELETE FROM {s}.task t WHERE t.id = lease.id;
    IF lease.claim_no > 1 THEN
      DELETE FROM {s}.outcome o WHERE o.id = lease.id;
    END IF;
  ELSE
    INSERT INTO {s}.outcome(id, seq, finished_at, started_at, keep_until, claim_no, attempt, crashes, state, ended,
                            worker, result, logs, progress)
    VALUES (lease.id, lease.seq, now, greatest(lease.claimed_at, now - ran_ms),
            CASE WHEN lease.retention = -1 THEN 9223372036854775807 ELSE now + lease.retention END,
            lease.claim_no, lease.attempt, lease.crashes, 1, 1, (SELECT w.name FROM {s}.worker w WHERE w.key = lease.worker),
            settle_succeeded.result, coalesce(settle_succeeded.logs, noted.logs),
            coalesce(settle_succeeded.progress, noted.progress));
  END IF;
  IF jsonb_array_length(children) > 0 THEN
    PERFORM {s}.insert_tasks(children);
  END IF;
  RETURN true;
END $gristmill$;

-- Keeps the lease from everybody else until the caller's commit, so that what is committed is a holder's. False: it is lost.
-- A lease whose worker has expired is still held as long as nobody has rescued it, and nobody can from here on.
CREATE FUNCTION {s}.hold_lease(task uuid, fence uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
BEGIN
  PERFORM FROM {s}.lease l WHERE l.id = hold_lease.task AND l.fence = hold_lease.fence FOR UPDATE;
  RETURN FOUND;
END $gristmill$;

-- Cancels tasks: at once those that wait, by request those that run. Of each, in order: 'cancelled', 'cancel_requested',
-- 'already_ended' or 'not_found'. now: for a test's clock.
-- In the order of the ids, so that two calls with the same ids wait for one another in one direction only.
CREATE FUNCTION {s}.cancel_tasks(ids uuid[], now bigint DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  clock    CONSTANT bigint := coalesce(now, floor(extract(epoch FROM statement_timestamp()) * 1000));
  answers  text[] := array_fill(NULL::text, ARRAY[cardinality(ids)]);
  answer   text;
  last     uuid;
  asked    record;
  task     {s}.task;
  attempt  integer;
  claim_no integer;
  crashes  integer;
BEGIN
  FOR asked IN SELECT x.id, x.place FROM unnest(ids) WITH ORDINALITY AS x(id, place) ORDER BY x.id, x.place LOOP
    IF asked.id = last THEN
      -- A second time in one call it has ended already.
      answers[asked.place] := CASE answer WHEN 'cancelled' THEN 'already_ended' ELSE answer END;
      CONTINUE;
    END IF;
    last := asked.id;
    answer := NULL;
    -- What is in no place was moved by somebody else while we looked from one to the next.
    FOR look IN 1..20 LOOP
      SELECT * INTO task FROM {s}.task t WHERE t.id = asked.id;
      IF NOT FOUND THEN
        answer := 'not_found';
        EXIT;
      END IF;
      UPDATE {s}.lease l SET cancel = true WHERE l.id = task.id;
      IF FOUND THEN
        answer := 'cancel_requested';
        EXIT;
      END IF;
      DELETE FROM {s}.ready r WHERE r.queue = task.queue AND r.priority = task.priority AND r.seq = task.seq
        RETURNING r.attempt, r.claim_no, r.crashes INTO attempt, claim_no, crashes;
      IF NOT FOUND THEN
        DELETE FROM {s}.scheduled s WHERE s.seq = task.seq
          RETURNING s.attempt, s.claim_no, s.crashes INTO attempt, claim_no, crashes;
      END IF;
      IF NOT FOUND THEN
        DELETE FROM {s}.parked p
          WHERE p.queue = task.queue AND p.kind = task.kind AND p.priority = task.priority AND p.seq = task.seq
          RETURNING p.attempt, p.claim_no, p.crashes INTO attempt, claim_no, crashes;
      END IF;
      IF FOUND THEN
        INSERT INTO {s}.outcome(id, seq, finished_at, keep_until, claim_no, attempt, crashes, state, ended, error)
        VALUES (task.id, task.seq, clock,
                CASE WHEN task.retention = -1 THEN 9223372036854775807 WHEN task.retention < 0 THEN clock + 604800000
                     ELSE clock + task.retention END,
                claim_no + 1, attempt, crashes, 6, 3,
                '{"reason":"cancelled","message":"cancelled before it started"}');
        answer := 'cancelled';
        EXIT;
      END IF;
      EXIT WHEN EXISTS (SELECT FROM {s}.outcome o WHERE o.id = task.id AND o.ended <> 0);
    END LOOP;
    -- In no place at all after so many looks, which only damage explains, it has no future either.
    answer := coalesce(answer, 'already_ended');
    answers[asked.place] := answer;
  END LOOP;
  RETURN answers;
END $gristmill$;
