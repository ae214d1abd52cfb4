-- What an enqueue writes into the task that has its key and has not begun: its arguments in place of those, or a list beside that one. Why so is in
-- docs/decisions/0018-unique.md.

-- The arguments of a task into which others are written: those others, with the list of both, one behind the other, if `merge` names one. Null if one of
-- them is none, or that is too much. As texts, so that each value stays as it was written.
CREATE FUNCTION {s}.join_args(old text, new text, merge text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  nul    CONSTANT text := chr(92) || 'u0000';
  mark   CONSTANT text := chr(92) || 'uE000';
  blank  CONSTANT text := chr(32) || chr(9) || chr(10) || chr(13);
  first  text;
  second text;
  joined text;
BEGIN
  IF merge = '' THEN
    RETURN CASE WHEN json_typeof(new::json) = 'object' THEN new END;
  ELSIF strpos(old, nul) > 0 OR strpos(new, nul) > 0 THEN
    -- No text of a database holds a NUL, so that another character that nobody uses stands for it meanwhile.
    IF strpos(old || new, mark) > 0 OR strpos(old || new, chr(57344)) > 0 THEN
      RETURN NULL;
    END IF;
    RETURN replace(replace({s}.join_args(replace(old, nul, mark), replace(new, nul, mark), merge), mark, nul), chr(57344), nul);
  ELSIF octet_length(old) + octet_length(new) > {collected_max} OR json_typeof(old::json -> merge) <> 'array' OR json_typeof(new::json -> merge) <> 'array'
     OR old::json -> merge IS NULL OR new::json -> merge IS NULL THEN
    RETURN NULL;
  END IF;
  -- Between their brackets.
  first := btrim(old::json ->> merge, blank);
  first := btrim(substr(first, 2, length(first) - 2), blank);
  second := btrim(new::json ->> merge, blank);
  second := btrim(substr(second, 2, length(second) - 2), blank);
  joined := (
    SELECT '{' || string_agg(to_json(e.key)::text || ':' || CASE WHEN e.key = merge THEN '[' || concat_ws(',', nullif(first, ''), nullif(second, '')) || ']'
                                                               ELSE e.value::text END, ',') || '}'
    FROM json_each(new::json) e
  );
  RETURN CASE WHEN json_typeof(joined::json -> merge) = 'array' THEN joined END;
EXCEPTION WHEN OTHERS THEN
  -- What can't be read is not put together, and stays a task of its own.
  RETURN NULL;
END $gristmill$;

-- As that of additions/0017_unique.sql; whoever admits passes over what is held here, and looks at its line again once it is let go.
CREATE OR REPLACE FUNCTION {s}.hold_unclaimed(id uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  t {s}.task;
BEGIN
  -- Once more, for one that came from one place to another between two looks, or to another queue or priority.
  FOR look IN 1..2 LOOP
    EXECUTE 'SELECT * FROM {l}.task WHERE id = $1' INTO t USING id;
    {hold_and_look}
  END LOOP;
  RETURN false;
END $gristmill$;

-- As hold_unclaimed, but of a ready task the row is made anew: a claim that began before this transaction ends finds the old one gone, and would else take
-- it with the arguments of before.
CREATE FUNCTION {s}.renew_unclaimed(id uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off AS $gristmill$
DECLARE
  t   {s}.task;
  renewed {s}.ready;
BEGIN
  -- Once more, for one that came from one place to another between two looks, or to another queue or priority.
  FOR look IN 1..2 LOOP
    EXECUTE 'SELECT * FROM {l}.task WHERE id = $1' INTO t USING id;
    {renew_unclaimed}
  END LOOP;
  RETURN false;
END $gristmill$;

-- What a task says that is written into the one with its key, as merges has it; null for nothing. What can't be is a text that no list may have.
CREATE FUNCTION {s}.merge_of(unique_key jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT CASE WHEN unique_key ? 'debounce' OR NOT unique_key ? 'merge' THEN NULL
              WHEN unique_key -> 'merge' = '"replace"' THEN ''
              ELSE coalesce(nullif(unique_key -> 'merge' ->> 'collect', ''), '?') END
$gristmill$;

-- Writes arguments into a task that was not claimed, one after the other; false if it is not there any more, if it does not say itself that others are written into it so, or if the
-- first can't be put together with its own. Whoever may only enqueue says what is written, and must not change what others have who never asked for that.
CREATE FUNCTION {s}.write_into(id uuid, args text[], merges text[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  joined text;
  own    text;
BEGIN
  EXECUTE 'SELECT {l}.merge_of(replace(meta, chr(92) || ''u0000'', chr(92) || ''u0001'')::jsonb -> ''unique'') FROM {l}.task WHERE id = $1' INTO own USING id;
  IF own IS NULL OR EXISTS (SELECT FROM unnest(merges) AS m WHERE m IS DISTINCT FROM own) OR NOT {s}.renew_unclaimed(id) THEN
    RETURN false;
  END IF;
  EXECUTE 'SELECT args FROM {l}.task WHERE id = $1' INTO joined USING id;
  FOR n IN 1..cardinality(args) LOOP
    joined := {s}.join_args(joined, args[n], merges[n]);
    IF joined IS NULL THEN
      RETURN false;
    END IF;
  END LOOP;
  EXECUTE 'UPDATE {l}.task SET args = $2 WHERE id = $1 AND args <> $2' USING id, joined;
  RETURN true;
END $gristmill$;

-- Writes arguments into tasks that were made in this transaction: those that take_keys gave a task of the same call.
CREATE FUNCTION {s}.write_into_new(tasks uuid[], args text[], merges text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  into_one record;
BEGIN
  FOR into_one IN
    SELECT x.task, array_agg(x.args ORDER BY x.nth) AS args, array_agg(x.merge ORDER BY x.nth) AS merges
    FROM unnest(tasks, args, merges) WITH ORDINALITY AS x(task, args, merge, nth) GROUP BY x.task
  LOOP
    PERFORM {s}.write_into(into_one.task, into_one.args, into_one.merges);
  END LOOP;
END $gristmill$;

-- As that of additions/0018_rates.sql, with what is to be written into the task that has the key: merges has null for nothing, an empty text for
-- arguments in place of its own, and the name of a list that is put together.
CREATE FUNCTION {s}.take_keys(tasks uuid[], kinds text[], keys text[], periods bigint[], lasting smallint[], waits bigint[], max_waits bigint[],
                              args text[], merges text[], clock bigint, ending uuid[]) RETURNS uuid[]
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
  have    text;
  joined  text;
  known   uuid[];
  taken   uuid[];
  is_mine boolean;
BEGIN
  -- No sum with the clock leaves the numbers, so that no row can make a statement fail that does others' work with it.
  SELECT min(a.nth) INTO wrong
  FROM unnest(keys, periods, lasting, waits, max_waits, args, merges) WITH ORDINALITY AS a(key, period, lasts, wait, max_wait, args, merge, nth)
  WHERE (coalesce(a.period, 0) BETWEEN 0 AND most AND coalesce(a.wait, 0) BETWEEN 0 AND most AND coalesce(a.max_wait, 0) BETWEEN 0 AND most
         AND a.lasts BETWEEN 0 AND 2 AND octet_length(a.key) <= 255 AND octet_length(coalesce(a.args, '')) <= 16777216
         AND (a.merge IS NULL OR a.wait IS NULL AND a.args IS NOT NULL AND a.merge ~ '^[A-Za-z0-9_]{0,255}$')) IS NOT TRUE;
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
    SELECT * FROM unnest(tasks, kinds, keys, periods, lasting, waits, max_waits, args, merges)
      WITH ORDINALITY AS a(task, kind, key, period, lasts, wait, max_wait, args, merge, nth)
    ORDER BY a.kind COLLATE "C", a.key COLLATE "C", CASE WHEN a.wait IS NULL THEN a.nth ELSE -a.nth END
  LOOP
    CONTINUE WHEN asks.task = ANY (known);
    -- The one before in this call, which is not written yet.
    IF before.kind = asks.kind AND before.key = asks.key THEN
      CONTINUE WHEN before.task = asks.task;
      -- Into one that is not written yet the caller writes, once it is.
      joined := CASE WHEN asks.merge IS NOT NULL AND holders[place] IS NULL THEN {s}.join_args(have, asks.args, asks.merge) END;
      IF asks.merge IS NULL OR joined IS NOT NULL OR holders[place] IS NOT NULL AND {s}.write_into(holders[place], ARRAY[asks.args], ARRAY[asks.merge]) THEN
        holders[asks.nth] := coalesce(holders[place], before.task);
        have := joined;
      ELSE
        UPDATE {s}.unique_key u SET task = asks.task, until = now + asks.period, lasts = asks.lasts WHERE u.kind = asks.kind AND u.key = asks.key;
        before.task := asks.task;
        place := asks.nth;
        have := asks.args;
      END IF;
      CONTINUE;
    END IF;
    before.kind := asks.kind;
    before.key := asks.key;
    before.task := asks.task;
    place := asks.nth;
    have := asks.args;
    CONTINUE WHEN asks.task = ANY (taken);
    LOOP
      -- By a statement of its own, which sees who was waited for. One that lives stands for this one, and nobody's lock is taken or waited for.
      SELECT * INTO held FROM {s}.unique_key u WHERE u.kind = asks.kind AND u.key = asks.key;
      is_mine := held.task = asks.task OR held.until IS NULL AND held.task = ANY (ending);
      IF FOUND AND asks.wait IS NULL AND asks.merge IS NULL AND NOT is_mine AND {s}.has_key(held, now)
         AND (held.lasts <> 1 OR held.until IS NOT NULL OR {s}.hold_unclaimed(held.task)) THEN
        holders[asks.nth] := held.task;
        EXIT;
      END IF;
      -- Only with the row in hand is it looked at again, or two would find that it is free.
      SELECT * INTO held FROM {s}.unique_key u WHERE u.kind = asks.kind AND u.key = asks.key FOR UPDATE;
      IF FOUND THEN
        is_mine := held.task = asks.task OR held.until IS NULL AND held.task = ANY (ending);
        IF NOT is_mine AND {s}.has_key(held, now) AND (asks.merge IS NOT NULL OR held.lasts <> 1 OR held.until IS NOT NULL OR {s}.hold_unclaimed(held.task))
           AND (asks.wait IS NULL OR {s}.put_off(held.task, now, asks.wait, asks.max_wait, asks.args))
           AND (asks.merge IS NULL OR held.lasts = 1 AND held.until IS NULL AND {s}.write_into(held.task, ARRAY[asks.args], ARRAY[asks.merge])) THEN
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

-- For programs of the version before.
CREATE OR REPLACE FUNCTION {s}.take_keys(tasks uuid[], kinds text[], keys text[], periods bigint[], lasting smallint[], waits bigint[], max_waits bigint[],
                                         args text[], clock bigint, ending uuid[]) RETURNS uuid[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT {s}.take_keys(tasks, kinds, keys, periods, lasting, waits, max_waits, args, array_fill(NULL::text, ARRAY[cardinality(tasks)]), clock, ending)
$gristmill$;
CREATE OR REPLACE FUNCTION {s}.take_keys(keys jsonb, clock bigint, ending uuid[]) RETURNS uuid[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT {s}.take_keys(array_agg(k.task ORDER BY nth), array_agg(k.kind ORDER BY nth), array_agg(k.key ORDER BY nth), array_agg(k.period ORDER BY nth),
                       array_agg(coalesce(k.lasts, 0::smallint) ORDER BY nth), array_agg(k.wait ORDER BY nth), array_agg(k.max_wait ORDER BY nth),
                       array_agg(k.args ORDER BY nth), array_agg(k.merge ORDER BY nth), clock, ending)
  FROM ROWS FROM (jsonb_to_recordset(keys) AS (task uuid, kind text, key text, period bigint, lasts smallint, wait bigint, max_wait bigint, args text, merge text))
    WITH ORDINALITY AS k(task, kind, key, period, lasts, wait, max_wait, args, merge, nth)
$gristmill$;

-- The keys that tasks have, as insert_tasks takes these; null if none has one. jsonb would refuse a NUL.
CREATE OR REPLACE FUNCTION {s}.keys_of(tasks jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT jsonb_agg(jsonb_build_object(
    'place', nth, 'task', t ->> 'id', 'kind', t ->> 'kind', 'key', u ->> 'key', 'period', (t ->> 'unique_ms')::bigint,
    'lasts', CASE WHEN u ? 'debounce' THEN 2 WHEN u ->> 'until' = 'started' THEN 1 ELSE 0 END,
    'wait', (u -> 'debounce' ->> 'wait_ms')::bigint, 'max_wait', (u -> 'debounce' ->> 'max_wait_ms')::bigint,
    'merge', {s}.merge_of(u),
    'args', CASE WHEN u ? 'debounce' OR u ? 'merge' THEN t ->> 'args' END) ORDER BY nth)
  FROM jsonb_array_elements(tasks) WITH ORDINALITY AS t(t, nth)
  CROSS JOIN LATERAL (SELECT replace(t ->> 'meta', chr(92) || 'u0000', chr(92) || 'u0001')::jsonb -> 'unique' AS u
                      WHERE strpos(t ->> 'meta', '"unique"') > 0) m
  WHERE jsonb_typeof(u -> 'key') = 'string'
$gristmill$;

-- Whether the id of this task, which is taken, is that of a task of its type, and what comes for its key is written into the task that has it. keys: those of the call.
CREATE FUNCTION {s}.is_merged(place bigint, task jsonb, keys jsonb) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT EXISTS (SELECT FROM jsonb_array_elements(keys) AS k WHERE (k ->> 'place')::bigint = place AND k ->> 'merge' IS NOT NULL)
    AND (task ->> 'kind') = (SELECT (SELECT k.name FROM {s}.kind k WHERE k.id = t.kind) FROM {s}.task t WHERE t.id = (task ->> 'id')::uuid)
$gristmill$;

-- As that of additions/0017_unique.sql; what came for a task of the same call is written into it once it is there.
CREATE OR REPLACE FUNCTION {s}.insert_unique(tasks jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_hashjoin = on AS $gristmill$
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
  PERFORM {s}.write_into_new(array_agg(x.holder ORDER BY x.place), array_agg(x.args ORDER BY x.place), array_agg(x.merge ORDER BY x.place))
  FROM (
    SELECT (holders ->> (k ->> 'place'))::uuid AS holder, k ->> 'args' AS args, k ->> 'merge' AS merge, (k ->> 'place')::bigint AS place
    FROM jsonb_array_elements(keys) AS k WHERE k ->> 'merge' IS NOT NULL AND holders ? (k ->> 'place')
  ) x
  WHERE x.holder IN (SELECT (t ->> 'id')::uuid FROM jsonb_array_elements(free) AS t)
  HAVING count(*) > 0;
  RETURN (
    SELECT jsonb_agg(CASE WHEN is_held THEN holders -> nth::text
                          -- Others may have been written into it meanwhile, so that its arguments are other ones.
                          WHEN outcomes[place] = 2 AND {s}.is_merged(nth, t, keys) THEN '1' ELSE to_jsonb(outcomes[place]) END ORDER BY nth) FROM (
      SELECT *, row_number() OVER (PARTITION BY is_held ORDER BY nth) AS place
      FROM (SELECT nth, t, coalesce(holders ? nth::text, false) AS is_held FROM jsonb_array_elements(tasks) WITH ORDINALITY AS t(t, nth)) t
    ) t
  );
END $gristmill$;

-- As that of additions/0018_rates.sql, with those that write into the task that has their key.
CREATE OR REPLACE FUNCTION {s}.with_keys(place text, task jsonb, args jsonb, policy jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  unique_rule CONSTANT jsonb := policy -> 'unique';
  -- All versions of a type share what it may have at once.
  kind  CONSTANT text := coalesce(substring(task ->> 'kind' FROM '^(.+)@(?:[2-9]|[1-9][0-9]|100)$'), task ->> 'kind');
  needs jsonb := '{}';
  rule  jsonb;
  name  text;
  slots integer;
  cost  integer;
  own   jsonb;
  waits jsonb;
  key   text;
  list  text;
  parts text[] := '{}';
BEGIN
  FOR rule IN
    SELECT jsonb_array_elements(coalesce(policy -> 'concurrency', '[]'))
    UNION ALL SELECT {s}.rule_of_rate(place, r) FROM jsonb_array_elements(coalesce(policy -> 'rate', '[]')) AS r
  LOOP
    name := CASE WHEN rule ->> 'key' IS NULL THEN 'type:' || kind ELSE {s}.fill_template(place, rule ->> 'key', args) END;
    IF rule ->> 'key' IS NOT NULL AND rule -> 'until_ended' IS DISTINCT FROM 'true' AND name ~ '^(sequence|after|type|queue|rate|fair):' THEN
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
      'key', name, 'limit', slots, 'cost', nullif(cost, 1), 'until_ended', nullif(rule -> 'until_ended' = 'true', false), 'pace', rule -> 'pace',
      'on_excess', nullif(rule ->> 'on_excess', 'wait'))));
  END LOOP;
  IF jsonb_typeof(unique_rule) = 'object' THEN
    key := CASE WHEN unique_rule ->> 'key' IS NULL THEN '' ELSE {s}.fill_template(place, unique_rule ->> 'key', args) END;
    own := jsonb_build_object('key', key) || (unique_rule - 'key' - 'list');
    IF unique_rule ->> 'on_conflict' IN ('replace', 'collect') THEN
      list := unique_rule ->> 'list';
      IF list IS NOT NULL AND jsonb_typeof(args -> list) IS DISTINCT FROM 'array' THEN
        PERFORM {s}.refuse(place || 'args', format('have no list in %s, where collect puts lists together', to_json(list)), 'Give one, if of one element.');
      END IF;
      own := (own - 'on_conflict') || jsonb_build_object('until', 'started', 'merge',
        CASE WHEN list IS NULL THEN '"replace"'::jsonb ELSE jsonb_build_object('collect', list) END);
    END IF;
    IF unique_rule ->> 'on_conflict' IN ('run_after', 'collect') THEN
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
  IF jsonb_path_exists(needs, '$.* ? (@.until_ended == true)') AND jsonb_path_exists(needs, '$.*.on_excess') THEN
    PERFORM {s}.refuse(place || 'name', 'has a type with on_excess, which ends what would wait, beside a sequence, run_after or collect, by which each task waits for the one before it',
                       'Declare one of them.');
  END IF;
  IF needs <> '{}' THEN
    parts := parts || ('"needs":' || (SELECT jsonb_agg(n.value ORDER BY n.value -> 'on_excess' IS NULL, n.key COLLATE "C") FROM jsonb_each(needs) AS n)::text);
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

REVOKE ALL ON FUNCTION {s}.merge_of(jsonb), {s}.join_args(text, text, text), {s}.renew_unclaimed(uuid), {s}.write_into(uuid, text[], text[]), {s}.is_merged(bigint, jsonb, jsonb), {s}.write_into_new(uuid[], text[], text[]),
  {s}.take_keys(uuid[], text[], text[], bigint[], smallint[], bigint[], bigint[], text[], text[], bigint, uuid[]) FROM PUBLIC;
