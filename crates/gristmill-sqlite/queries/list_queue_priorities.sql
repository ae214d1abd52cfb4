-- Index: the primary key, in its order.
SELECT queue, priority FROM gristmill_ready WHERE (queue, priority) > (?1, ?2) ORDER BY queue, priority LIMIT 1
