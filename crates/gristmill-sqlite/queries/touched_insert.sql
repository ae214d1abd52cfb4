-- Index: the primary key.
INSERT OR IGNORE INTO gristmill_touched(key) VALUES (?1)
