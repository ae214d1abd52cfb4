-- Index: the primary key.
INSERT OR IGNORE INTO gristmill_slot(key, task, cost, until_ended) VALUES (?1, ?2, ?3, ?4)
