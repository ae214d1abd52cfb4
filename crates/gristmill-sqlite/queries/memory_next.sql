-- Index: the primary key, in its order. The next task that remembers something.
SELECT task FROM gristmill_memory WHERE task > ?1 ORDER BY task LIMIT 1
