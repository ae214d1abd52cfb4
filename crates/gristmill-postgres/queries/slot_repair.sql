-- Index: the primary keys; slot_task; those of the places.
-- Among what is taken behind ($1, $2), what is held by nobody who may hold it is free again. Says how far it came, if that was not to the end,
-- and whether anything was found.
WITH part AS MATERIALIZED (
  SELECT key, task, seq, until_ended FROM {s}.slot WHERE (key, task) > ($1, $2) ORDER BY key, task LIMIT $3
), lost AS MATERIALIZED (
  SELECT p.key, p.task FROM part p
  WHERE NOT EXISTS (SELECT FROM {s}.lease l WHERE l.id = p.task)
    AND NOT EXISTS (SELECT FROM {s}.ready r WHERE r.id = p.task AND r.flags <> 0)
    AND NOT EXISTS (SELECT FROM {s}.parked r WHERE r.id = p.task AND r.flags <> 0)
    -- Whoever admits it counts on them.
    AND NOT EXISTS (SELECT FROM {s}.standby b WHERE b.task = p.task AND NOT b.late)
    AND NOT (p.until_ended AND (
      EXISTS (SELECT FROM {s}.waiting w WHERE w.id = p.task) OR EXISTS (SELECT FROM {s}.blocked b WHERE b.id = p.task)
      OR EXISTS (SELECT FROM {s}.scheduled d WHERE d.seq = p.seq AND d.id = p.task)))
), gone AS (
  DELETE FROM {s}.slot s USING lost l WHERE s.key = l.key AND s.task = l.task RETURNING s.key
), told AS (
  INSERT INTO {s}.touched(key) SELECT DISTINCT key FROM gone
)
SELECT (SELECT count(*) FROM part) = $3, (SELECT key FROM part ORDER BY key DESC, task DESC LIMIT 1),
       (SELECT task FROM part ORDER BY key DESC, task DESC LIMIT 1), EXISTS (SELECT FROM lost)
