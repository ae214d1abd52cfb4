-- Index: the primary key. Who suspends waits for what he says then, and for nothing that he left behind.
UPDATE gristmill_memory SET awaits = NULL WHERE task = ?1 AND awaits IS NOT NULL
