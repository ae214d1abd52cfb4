-- Index: the primary key, in its order; reads ?1 rows.
SELECT task, position, code, text, until, name, occurrence FROM gristmill_memory ORDER BY task, position LIMIT ?1
