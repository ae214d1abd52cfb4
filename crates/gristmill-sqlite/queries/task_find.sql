-- Index: the unique index on id.
SELECT seq FROM gristmill_task WHERE id = ?1
