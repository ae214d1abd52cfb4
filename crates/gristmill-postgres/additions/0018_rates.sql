-- Keys with a rate: how many tasks with one key may begin in a time. What is spent of it is reckoned by gristmill-core's concurrency/spent.rs; why so
-- is in docs/decisions/0019-rates.md. And what was done for keys row by row is done for all rows of a statement at once.

-- pace: what the newest task says of a rate, as JSON; set_pace: what an operator says of it. declared and set_to are 0 of such a key, so that programs that know no
-- rates let nobody in, and do not forget it. spent: what has been taken of a
-- rate, as JSON, which matters until spent_until. look_at: when somebody who waits for it may begin, should nothing else happen.
ALTER TABLE {s}.key ADD COLUMN pace text, ADD COLUMN set_pace text, ADD COLUMN spent text, ADD COLUMN spent_until bigint, ADD COLUMN look_at bigint;
CREATE INDEX key_look ON {s}.key(look_at) WHERE look_at IS NOT NULL;
ALTER TABLE {s}.touched ADD COLUMN pace text;

-- Attempts that have begun and are over: when, and what they have taken of a rate. Written by their end, so that this locks no key, and taken by who admits to
-- it. Of those that run, the rows of slot tell that, with those of lease.
CREATE TABLE {s}.begun(
  at   bigint  NOT NULL,
  cost integer NOT NULL,
  key  text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX begun_key ON {s}.begun(key);

-- What a task says in its meta that it needs of keys, as it was checked when it was enqueued; null if that can't be read. jsonb would refuse a NUL.
CREATE FUNCTION {s}.needs_said(meta text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  needs jsonb;
BEGIN
  needs := replace(meta, chr(92) || 'u0000', chr(92) || 'u0001')::jsonb -> 'needs';
  IF (jsonb_typeof(needs) = 'array' AND jsonb_array_length(needs) BETWEEN 1 AND 8 AND NOT EXISTS (
    SELECT FROM jsonb_array_elements(needs) n
    WHERE (jsonb_typeof(n) = 'object' AND jsonb_typeof(n -> 'key') = 'string' AND octet_length(n ->> 'key') BETWEEN 1 AND 255
           AND jsonb_typeof(n -> 'limit') = 'number' AND n ->> 'limit' ~ '^([1-9][0-9]{0,4}|100000)$'
           AND coalesce(jsonb_typeof(n -> 'cost'), 'number') = 'number' AND coalesce(n ->> 'cost', '1') ~ '^([1-9][0-9]{0,4}|100000)$'
           AND coalesce(jsonb_typeof(n -> 'until_ended'), 'boolean') = 'boolean'
           AND (n -> 'pace' IS NOT NULL) = starts_with(n ->> 'key', 'rate:')
           AND (n -> 'pace' IS NULL
                OR jsonb_typeof(n #> '{pace,per_ms}') = 'number' AND n #>> '{pace,per_ms}' ~ '^[1-9][0-9]{0,7}$' AND (n #>> '{pace,per_ms}')::integer <= 86400000
                AND jsonb_typeof(n #> '{pace,most}') = 'number' AND n #>> '{pace,most}' ~ '^([1-9][0-9]{0,4}|100000)$'
                AND coalesce(jsonb_typeof(n #> '{pace,window}'), 'boolean') = 'boolean')
           AND coalesce(n ->> 'cost', '1')::integer <= coalesce(n #>> '{pace,most}', n ->> 'limit')::integer) IS NOT TRUE
  )) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  RETURN needs;
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $gristmill$;

-- Puts waiting tasks into the line of their first key; those that need none wait for a word by hand. Returns how many came into a line. Their bodies
-- are looked for by their ids as values: a plan for any would open all days. Whoever may only enqueue may say anything here, and an error would be one
-- of the statement that lets others go on as well: what can't be read, and what has no body, stands in a line without a limit, whose name no key can
-- have, and is for its claim to end.
CREATE FUNCTION {s}.line_up(ids uuid[], seqs bigint[], claim_nos integer[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = on AS $gristmill$
DECLARE
  lined bigint;
BEGIN
  EXECUTE $lines$
    WITH came AS MATERIALIZED (
      SELECT x.id, x.seq, x.claim_no, CASE WHEN t.id IS NOT NULL AND strpos(t.meta, '"needs"') > 0 THEN {s}.needs_said(t.meta) END AS needs
      FROM unnest($1, $2, $3) AS x(id, seq, claim_no) LEFT JOIN (SELECT id, meta FROM {s}.task WHERE id = ANY ($1)) t ON t.id = x.id
      WHERE t.id IS NULL OR strpos(t.meta, '"needs"') > 0
    ), lined AS (
      INSERT INTO {s}.standby(task, seq, late, key, needs)
      -- Nobody holds anything before his first attempt.
      SELECT c.id, c.seq, c.claim_no = 0 OR NOT EXISTS (SELECT FROM {s}.slot s WHERE s.task = c.id), coalesce(c.needs -> 0 ->> 'key', chr(1)),
             coalesce(c.needs, '[]')::text
      FROM came c
      ON CONFLICT (task) DO NOTHING
    ), said AS (
      INSERT INTO {s}.touched(key, declared, pace, said_by)
      SELECT DISTINCT ON (n.key) n.key, n.declared, n.pace, n.seq FROM (
        SELECT n ->> 'key' AS key, CASE WHEN c.claim_no = 0 THEN CASE WHEN n -> 'pace' IS NULL THEN (n ->> 'limit')::integer ELSE 0 END END AS declared,
               CASE WHEN c.claim_no = 0 THEN ((n -> 'pace') || jsonb_build_object('count', n -> 'limit'))::text END AS pace, c.seq
        FROM came c CROSS JOIN LATERAL jsonb_array_elements(c.needs) AS n
        UNION ALL SELECT chr(1), NULL, NULL, c.seq FROM came c WHERE c.needs IS NULL
      ) n
      ORDER BY n.key, n.declared IS NULL, n.seq DESC
    )
    SELECT count(*) FROM came
  $lines$ INTO lined USING ids, seqs, claim_nos;
  IF lined > 0 THEN
    PERFORM set_config('gristmill.touched', 'yes', true);
  END IF;
  RETURN lined;
END $gristmill$;

-- Whoever comes to wait stands in a line, by whatever program he comes, and whoever waits no more leaves it.
CREATE FUNCTION {s}.stand_by_together() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
BEGIN
  IF EXISTS (SELECT FROM came) THEN
    PERFORM {s}.line_up(array_agg(id), array_agg(seq), array_agg(claim_no)) FROM came;
  END IF;
  RETURN NULL;
END $gristmill$;
CREATE OR REPLACE TRIGGER stand_by AFTER INSERT ON {s}.waiting REFERENCING NEW TABLE AS came
  FOR EACH STATEMENT EXECUTE FUNCTION {s}.stand_by_together();

CREATE FUNCTION {s}.stand_down_together() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
BEGIN
  IF NOT EXISTS (SELECT FROM left_it) THEN
    RETURN NULL;
  END IF;
  WITH gone AS (DELETE FROM {s}.standby WHERE task = ANY (ARRAY(SELECT id FROM left_it)) RETURNING key)
  INSERT INTO {s}.touched(key) SELECT DISTINCT key FROM gone;
  IF FOUND THEN
    PERFORM set_config('gristmill.touched', 'yes', true);
  END IF;
  RETURN NULL;
END $gristmill$;
CREATE OR REPLACE TRIGGER stand_down AFTER DELETE ON {s}.waiting REFERENCING OLD TABLE AS left_it
  FOR EACH STATEMENT EXECUTE FUNCTION {s}.stand_down_together();

-- As that of additions/0017_unique.sql, of keys in columns: period, and of those that are debounced wait, max_wait and args, may be null.
CREATE FUNCTION {s}.take_keys(tasks uuid[], kinds text[], keys text[], periods bigint[], lasting smallint[], waits bigint[], max_waits bigint[],
                              args text[], clock bigint, ending uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
DECLARE
  now     CONSTANT bigint := coalesce(clock, floor(extract(epoch FROM statement_timestamp()) * 1000));
  most    CONSTANT bigint := 3153600000000;
  holders uuid[] := array_fill(NULL::uuid, ARRAY[cardinality(tasks)]);
  asks    record;
  before  {s}.unique_key;
  place   bigint;
  held    {s}.unique_key;
  wrong   bigint;
  known   uuid[];
  taken   uuid[];
  is_mine boolean;
BEGIN
  -- No sum with the clock leaves the numbers, so that no row can make a statement fail that does others' work with it.
  SELECT min(a.nth) INTO wrong
  FROM unnest(keys, periods, lasting, waits, max_waits, args) WITH ORDINALITY AS a(key, period, lasts, wait, max_wait, args, nth)
  WHERE (coalesce(a.period, 0) BETWEEN 0 AND most AND coalesce(a.wait, 0) BETWEEN 0 AND most AND coalesce(a.max_wait, 0) BETWEEN 0 AND most
         AND a.lasts BETWEEN 0 AND 2 AND octet_length(a.key) <= 255 AND octet_length(coalesce(a.args, '')) <= 16777216) IS NOT TRUE;
  IF wrong IS NOT NULL THEN
    PERFORM {s}.refuse(format('task %s: unique', wrong), 'is out of range', 'A key has 255 bytes at most, and its times are from 0 to 100 years.');
  END IF;
  -- A task that is there already says for itself what it is, and takes nothing. Their ids as values, as a plan for any would open all days.
  EXECUTE 'SELECT array(SELECT id FROM {l}.task WHERE id = ANY ($1))' INTO known USING tasks;
  -- Most keys are nobody's. In the order of the keys, so that two calls with the same ones wait for one another in one direction only; of those that
  -- are debounced the last one counts.
  WITH made AS (
    INSERT INTO {s}.unique_key(kind, key, task, until, lasts)
    SELECT DISTINCT ON (a.kind COLLATE "C", a.key COLLATE "C") a.kind, a.key, a.task, now + a.period, a.lasts
    FROM unnest(tasks, kinds, keys, periods, lasting, waits) WITH ORDINALITY AS a(task, kind, key, period, lasts, wait, nth)
    WHERE cardinality(known) = 0 OR a.task <> ALL (known)
    ORDER BY a.kind COLLATE "C", a.key COLLATE "C", CASE WHEN a.wait IS NULL THEN a.nth ELSE -a.nth END
    ON CONFLICT (kind, key) DO NOTHING
    RETURNING task
  )
  -- By their ids, and joined with nothing: sessions of ours join row by row.
  SELECT array_agg(m.task) INTO taken FROM made m;
  IF cardinality(taken) = cardinality(tasks) THEN
    RETURN holders;
  END IF;
  FOR asks IN
    SELECT * FROM unnest(tasks, kinds, keys, periods, lasting, waits, max_waits, args)
      WITH ORDINALITY AS a(task, kind, key, period, lasts, wait, max_wait, args, nth)
    ORDER BY a.kind COLLATE "C", a.key COLLATE "C", CASE WHEN a.wait IS NULL THEN a.nth ELSE -a.nth END
  LOOP
    CONTINUE WHEN asks.task = ANY (known);
    -- The one before in this call, which is not written yet.
    IF before.kind = asks.kind AND before.key = asks.key THEN
      IF before.task <> asks.task THEN
        holders[asks.nth] := coalesce(holders[place], before.task);
      END IF;
      CONTINUE;
    END IF;
    before.kind := asks.kind;
    before.key := asks.key;
    before.task := asks.task;
    place := asks.nth;
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

-- Those of the tasks that have not ended, as is_live says it of one. By their ids as values, as a plan for any would open all days.
CREATE FUNCTION {s}.living(ids uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  known uuid[];
  ended uuid[];
BEGIN
  EXECUTE 'SELECT array(SELECT id FROM {l}.task WHERE id = ANY ($1))' INTO known USING ids;
  EXECUTE 'SELECT array(SELECT id FROM {l}.outcome WHERE id = ANY ($1) AND ended <> 0)' INTO ended USING known;
  RETURN array(SELECT unnest(known) EXCEPT SELECT unnest(ended));
END $gristmill$;

-- For programs of the version before, and for insert_unique: the same by the columns.
CREATE OR REPLACE FUNCTION {s}.take_keys(keys jsonb, clock bigint, ending uuid[]) RETURNS uuid[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT {s}.take_keys(array_agg(k.task ORDER BY nth), array_agg(k.kind ORDER BY nth), array_agg(k.key ORDER BY nth), array_agg(k.period ORDER BY nth),
                       array_agg(coalesce(k.lasts, 0::smallint) ORDER BY nth), array_agg(k.wait ORDER BY nth), array_agg(k.max_wait ORDER BY nth),
                       array_agg(k.args ORDER BY nth), clock, ending)
  FROM ROWS FROM (jsonb_to_recordset(keys) AS (task uuid, kind text, key text, period bigint, lasts smallint, wait bigint, max_wait bigint, args text))
    WITH ORDINALITY AS k(task, kind, key, period, lasts, wait, max_wait, args, nth)
$gristmill$;
ALTER FUNCTION {s}.insert_unique(jsonb) SET enable_hashjoin = on;

-- The same of a rate as its type declares it as that of a limit: what Rate::need does of it.
CREATE FUNCTION {s}.rule_of_rate(place text, rate jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  slots  CONSTANT bigint := split_part(rate ->> 'limit', '/', 1);
  unit   CONSTANT text := split_part(rate ->> 'limit', '/', 2);
  per_ms CONSTANT bigint := {s}.duration_of(place || 'rate', to_jsonb(CASE WHEN unit ~ '^[0-9]' THEN unit ELSE '1' || unit END));
  cost   CONSTANT bigint := CASE WHEN jsonb_typeof(rate -> 'cost') = 'number' THEN (rate ->> 'cost')::bigint ELSE 1 END;
  most   CONSTANT bigint := CASE WHEN rate ->> 'strategy' = 'sliding_window' THEN slots
    ELSE coalesce((rate ->> 'burst')::bigint, greatest(least(greatest(slots * 100 / per_ms, 1), 100000), least(cost, slots))) END;
BEGIN
  RETURN jsonb_strip_nulls(jsonb_build_object('key', rate -> 'key', 'limit', slots, 'cost', rate -> 'cost', 'pace', jsonb_build_object(
    'per_ms', per_ms, 'most', most, 'window', nullif(coalesce(rate ->> 'strategy' = 'sliding_window', false), false))));
END $gristmill$;

-- A task as new_task makes it, with the keys that its type declares: what NewTask::resolve does of them. As in additions/0017_unique.sql, but with rates.
CREATE OR REPLACE FUNCTION {s}.with_keys(place text, task jsonb, args jsonb, policy jsonb) RETURNS jsonb
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
  FOR rule IN
    SELECT jsonb_array_elements(coalesce(policy -> 'concurrency', '[]'))
    UNION ALL SELECT {s}.rule_of_rate(place, r) FROM jsonb_array_elements(coalesce(policy -> 'rate', '[]')) AS r
  LOOP
    name := CASE WHEN rule ->> 'key' IS NULL THEN 'type:' || kind ELSE {s}.fill_template(place, rule ->> 'key', args) END;
    IF rule ->> 'key' IS NOT NULL AND rule -> 'until_ended' IS DISTINCT FROM 'true' AND name ~ '^(sequence|after|type|queue|rate):' THEN
      PERFORM {s}.refuse(place || 'args', format('make the key %s, which no limit may have', to_json(name)), 'Give other values.');
    END IF;
    name := CASE WHEN rule -> 'until_ended' = 'true' THEN 'sequence:' WHEN rule -> 'pace' IS NOT NULL THEN 'rate:' ELSE '' END || name;
    slots := {s}.slots_of(place, rule -> 'limit', args);
    cost := {s}.slots_of(place, coalesce(rule -> 'cost', '1'), args);
    IF cost > coalesce((rule #>> '{pace,most}')::integer, slots) THEN
      PERFORM {s}.refuse(place || 'args', format('make a cost of %s, and there are %s at most: such a task could never start', cost, coalesce(rule #>> '{pace,most}', slots::text)), 'Give less.');
    ELSIF needs ? name OR octet_length(name) > 255 THEN
      PERFORM {s}.refuse(place || 'args', format('make the key %s, which is there twice, or too long', to_json(name)), 'Give other values.');
    END IF;
    needs := needs || jsonb_build_object(name, jsonb_strip_nulls(jsonb_build_object(
      'key', name, 'limit', slots, 'cost', nullif(cost, 1), 'until_ended', nullif(rule -> 'until_ended' = 'true', false), 'pace', rule -> 'pace')));
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
    task := task || jsonb_build_object('flags', coalesce((task ->> 'flags')::integer, 0) | {limited}
      | CASE WHEN jsonb_path_exists(needs, '$.*.pace') THEN {rated} ELSE 0 END);
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

-- An attempt that has begun then is over, and the task has ended, so that it gives back what it holds of keys; what it has taken of rates is spent.
CREATE FUNCTION {s}.give_back(ended uuid, began bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $gristmill$
BEGIN
  WITH gone AS (
    DELETE FROM {s}.slot WHERE task = ended RETURNING key, cost
  ), spent AS (
    INSERT INTO {s}.begun(key, at, cost) SELECT key, began, cost FROM gone WHERE starts_with(key, 'rate:')
  )
  INSERT INTO {s}.touched(key) SELECT key FROM gone;
  IF FOUND THEN
    PERFORM set_config('gristmill.touched', 'yes', true);
  END IF;
END $gristmill$;

-- Functions that leave alone what has flags which the version did not know, know one more now; in a store that is new they do already. And what has begun
-- is spent.
DO $gristmill$
DECLARE
  made record;
BEGIN
  FOR made IN
    SELECT pg_catalog.pg_get_functiondef(p.oid) AS text FROM pg_catalog.pg_proc p
    WHERE p.oid IN ('{l}.add_tasks(jsonb, uuid, bigint)'::regprocedure, '{l}.cancel_tasks(uuid[], bigint)'::regprocedure,
                    '{l}.settle_succeeded(uuid, uuid, bigint, text, text, text, jsonb)'::regprocedure)
  LOOP
    EXECUTE replace(replace(replace(made.text, '& (-8)', '& {unknown}'), '& (-4)', '& {lasting}'),
                    '.give_back(lease.id)', '.give_back(lease.id, lease.claimed_at)');
  END LOOP;
END $gristmill$;

REVOKE ALL ON FUNCTION {s}.needs_said(text), {s}.line_up(uuid[], bigint[], integer[]), {s}.stand_by_together(), {s}.stand_down_together(), {s}.rule_of_rate(text, jsonb), {s}.living(uuid[]), {s}.give_back(uuid, bigint),
  {s}.take_keys(uuid[], text[], text[], bigint[], smallint[], bigint[], bigint[], text[], bigint, uuid[]) FROM PUBLIC;
