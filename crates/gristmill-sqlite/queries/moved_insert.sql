-- Index: the primary key.
INSERT OR REPLACE INTO gristmill_moved(task, queue, priority, seq, turn) VALUES (?1, ?2, ?3, ?4, ?5)
