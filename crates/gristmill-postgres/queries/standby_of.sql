-- Index: the primary keys; standby_line.
SELECT b.key, b.needs,
       (SELECT count(*) FROM (SELECT FROM {s}.standby o WHERE o.key = b.key AND (o.late, o.seq) < (b.late, b.seq) LIMIT $2) o)
FROM {s}.standby b WHERE b.task = $1
