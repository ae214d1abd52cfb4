-- Index: the primary key.
UPDATE gristmill_step SET tolerance = ?3 WHERE workflow = ?1 AND number = ?2
