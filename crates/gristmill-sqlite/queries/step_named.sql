-- Index: the primary key. Reads the steps of one workflow.
SELECT number FROM gristmill_step WHERE workflow = ?1 AND name = ?2
