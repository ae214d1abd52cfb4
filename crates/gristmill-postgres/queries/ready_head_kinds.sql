-- Index: the primary key, one range for each priority.
-- Of each type and priority the first place and how many there are; and how far tasks have arrived.
WITH {heads}
SELECT h.kind, h.priority::integer, h.first, h.count, pg_sequence_last_value('{l}.arrival')
FROM (VALUES (1)) AS one(row)
LEFT JOIN (SELECT kind, priority, min(seq) AS first, count(*) FROM heads GROUP BY kind, priority) h ON true
