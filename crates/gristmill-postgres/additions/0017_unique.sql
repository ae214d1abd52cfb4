-- Keys that one task of a type has at once. A key is written by the enqueue that takes it, and by no other operation: who has it says a look at
-- that task, so that no end has to give anything back. Why so is in docs/decisions/0018-unique.md.

-- until: the end of a period, if it has one, however the task ends. lasts: 0 until the task has ended, 1 until its first attempt begins, 2 until it is due.
CREATE TABLE {s}.unique_key(
  until bigint,
  task  uuid     NOT NULL,
  lasts smallint NOT NULL,
  kind  text COLLATE "C" NOT NULL,
  key   text COLLATE "C" NOT NULL,
  PRIMARY KEY(kind, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Whether a task has not ended, has not begun, or is not due, as lasts says. Its body is looked for by its id as a value: a plan for any would open all
-- days.
CREATE FUNCTION {s}.is_live(id uuid, lasts smallint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  body     {s}.task;
  is_ended boolean;
BEGIN
  EXECUTE 'SELECT * FROM {l}.task WHERE id = $1' INTO body USING id;
  IF body.id IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE 'SELECT EXISTS (SELECT FROM {l}.outcome WHERE id = $1 AND ended <> 0)' INTO is_ended USING id;
  IF is_ended OR lasts = 0 THEN
    RETURN NOT is_ended;
  ELSIF lasts = 2 THEN
    RETURN EXISTS (SELECT FROM {s}.scheduled p WHERE p.seq = body.seq AND p.id = body.id AND p.claim_no = 0);
  END IF;
  RETURN (SELECT {unclaimed} FROM (SELECT body.id, body.queue, body.kind, body.priority, body.seq) AS t);
END $gristmill$;

-- Whether the task that took a key has it still.
CREATE FUNCTION {s}.has_key(held {s}.unique_key, now bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  IF held.until IS NOT NULL THEN
    RETURN held.until > now;
  END IF;
  RETURN {s}.is_live(held.task, held.lasts);
END $gristmill$;

-- Puts off a debounced task: by `wait` from now on, or as long after it was made as it is put off at most. It has these arguments from now on. False if it is due by now.
CREATE FUNCTION {s}.put_off(id uuid, now bigint, wait bigint, max_wait bigint, args text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  body {s}.task;
  due  bigint;
BEGIN
  EXECUTE 'SELECT * FROM {l}.task WHERE id = $1' INTO body USING id;
  due := least(now + wait, body.created_at + max_wait);
  UPDATE {s}.scheduled p SET run_at = due, expires_at = p.expires_at + (due - p.run_at)
    WHERE p.seq = body.seq AND p.id = body.id AND p.claim_no = 0 AND p.run_at > now;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  EXECUTE 'UPDATE {l}.task SET args = $2, run_at = $3, expires_at = expires_at + ($3 - run_at) WHERE id = $1' USING id, args, due;
  RETURN true;
END $gristmill$;

-- Holds a task that was not claimed, until this transaction ends: it stands for one that comes with what this transaction writes, and is not to begin
-- before others can see that. False if it is not there any more.
CREATE FUNCTION {s}.hold_unclaimed(id uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  t {s}.task;
BEGIN
  EXECUTE 'SELECT * FROM {l}.task WHERE id = $1' INTO t USING id;
  -- Once more, for one that came from one place to another between two looks.
  FOR look IN 1..2 LOOP
    {hold_unclaimed}
  END LOOP;
  RETURN false;
END $gristmill$;

-- A key that a task asks for: see take_keys.
CREATE TYPE {s}.asked_key AS (
  nth bigint, task uuid, kind text COLLATE "C", key text COLLATE "C", period bigint, lasts smallint, wait bigint, max_wait bigint, args text
);

-- Takes the keys of tasks that are about to be written in this transaction: [{"task", "kind", "key", "period", "lasts"}], and of those that are debounced "wait",
-- "max_wait" and "args"; clock: the time, if it is a test's; ending: tasks that end in this transaction. Of each, in order: who has its key, or null if it is this one's by now. In the order of the keys, so that two calls with the same keys wait for one
-- another in one direction only; whoever has taken a key and has not committed yet is waited for.
CREATE FUNCTION {s}.take_keys(keys jsonb, clock bigint, ending uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  now         CONSTANT bigint := coalesce(clock, floor(extract(epoch FROM statement_timestamp()) * 1000));
  most        CONSTANT bigint := 3153600000000;
  asked       CONSTANT {s}.asked_key[] := ARRAY(
    SELECT ROW(nth, k.task, k.kind, k.key, k.period, coalesce(k.lasts, 0), k.wait, k.max_wait, k.args)::{s}.asked_key
    FROM ROWS FROM (jsonb_to_recordset(keys) AS (task uuid, kind text, key text, period bigint, lasts smallint, wait bigint, max_wait bigint, args text))
      WITH ORDINALITY AS k(task, kind, key, period, lasts, wait, max_wait, args, nth)
    -- Of those that are debounced the last one counts.
    ORDER BY k.kind COLLATE "C", k.key COLLATE "C", CASE WHEN k.wait IS NULL THEN k.nth ELSE -k.nth END);
  holders     uuid[] := array_fill(NULL::uuid, ARRAY[cardinality(asked)]);
  asks        {s}.asked_key;
  before      {s}.asked_key;
  held        {s}.unique_key;
  wrong       bigint;
  known       uuid[];
  taken       uuid[];
  is_mine     boolean;
BEGIN
  -- No sum with the clock leaves the numbers, so that no row can make a statement fail that does others' work with it.
  SELECT min(a.nth) INTO wrong FROM unnest(asked) AS a
    WHERE (coalesce(a.period, 0) BETWEEN 0 AND most AND coalesce(a.wait, 0) BETWEEN 0 AND most AND coalesce(a.max_wait, 0) BETWEEN 0 AND most
           AND a.lasts BETWEEN 0 AND 2 AND octet_length(a.key) <= 255 AND octet_length(coalesce(a.args, '')) <= 16777216) IS NOT TRUE;
  IF wrong IS NOT NULL THEN
    PERFORM {s}.refuse(format('task %s: unique', wrong), 'is out of range', 'A key has 255 bytes at most, and its times are from 0 to 100 years.');
  END IF;
  -- A task that is there already says for itself what it is, and takes nothing. Their ids as values, as a plan for any would open all days.
  EXECUTE 'SELECT array(SELECT id FROM {l}.task WHERE id = ANY ($1))' INTO known USING ARRAY(SELECT a.task FROM unnest(asked) AS a);
  -- Most keys are nobody's.
  WITH first AS (
    SELECT DISTINCT ON (a.kind, a.key) a.* FROM unnest(asked) WITH ORDINALITY AS a(nth, task, kind, key, period, lasts, wait, max_wait, args, place)
    WHERE a.task <> ALL (known) ORDER BY a.kind, a.key, a.place
  ), made AS (
    INSERT INTO {s}.unique_key(kind, key, task, until, lasts) SELECT f.kind, f.key, f.task, now + f.period, f.lasts FROM first f ORDER BY f.kind, f.key
    ON CONFLICT (kind, key) DO NOTHING
    RETURNING task
  )
  -- By their ids, and joined with nothing: sessions of ours join row by row.
  SELECT array_agg(m.task) INTO taken FROM made m;
  IF cardinality(taken) = cardinality(asked) THEN
    RETURN holders;
  END IF;
  FOREACH asks IN ARRAY asked LOOP
    CONTINUE WHEN asks.task = ANY (known);
    -- The one before in this call, which is not written yet.
    IF before.kind = asks.kind AND before.key = asks.key THEN
      IF before.task <> asks.task THEN
        holders[asks.nth] := coalesce(holders[before.nth], before.task);
      END IF;
      CONTINUE;
    END IF;
    before := asks;
    CONTINUE WHEN asks.task = ANY (taken);
    LOOP
      -- By a statement of its own, which sees who was waited for. One that lives stands for this one, and nobody's lock is taken or waited for.
      SELECT * INTO held FROM {s}.unique_key u WHERE u.kind = asks.kind AND u.key = asks.key;
      is_mine := held.task = asks.task OR held.until IS NULL AND held.task = ANY (ending);
      IF FOUND AND asks.wait IS NULL AND NOT is_mine AND {s}.has_key(held, now)
         AND (held.lasts <> 1 OR held.until IS NOT NULL OR {s}.hold_unclaimed(held.task)) THEN
        holders[asks.nth] := held.task;
        EXIT;
      END IF;
      -- Only with the row in hand is it looked at again, or two would find that it is free.
      SELECT * INTO held FROM {s}.unique_key u WHERE u.kind = asks.kind AND u.key = asks.key FOR UPDATE;
      IF FOUND THEN
        is_mine := held.task = asks.task OR held.until IS NULL AND held.task = ANY (ending);
        IF NOT is_mine AND {s}.has_key(held, now) AND (held.lasts <> 1 OR held.until IS NOT NULL OR {s}.hold_unclaimed(held.task))
           AND (asks.wait IS NULL OR {s}.put_off(held.task, now, asks.wait, asks.max_wait, asks.args)) THEN
          holders[asks.nth] := held.task;
        ELSE
          UPDATE {s}.unique_key u SET task = asks.task, until = now + asks.period, lasts = asks.lasts WHERE u.kind = asks.kind AND u.key = asks.key;
        END IF;
        EXIT;
      END IF;
      -- It was forgotten in between, so that there is room for it now.
      INSERT INTO {s}.unique_key(kind, key, task, until, lasts) VALUES (asks.kind, asks.key, asks.task, now + asks.period, asks.lasts)
        ON CONFLICT (kind, key) DO NOTHING;
      EXIT WHEN FOUND;
    END LOOP;
  END LOOP;
  RETURN holders;
END $gristmill$;

-- The keys that tasks have, as insert_tasks takes these; null if none has one. jsonb would refuse a NUL.
CREATE FUNCTION {s}.keys_of(tasks jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT jsonb_agg(jsonb_build_object(
    'place', nth, 'task', t ->> 'id', 'kind', t ->> 'kind', 'key', u ->> 'key', 'period', (t ->> 'unique_ms')::bigint,
    'lasts', CASE WHEN u ? 'debounce' THEN 2 WHEN u ->> 'until' = 'started' THEN 1 ELSE 0 END,
    'wait', (u -> 'debounce' ->> 'wait_ms')::bigint, 'max_wait', (u -> 'debounce' ->> 'max_wait_ms')::bigint,
    'args', CASE WHEN u ? 'debounce' THEN t ->> 'args' END) ORDER BY nth)
  FROM jsonb_array_elements(tasks) WITH ORDINALITY AS t(t, nth)
  CROSS JOIN LATERAL (SELECT replace(t ->> 'meta', chr(92) || 'u0000', chr(92) || 'u0001')::jsonb -> 'unique' AS u
                      WHERE strpos(t ->> 'meta', '"unique"') > 0) m
  WHERE jsonb_typeof(u -> 'key') = 'string'
$gristmill$;

-- As insert_tasks, for tasks that may have keys of their own. unique_ms of a task: the period of its key, if it has one. Of each, in order: what insert_tasks says, or the id of who
-- has its key.
CREATE FUNCTION {s}.insert_unique(tasks jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  keys     CONSTANT jsonb := {s}.keys_of(tasks);
  holders  jsonb;
  free     jsonb;
  outcomes smallint[];
BEGIN
  IF keys IS NULL THEN
    RETURN to_jsonb({s}.insert_tasks(tasks));
  END IF;
  SELECT jsonb_object_agg(k ->> 'place', h.holder) INTO holders
  FROM (SELECT {s}.take_keys(keys, NULL, '{}') AS holders) x
  CROSS JOIN LATERAL unnest(x.holders) WITH ORDINALITY AS h(holder, nth)
  JOIN jsonb_array_elements(keys) WITH ORDINALITY AS k(k, nth) ON k.nth = h.nth
  WHERE h.holder IS NOT NULL;
  SELECT coalesce(jsonb_agg(t ORDER BY nth), '[]') INTO free
  FROM jsonb_array_elements(tasks) WITH ORDINALITY AS t(t, nth) WHERE NOT coalesce(holders ? nth::text, false);
  outcomes := {s}.insert_tasks(free);
  RETURN (
    SELECT jsonb_agg(CASE WHEN is_held THEN holders -> nth::text ELSE to_jsonb(outcomes[place]) END ORDER BY nth) FROM (
      SELECT *, row_number() OVER (PARTITION BY is_held ORDER BY nth) AS place
      FROM (SELECT nth, coalesce(holders ? nth::text, false) AS is_held FROM jsonb_array_elements(tasks) WITH ORDINALITY AS t(t, nth)) t
    ) t
  );
END $gristmill$;

-- A text with the values of arguments in its braces, as core's Template fills it.
CREATE FUNCTION {s}.fill_template(place text, template text, args jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  rest   text := template;
  filled text := '';
  at     integer;
  field  text;
  value  jsonb;
  name   text;
BEGIN
  LOOP
    at := least(nullif(strpos(rest, '{'), 0), nullif(strpos(rest, '}'), 0));
    EXIT WHEN at IS NULL;
    filled := filled || left(rest, at - 1);
    rest := substr(rest, at);
    IF left(rest, 2) IN ('{{', '}}') THEN
      filled := filled || left(rest, 1);
      rest := substr(rest, 3);
      CONTINUE;
    END IF;
    field := split_part(substr(rest, 2), '}', 1);
    rest := substr(rest, length(field) + 3);
    value := args;
    FOREACH name IN ARRAY string_to_array(field, '.') LOOP
      value := CASE WHEN jsonb_typeof(value) = 'object' THEN value -> name END;
    END LOOP;
    IF value IS NULL THEN
      PERFORM {s}.refuse(place || 'args', format('have no %s, which the key %s takes', to_json(field), to_json(template)), 'Give it.');
    ELSIF jsonb_typeof(value) IN ('null', 'array', 'object') THEN
      PERFORM {s}.refuse(place || 'args', format('have in %s, which the key %s takes, null, a list or an object', to_json(field), to_json(template)),
                         'Give a text, a number or a boolean.');
    ELSIF jsonb_typeof(value) = 'number' AND (value #>> '{}' !~ '^-?[0-9]+$' OR (value #>> '{}')::numeric NOT BETWEEN -9223372036854775808 AND 18446744073709551615) THEN
      -- Programs write it in another way, and it would be another key.
      PERFORM {s}.refuse(place || 'args', format('have in %s, which the key %s takes, no whole number of 64 bits', to_json(field), to_json(template)),
                         'Give a whole number, or a text.');
    END IF;
    filled := filled || (value #>> '{}');
  END LOOP;
  filled := filled || rest;
  IF filled = '' OR octet_length(filled) > 255 OR filled ~ ('[' || chr(1) || '-' || chr(31) || chr(127) || '-' || chr(159) || ']') THEN
    PERFORM {s}.refuse(place || 'args', format('make the key %s empty, longer than 255 bytes, or one with a control character', to_json(template)),
                       'Take a shorter value.');
  END IF;
  RETURN filled;
END $gristmill$;

-- A number of slots that a rule says, or takes from the arguments.
CREATE FUNCTION {s}.slots_of(place text, said jsonb, args jsonb) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  number text := CASE WHEN jsonb_typeof(said) = 'string' THEN {s}.fill_template(place, said #>> '{}', args) ELSE said #>> '{}' END;
BEGIN
  IF number !~ '^([1-9][0-9]{0,4}|100000)$' THEN
    PERFORM {s}.refuse(place || 'args', format('have in %s no whole number from 1 to 100000', to_json(said #>> '{}')), 'Give one.');
  END IF;
  RETURN number;
END $gristmill$;

-- A task as new_task makes it, with the keys that its type declares: what NewTask::resolve does of them.
CREATE FUNCTION {s}.with_keys(place text, task jsonb, args jsonb, policy jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  unique_rule CONSTANT jsonb := policy -> 'unique';
  kind  CONSTANT text := task ->> 'kind';
  needs jsonb := '{}';
  rule  jsonb;
  name  text;
  slots integer;
  cost  integer;
  own   jsonb;
  waits jsonb;
  key   text;
  parts text[] := '{}';
BEGIN
  FOR rule IN SELECT jsonb_array_elements(coalesce(policy -> 'concurrency', '[]')) LOOP
    name := CASE WHEN rule ->> 'key' IS NULL THEN 'type:' || kind
                 ELSE CASE WHEN rule -> 'until_ended' = 'true' THEN 'sequence:' ELSE '' END || {s}.fill_template(place, rule ->> 'key', args) END;
    slots := {s}.slots_of(place, rule -> 'limit', args);
    cost := {s}.slots_of(place, coalesce(rule -> 'cost', '1'), args);
    IF cost > slots THEN
      PERFORM {s}.refuse(place || 'args', format('make a cost of %s, and the limit is %s: such a task could never start', cost, slots), 'Give less.');
    ELSIF needs ? name OR octet_length(name) > 255 OR rule -> 'until_ended' IS DISTINCT FROM 'true' AND rule ->> 'key' IS NOT NULL AND name ~ '^(sequence|after|type):' THEN
      PERFORM {s}.refuse(place || 'args', format('make the key %s, which is there twice, too long, or one that no limit may have', to_json(name)), 'Give other values.');
    END IF;
    needs := needs || jsonb_build_object(name, jsonb_strip_nulls(jsonb_build_object(
      'key', name, 'limit', slots, 'cost', nullif(cost, 1), 'until_ended', nullif(rule -> 'until_ended' = 'true', false))));
  END LOOP;
  IF jsonb_typeof(unique_rule) = 'object' THEN
    key := CASE WHEN unique_rule ->> 'key' IS NULL THEN '' ELSE {s}.fill_template(place, unique_rule ->> 'key', args) END;
    own := jsonb_build_object('key', key) || (unique_rule - 'key');
    IF unique_rule ->> 'on_conflict' = 'run_after' THEN
      own := own || '{"until": "started"}';
      name := format('after:%s:%s', kind, key);
      IF octet_length(name) > 255 THEN
        PERFORM {s}.refuse(place || 'args', 'make a key that is too long with the task type''s name', 'Take a shorter value.');
      END IF;
      needs := needs || jsonb_build_object(name, jsonb_build_object('key', name, 'limit', 1, 'until_ended', true));
    ELSIF coalesce(own ->> 'until', 'ended') NOT IN ('ended', 'started') THEN
      task := task || jsonb_build_object('unique_ms', {s}.duration_of(place || 'unique', own -> 'until'));
    END IF;
    parts := parts || ('"unique":' || own::text);
  END IF;
  IF jsonb_typeof(policy -> 'debounce') = 'object' THEN
    IF (task ->> 'delay')::bigint > 0 OR task ->> 'at' IS NOT NULL OR task ->> 'deadline' IS NOT NULL THEN
      PERFORM {s}.refuse(place || 'options', 'say when the task is due, and so does its type by debounce', 'Leave out in, delay, at and expires_at.');
    END IF;
    key := CASE WHEN policy -> 'debounce' ->> 'key' IS NULL THEN '' ELSE {s}.fill_template(place, policy -> 'debounce' ->> 'key', args) END;
    waits := jsonb_build_object('wait_ms', {s}.duration_of(place || 'debounce', policy -> 'debounce' -> 'wait'));
    IF policy -> 'debounce' ? 'max_wait' THEN
      waits := waits || jsonb_build_object('max_wait_ms', {s}.duration_of(place || 'debounce', policy -> 'debounce' -> 'max_wait'));
    END IF;
    parts := parts || ('"unique":' || jsonb_build_object('key', key, 'debounce', waits)::text);
    task := task || jsonb_build_object('delay', waits -> 'wait_ms');
  END IF;
  IF (SELECT count(*) FROM jsonb_object_keys(needs)) > 8 THEN
    PERFORM {s}.refuse(place || 'name', 'has a type with more than 8 rules, that of run_after included', 'Declare fewer.');
  END IF;
  IF needs <> '{}' THEN
    parts := parts || ('"needs":' || (SELECT jsonb_agg(n.value ORDER BY n.key COLLATE "C") FROM jsonb_each(needs) AS n)::text);
    task := task || jsonb_build_object('flags', coalesce((task ->> 'flags')::integer, 0) | {limited});
  END IF;
  IF parts = '{}' THEN
    RETURN task;
  END IF;
  IF task ->> 'meta' IS NOT NULL THEN
    -- As text, in which a NUL stays an escape.
    parts := substr(rtrim(task ->> 'meta'), 2, length(rtrim(task ->> 'meta')) - 2) || parts;
  END IF;
  RETURN task || jsonb_build_object('meta', '{' || array_to_string(parts, ',') || '}');
END $gristmill$;

-- As in additions/0007_values.sql, but with the keys that the type declares. Of a key that another task has, the id of that one.
CREATE OR REPLACE FUNCTION {s}.enqueue(name text, args jsonb DEFAULT '{}', options jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  spec    CONSTANT jsonb := {s}.spec_of(name);
  task    CONSTANT jsonb := {s}.with_keys('', {s}.new_task('', name, args, options, spec), args, spec -> 'policy');
BEGIN
  RETURN {s}.made('', task, ({s}.insert_unique(jsonb_build_array(task))) -> 0, spec -> 'policy');
END $gristmill$;

CREATE FUNCTION {s}.made(place text, task jsonb, outcome jsonb, policy jsonb) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  IF outcome = '2' THEN
    PERFORM {s}.refuse_id(place, task ->> 'id');
  ELSIF jsonb_typeof(outcome) <> 'string' THEN
    RETURN task ->> 'id';
  ELSIF outcome #>> '{}' <> task ->> 'id' AND policy -> 'unique' ->> 'on_conflict' = 'reject' THEN
    RAISE unique_violation USING MESSAGE = format('%sthe task %s has its key', place, outcome #>> '{}'),
      HINT = 'It is free once that one has ended, or its period is over.';
  END IF;
  RETURN outcome #>> '{}';
END $gristmill$;

CREATE OR REPLACE FUNCTION {s}.enqueue_many(tasks jsonb) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  drafts   jsonb[] := '{}';
  specs    jsonb;
  outcomes jsonb;
  item     jsonb;
  spec     jsonb;
  wrong    text;
  place    text;
BEGIN
  IF tasks IS NULL OR jsonb_typeof(tasks) <> 'array' THEN
    PERFORM {s}.refuse('tasks', 'are not a JSON array', 'Write [{"name": "mail", "args": {"to": "a@b.c"}}, ...].');
  ELSIF jsonb_array_length(tasks) > 100000 THEN
    PERFORM {s}.refuse('tasks', format('are %s; at most 100000 are taken at once', jsonb_array_length(tasks)),
                       'Call enqueue_many several times in the transaction.');
  END IF;
  -- Read from its text once, however many tasks are of a type.
  SELECT coalesce(jsonb_object_agg(s.name, s.spec) FILTER (WHERE s.spec IS NOT NULL), '{}') INTO specs FROM (
    SELECT d.name, {s}.spec_of(d.name) AS spec
    FROM (SELECT DISTINCT t ->> 'name' AS name FROM jsonb_array_elements(tasks) AS t) d OFFSET 0
  ) s;
  FOR item IN SELECT jsonb_array_elements(tasks) LOOP
    place := format('task %s: ', cardinality(drafts) + 1);
    IF jsonb_typeof(item) <> 'object' THEN
      PERFORM {s}.refuse(place || 'it', 'is not a JSON object', 'Write {"name": "mail", "args": {"to": "a@b.c"}}.');
    END IF;
    SELECT min(key) INTO wrong FROM jsonb_object_keys(item) AS key WHERE key NOT IN ('name', 'args', 'options');
    IF wrong IS NOT NULL THEN
      PERFORM {s}.refuse(place || wrong, 'is not a part of a task', 'There are name, args and options.');
    END IF;
    spec := specs -> (item ->> 'name');
    drafts := drafts || {s}.with_keys(place, {s}.new_task(place, item ->> 'name', coalesce(item -> 'args', '{}'), coalesce(item -> 'options', '{}'), spec),
                                      coalesce(item -> 'args', '{}'), spec -> 'policy');
  END LOOP;
  outcomes := {s}.insert_unique(to_jsonb(drafts));
  FOR n IN 1..cardinality(drafts) LOOP
    RETURN NEXT {s}.made(format('task %s: ', n), drafts[n], outcomes -> (n - 1), specs -> (drafts[n] ->> 'kind') -> 'policy');
  END LOOP;
END $gristmill$;

REVOKE ALL ON FUNCTION {s}.is_live(uuid, smallint), {s}.hold_unclaimed(uuid), {s}.put_off(uuid, bigint, bigint, bigint, text), {s}.has_key({s}.unique_key, bigint), {s}.take_keys(jsonb, bigint, uuid[]), {s}.keys_of(jsonb), {s}.insert_unique(jsonb),
  {s}.fill_template(text, text, jsonb), {s}.slots_of(text, jsonb, jsonb), {s}.with_keys(text, jsonb, jsonb, jsonb), {s}.made(text, jsonb, jsonb, jsonb)
  FROM PUBLIC;

DO $gristmill$
DECLARE
  held record;
BEGIN
  FOR held IN
    SELECT pg_catalog.pg_get_userbyid(a.grantee) AS name
    FROM pg_catalog.pg_proc p CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) a
    WHERE p.oid = '{l}.insert_tasks(jsonb)'::regprocedure AND a.grantee <> 0
  LOOP
    EXECUTE 'GRANT EXECUTE ON FUNCTION {l}.insert_unique(jsonb) TO ' || pg_catalog.quote_ident(held.name);
  END LOOP;
END $gristmill$;
