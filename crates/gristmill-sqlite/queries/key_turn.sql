-- Index: the primary keys.
-- And the name of that queue. The turn of the last task of the key ?1; the highest of its line, that of the queue ?2 and the priority ?3, by its key ?5; and the place of the first who stands in that line by his turn, from ?4 on.
SELECT (SELECT turn FROM gristmill_key WHERE key = ?1), (SELECT turn FROM gristmill_key WHERE key = ?5),
       (SELECT seq FROM gristmill_ready WHERE queue = ?2 AND priority = ?3 AND seq >= ?4 ORDER BY seq LIMIT 1),
       (SELECT name FROM gristmill_queue WHERE id = ?2)
