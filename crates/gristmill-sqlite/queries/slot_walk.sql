-- Index: the primary key; reads at most ?3 rows.
-- What is taken behind (?1, ?2), and by what kind of hold.
SELECT key, task, until_ended FROM gristmill_slot WHERE (key, task) > (?1, ?2) ORDER BY key, task LIMIT ?3
