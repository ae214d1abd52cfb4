-- What SQL enqueues costs less, by functions that were there before and answer as they did; and an error that says what it means.

-- Undoes the statement that calls it, as it could not do all of its work. An ERROR with these words in the server's log is no trouble.
CREATE FUNCTION {s}.lease_changed() RETURNS boolean
LANGUAGE plpgsql AS $gristmill$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'UGM01', MESSAGE = 'a lease changed while it was being settled; this is harmless, and tried again';
END $gristmill$;

-- What a type declares; null if nobody has declared it. A function that keeps its plan: most calls are about one task.
CREATE FUNCTION {s}.spec_of(name text) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $gristmill$
BEGIN
  -- A pattern in a schema may hold what jsonb refuses; it is not looked at.
  RETURN (SELECT replace(k.spec, chr(92) || 'u0000', chr(92) || 'u0001')::jsonb FROM {s}.kind k WHERE k.name = spec_of.name AND k.known);
END $gristmill$;

-- As in migrations/0005_enqueue.sql, but what the type declares is given, and how deep arguments nest is not counted letter by letter.
CREATE OR REPLACE FUNCTION {s}.enqueue(name text, args jsonb DEFAULT '{}', options jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  task    CONSTANT jsonb := {s}.new_task('', name, args, options, {s}.spec_of(name));
  outcome CONSTANT smallint := ({s}.insert_tasks(jsonb_build_array(task)))[1];
BEGIN
  IF outcome = 2 THEN
    PERFORM {s}.refuse_id('', task ->> 'id');
  END IF;
  RETURN task ->> 'id';
END $gristmill$;

CREATE OR REPLACE FUNCTION {s}.enqueue_many(tasks jsonb) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $gristmill$
DECLARE
  drafts   jsonb[] := '{}';
  specs    jsonb;
  outcomes smallint[];
  item     jsonb;
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
    drafts := drafts || {s}.new_task(place, item ->> 'name', coalesce(item -> 'args', '{}'), coalesce(item -> 'options', '{}'),
                                     specs -> (item ->> 'name'));
  END LOOP;
  outcomes := {s}.insert_tasks(to_jsonb(drafts));
  FOR n IN 1..cardinality(drafts) LOOP
    IF outcomes[n] = 2 THEN
      PERFORM {s}.refuse_id(format('task %s: ', n), drafts[n] ->> 'id');
    END IF;
    RETURN NEXT (drafts[n] ->> 'id')::uuid;
  END LOOP;
END $gristmill$;

-- One task as insert_tasks takes it: what NewTask::resolve does. place: what errors begin with. spec: what its type declares.
CREATE FUNCTION {s}.new_task(place text, name text, args jsonb, options jsonb, spec jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $gristmill$
DECLARE
  now      CONSTANT bigint := floor(extract(epoch FROM statement_timestamp()) * 1000);
  known    CONSTANT text[] := '{ack,at,backoff,delay,expires,expires_at,force,headers,id,in,max_attempts,max_crashes,priority,'
                              'queue,retention,tags,timeout,title}';
  policy   jsonb;
  forced   boolean;
  wrong    text;
  queue    text;
  delay    bigint;
  at       bigint;
  expires  bigint;
  deadline bigint;
BEGIN
  PERFORM {s}.check_name(place || 'name', name);
  IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
    PERFORM {s}.refuse(place || 'options', CASE WHEN options IS NULL THEN 'are NULL' ELSE 'are not a JSON object' END,
                       'Write {"queue": "mail"}, and {} for none.');
  END IF;
  IF options <> '{}' THEN
    SELECT min(key) INTO wrong FROM jsonb_object_keys(options) AS key WHERE key <> ALL (known);
    IF wrong IS NOT NULL THEN
      PERFORM {s}.refuse(place || 'options/' || wrong, 'is not an option', 'There are ' || array_to_string(known, ', ') || '.');
    END IF;
    -- A null says nothing, as does an option that is not there.
    SELECT coalesce(jsonb_object_agg(key, value), '{}') INTO options FROM jsonb_each(options) WHERE value <> 'null';
  END IF;
  forced := {s}.flag(place || 'force', options -> 'force');
  IF spec IS NULL AND forced IS NOT TRUE THEN
    PERFORM {s}.refuse(place || 'name', format('there is no task type %s', to_json(name)),
      'Check its spelling; a program that has it declares it when it connects. With the option "force": true it is kept for '
      'one that will.');
  END IF;
  policy := spec -> 'policy';
  PERFORM {s}.check_args(place, args, spec -> 'schema');
  queue := {s}.text_of(place || 'queue', options -> 'queue');
  IF queue IS NOT NULL THEN
    PERFORM {s}.check_name(place || 'queue', queue);
  END IF;
  IF options ?& '{delay,in}' OR options ?& '{delay,at}' OR options ?& '{in,at}' THEN
    PERFORM {s}.refuse(place || 'delay', 'stands beside in or at', 'Give one of delay, in (the same) and at.');
  ELSIF options ?& '{expires,expires_at}' THEN
    PERFORM {s}.refuse(place || 'expires', 'stands beside expires_at', 'Give one of them.');
  END IF;
  delay := coalesce({s}.duration_of(place || 'delay', coalesce(options -> 'delay', options -> 'in')), 0);
  at := {s}.moment_of(place || 'at', options -> 'at');
  expires := coalesce({s}.duration_of(place || 'expires', options -> 'expires'),
                      {s}.duration_of(place || 'expires', to_jsonb(nullif(policy ->> 'expires', 'none'))));
  deadline := {s}.moment_of(place || 'expires_at', options -> 'expires_at');
  IF deadline < coalesce(at, now + delay) THEN
    PERFORM {s}.refuse(place || 'expires_at', 'is before the moment at which the task is due', 'Give a later one.');
  ELSIF deadline IS NOT NULL AND at IS NOT NULL THEN
    -- Both are known, so that the form which every store has says it all.
    expires := deadline - at;
    deadline := NULL;
  END IF;
  RETURN jsonb_build_object(
    'id', coalesce({s}.id_of(place || 'id', options -> 'id'), {s}.new_id()),
    'kind', name,
    'queue', coalesce(queue, policy ->> 'queue', 'default'),
    'priority', coalesce({s}.count_of(place || 'priority', options -> 'priority', 0, 9), (policy ->> 'priority')::bigint, 5),
    'max_attempts', coalesce({s}.count_of(place || 'max_attempts', options -> 'max_attempts', 1, 2147483647),
                             (policy ->> 'max_attempts')::bigint, 5),
    'max_crashes', coalesce({s}.count_of(place || 'max_crashes', options -> 'max_crashes', 1, 2147483647),
                            (policy ->> 'max_crashes')::bigint, 3),
    'ack', coalesce({s}.ack_of(place || 'ack', options -> 'ack'), {s}.ack_of('ack', to_jsonb(policy ->> 'ack')), 0),
    'retention', coalesce({s}.retention_of(place || 'retention', options -> 'retention'),
                          {s}.retention_of('retention', to_jsonb(policy ->> 'retention')), 604800000),
    'at', at, 'delay', delay, 'expires', expires, 'deadline', deadline,
    'args', args::text,
    'meta', {s}.meta_of(place, options, policy -> 'tags', deadline));
END $gristmill$;

-- The arguments against the schema, as far as plain SQL can: required fields and the types of those at the top. A worker checks
-- all of it before it runs the task. The error never repeats a value.
CREATE OR REPLACE FUNCTION {s}.check_args(place text, args jsonb, schema jsonb) RETURNS void
LANGUAGE plpgsql AS $gristmill$
DECLARE
  field text;
  types text[];
  bytes integer;
BEGIN
  IF args IS NULL OR jsonb_typeof(args) <> 'object' THEN
    PERFORM {s}.refuse(place || 'args', CASE WHEN args IS NULL THEN 'are NULL' ELSE 'are not a JSON object' END,
                       'Write {"name": "value"}, and {} for none.');
  END IF;
  bytes := octet_length(args::text);
  IF bytes > 262144 THEN
    PERFORM {s}.refuse(place || 'args', format('are %s bytes of JSON; at most 262144 are allowed', bytes),
                       'Keep what is large elsewhere, and pass where it is.');
  ELSIF bytes > 256
    AND jsonb_path_exists(args, 'strict $.**{128} ? (@.type() == "object" || @.type() == "array")') THEN
    PERFORM {s}.refuse(place || 'args', 'nest deeper than 128 levels', 'Pass something flatter.');
  END IF;
  IF jsonb_typeof(schema -> 'required') = 'array' THEN
    SELECT r INTO field FROM jsonb_array_elements_text(schema -> 'required') AS r WHERE NOT args ? r LIMIT 1;
    IF FOUND THEN
      PERFORM {s}.refuse({s}.args_path(place, field), 'is missing', 'The task type requires it.');
    END IF;
  END IF;
  IF jsonb_typeof(schema -> 'properties') = 'object' THEN
    SELECT p.key, t.types INTO field, types
    FROM jsonb_each(schema -> 'properties') p
    CROSS JOIN LATERAL (
      SELECT CASE jsonb_typeof(p.value -> 'type') WHEN 'string' THEN ARRAY[p.value ->> 'type']
                  WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(p.value -> 'type')) END AS types
      -- A schema may be true or false, which has no fields.
      WHERE jsonb_typeof(p.value) = 'object'
    ) t
    WHERE args ? p.key AND t.types IS NOT NULL AND jsonb_typeof(args -> p.key) <> ALL (t.types)
      AND NOT ('integer' = ANY (t.types) AND {s}.is_whole(args -> p.key))
    LIMIT 1;
    IF FOUND THEN
      PERFORM {s}.refuse({s}.args_path(place, field), 'is not of type ' || array_to_string(types, ' or '),
                         'See the schema of the task type, as `gristmill kinds` shows it.');
    END IF;
  END IF;
END $gristmill$;

-- lease_changed() is for everybody: it gives nothing, and a worker without the right could settle nothing at all.
REVOKE ALL ON FUNCTION {s}.spec_of(text), {s}.new_task(text, text, jsonb, jsonb, jsonb) FROM PUBLIC;
