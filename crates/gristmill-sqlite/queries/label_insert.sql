-- Index: the primary key.
INSERT OR IGNORE INTO gristmill_label(label, seq) VALUES (?1, ?2)
