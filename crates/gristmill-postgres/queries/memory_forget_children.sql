-- Index: the primary keys of memory and workflow.
-- Of what tasks that are retried by hand have started: what has ended, or is about to. These start it anew.
DELETE FROM {s}.memory m USING (
  SELECT task, position, translate(CASE code WHEN 7 THEN substr(text, 3, 36) ELSE text END, '-', '') AS id
  FROM {s}.memory WHERE task = ANY($1) AND code IN (6, 7) OFFSET 0
) c
WHERE m.task = c.task AND m.position = c.position AND CASE
  WHEN length(c.id) = 32 AND c.id ~ '^[0-9a-f]+$' THEN
    NOT EXISTS (SELECT FROM {s}.workflow w WHERE w.id = c.id::uuid AND w.ended = 0 AND NOT w.cancelled OFFSET 0)
  ELSE false
END
