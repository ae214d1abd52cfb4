-- The values of options, read and checked as the Rust types read them. None is called but by those of 0005.
-- field: its name, with the place of the task before it.

CREATE FUNCTION {s}.refuse(field text, problem text, hint text) RETURNS void
LANGUAGE plpgsql AS $gristmill$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = field || ': ' || problem, HINT = hint;
END $gristmill$;

CREATE FUNCTION {s}.refuse_id(place text, id text) RETURNS void
LANGUAGE plpgsql AS $gristmill$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'unique_violation', MESSAGE = format('%sid: another task has the id %s', place, id),
    HINT = 'An id can be enqueued again only with the same type and arguments.';
END $gristmill$;

-- A UUID of version 7: it begins with its time, so that it lands in its day's partition.
CREATE FUNCTION {s}.new_id() RETURNS uuid
LANGUAGE sql AS $gristmill$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid
$gristmill$;

CREATE FUNCTION {s}.check_name(field text, name text) RETURNS void
LANGUAGE plpgsql AS $gristmill$
BEGIN
  IF name IS NULL OR name = '' THEN
    PERFORM {s}.refuse(field, 'is empty', 'Give it a name.');
  ELSIF octet_length(name) > 255 THEN
    PERFORM {s}.refuse(field, format('is %s bytes long; at most 255 are allowed', octet_length(name)), 'Give it a shorter one.');
  ELSIF name ~ '[\u0001-\u001f\u007f-\u009f]' THEN
    -- It would forge log lines and tables.
    PERFORM {s}.refuse(field, 'holds a control character', 'Write it without.');
  END IF;
END $gristmill$;

CREATE FUNCTION {s}.check_labels(field text, labels text[]) RETURNS void
LANGUAGE plpgsql AS $gristmill$
DECLARE
  label text;
BEGIN
  IF cardinality(labels) > 64 THEN
    PERFORM {s}.refuse(field, format('%s given; at most 64 are kept', cardinality(labels)), 'Give fewer.');
  END IF;
  FOREACH label IN ARRAY labels LOOP
    PERFORM {s}.check_name(field, label);
  END LOOP;
END $gristmill$;

CREATE FUNCTION {s}.text_of(field text, value jsonb) RETURNS text
LANGUAGE plpgsql AS $gristmill$
BEGIN
  IF jsonb_typeof(value) <> 'string' THEN
    PERFORM {s}.refuse(field, 'is not a string', 'Write it in double quotes.');
  END IF;
  RETURN value #>> '{}';
END $gristmill$;

CREATE FUNCTION {s}.tags_of(field text, value jsonb) RETURNS text[]
LANGUAGE plpgsql AS $gristmill$
DECLARE
  tags text[];
BEGIN
  IF value IS NULL THEN
    RETURN '{}';
  ELSIF jsonb_typeof(value) <> 'array'
     OR EXISTS (SELECT FROM jsonb_array_elements(value) AS v WHERE jsonb_typeof(v) <> 'string') THEN
    PERFORM {s}.refuse(field, 'are not a JSON array of strings', 'Write ["a", "b"].');
  END IF;
  tags := ARRAY(SELECT jsonb_array_elements_text(value));
  PERFORM {s}.check_labels(field, tags);
  RETURN tags;
END $gristmill$;

CREATE FUNCTION {s}.flag(field text, value jsonb) RETURNS boolean
LANGUAGE plpgsql AS $gristmill$
BEGIN
  IF jsonb_typeof(value) <> 'boolean' THEN
    PERFORM {s}.refuse(field, 'is not true or false', 'Write true, or leave it out.');
  END IF;
  RETURN value::boolean;
END $gristmill$;

CREATE FUNCTION {s}.is_whole(value jsonb) RETURNS boolean
LANGUAGE plpgsql AS $gristmill$
BEGIN
  -- Not one expression: what is no number can't be cast to one.
  IF jsonb_typeof(value) IS DISTINCT FROM 'number' THEN
    RETURN false;
  END IF;
  RETURN value::numeric = trunc(value::numeric);
END $gristmill$;

CREATE FUNCTION {s}.count_of(field text, value jsonb, low bigint, high bigint) RETURNS bigint
LANGUAGE plpgsql AS $gristmill$
BEGIN
  IF value IS NULL THEN
    RETURN NULL;
  ELSIF NOT {s}.is_whole(value) OR NOT value::numeric BETWEEN low AND high THEN
    PERFORM {s}.refuse(field, format('is not a whole number from %s to %s', low, high),
                       CASE high WHEN 9 THEN '0 is served first, 9 last.' ELSE 'Write one.' END);
  END IF;
  RETURN value::bigint;
END $gristmill$;

CREATE FUNCTION {s}.id_of(field text, value jsonb) RETURNS uuid
LANGUAGE plpgsql AS $gristmill$
BEGIN
  IF value IS NOT NULL AND (value #>> '{}') !~* '^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$' THEN
    PERFORM {s}.refuse(field, 'is not a UUID', 'Write one such as "018f3a5e-7c00-7000-8000-000000000001", or leave it out.');
  END IF;
  RETURN (value #>> '{}')::uuid;
END $gristmill$;

CREATE FUNCTION {s}.ack_of(field text, value jsonb) RETURNS smallint
LANGUAGE plpgsql AS $gristmill$
DECLARE
  code CONSTANT smallint := array_position(ARRAY['late', 'early'], value #>> '{}') - 1;
BEGIN
  IF value IS NOT NULL AND code IS NULL THEN
    PERFORM {s}.refuse(field, 'is neither "late" nor "early"', '"late" is at least once, "early" at most once.');
  END IF;
  RETURN code;
END $gristmill$;

CREATE FUNCTION {s}.retention_of(field text, value jsonb) RETURNS bigint
LANGUAGE plpgsql AS $gristmill$
BEGIN
  RETURN CASE value #>> '{}' WHEN 'forever' THEN -1 WHEN 'none' THEN -2
              ELSE {s}.duration_of(field, value, ' Or "none", or "forever".') END;
END $gristmill$;

-- Milliseconds of "1h30m", or of a number of seconds. At most 100 years.
CREATE FUNCTION {s}.duration_of(field text, value jsonb, others text DEFAULT '') RETURNS bigint
LANGUAGE plpgsql AS $gristmill$
DECLARE
  hint CONSTANT text := 'Write a number and a unit (ms, s, m, h, d, w), such as "100ms", "5s" or "1h30m", or a number of '
                        'seconds.' || others;
  said CONSTANT text := btrim(value #>> '{}', E' \t\n\r');
  ms   double precision;
BEGIN
  IF value IS NULL THEN
    RETURN NULL;
  ELSIF jsonb_typeof(value) = 'number' THEN
    ms := least(value::numeric, 1e10) * 1000;
  ELSIF said = '0' THEN
    ms := 0;
  ELSIF said ~ '^(\d+\.?\d*|\.\d+)\s*(ms|[smhdw])\s*(\d+\.?\d*\s*(ms|[smhdw])\s*)*$' AND jsonb_typeof(value) = 'string' THEN
    SELECT sum(part[1]::double precision * CASE part[2] WHEN 'ms' THEN 1 WHEN 's' THEN 1000 WHEN 'm' THEN 60000
                 WHEN 'h' THEN 3600000 WHEN 'd' THEN 86400000 ELSE 604800000 END)
    INTO ms FROM regexp_matches(left(said, 1000), '([0-9.]+)\s*(ms|[smhdw])', 'g') AS part;
  END IF;
  IF ms IS NULL OR ms < 0 THEN
    PERFORM {s}.refuse(field, format('%s is not a duration', value), hint);
  ELSIF ms > 3153600000000 THEN
    PERFORM {s}.refuse(field, format('%s is too long: at most 36500d can be kept', value), hint);
  END IF;
  RETURN trunc(ms);
END $gristmill$;

-- As format_duration: in the largest unit up to days that makes it whole.
CREATE FUNCTION {s}.duration_text(ms bigint) RETURNS text
LANGUAGE sql AS $gristmill$
  SELECT CASE WHEN ms = 0 THEN '0s' WHEN ms % 86400000 = 0 THEN ms / 86400000 || 'd'
              WHEN ms % 3600000 = 0 THEN ms / 3600000 || 'h' WHEN ms % 60000 = 0 THEN ms / 60000 || 'm'
              WHEN ms % 1000 = 0 THEN ms / 1000 || 's' ELSE ms || 'ms' END
$gristmill$;

-- Milliseconds since 1970 of a date with its time zone, so that the session's zone decides nothing.
CREATE FUNCTION {s}.moment_of(field text, value jsonb) RETURNS bigint
LANGUAGE plpgsql AS $gristmill$
DECLARE
  hint CONSTANT text := 'Write one such as "2027-01-31T09:00:00Z", or pass a timestamptz in jsonb_build_object.';
  ms   bigint;
BEGIN
  IF value IS NULL THEN
    RETURN NULL;
  ELSIF (value #>> '{}') !~* '^\d{4}-\d\d-\d\d[t ]\d\d:\d\d:\d\d(\.\d{1,9})?(z|[+-]\d\d(:?\d\d)?)$' THEN
    PERFORM {s}.refuse(field, format('%s is not an RFC 3339 date', value), hint);
  END IF;
  BEGIN
    ms := floor(extract(epoch FROM (value #>> '{}')::timestamptz) * 1000);
  EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_time_zone_displacement_value THEN
    PERFORM {s}.refuse(field, format('%s is not an RFC 3339 date', value), hint);
  END;
  IF ms NOT BETWEEN 0 AND 253402207200000 THEN
    PERFORM {s}.refuse(field, format('%s is out of range', value), 'Dates from 1970 to 9999 can be kept.');
  END IF;
  RETURN ms;
END $gristmill$;

-- A backoff as Backoff writes it: "5s", ["1s","5s"] or {"exponential":"2s","max":"1h","jitter":true}.
CREATE FUNCTION {s}.backoff_of(field text, value jsonb) RETURNS text
LANGUAGE plpgsql AS $gristmill$
DECLARE
  base   bigint;
  most   bigint;
  jitter boolean;
BEGIN
  CASE jsonb_typeof(value)
    WHEN 'string' THEN
      RETURN to_json({s}.duration_text({s}.duration_of(field, value)));
    WHEN 'array' THEN
      IF jsonb_array_length(value) > 0 THEN
        RETURN array_to_json(ARRAY(SELECT {s}.duration_text({s}.duration_of(field, v)) FROM jsonb_array_elements(value) v));
      END IF;
    WHEN 'object' THEN
      IF value ? 'exponential' AND value - '{exponential,max,jitter}'::text[] = '{}' THEN
        base := {s}.duration_of(field, value -> 'exponential');
        most := coalesce({s}.duration_of(field, nullif(value -> 'max', 'null')), 3600000);
        jitter := coalesce({s}.flag(field || '/jitter', value -> 'jitter'), true);
        IF base > most THEN
          PERFORM {s}.refuse(field, format('begins with %s, which is above its max of %s (1h if it is left out)',
            {s}.duration_text(base), {s}.duration_text(most)), 'Give a larger max.');
        END IF;
        RETURN format('{"exponential":"%s","max":"%s","jitter":%s}', {s}.duration_text(base), {s}.duration_text(most),
                      to_json(jitter));
      END IF;
    ELSE
  END CASE;
  PERFORM {s}.refuse(field, 'is not a backoff',
    'Write a duration ("5s"), a list of durations, or {"exponential": "2s", "max": "1h", "jitter": true}.');
  RETURN NULL;
END $gristmill$;

-- How deep JSON nests. Strings go first: brackets in them nest nothing.
CREATE FUNCTION {s}.depth_of(json text) RETURNS bigint
LANGUAGE sql AS $gristmill$
  SELECT max(depth) FROM (
    SELECT sum(CASE WHEN part IN ('{', '[') THEN 1 WHEN part IN ('}', ']') THEN -1 ELSE 0 END) OVER (ORDER BY place) AS depth
    FROM string_to_table(regexp_replace(json, '"([^"\\]|\\.)*"', '', 'g'), NULL) WITH ORDINALITY AS t(part, place)
  ) d
$gristmill$;

-- Where in the arguments, as JSON Pointer writes it.
CREATE FUNCTION {s}.args_path(place text, field text) RETURNS text
LANGUAGE sql AS $gristmill$
  SELECT place || 'args/' || replace(replace(field, '~', '~0'), '/', '~1')
$gristmill$;
