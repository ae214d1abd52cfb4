-- Index: the unique index on id; none on kind: one row a task type. What is paused is of the same moment as the epoch.
SELECT key, epoch, name, serves, ARRAY(SELECT id FROM {s}.kind WHERE paused) FROM {s}.worker WHERE id = $2 AND expires_at > {now} AND NOT lost
