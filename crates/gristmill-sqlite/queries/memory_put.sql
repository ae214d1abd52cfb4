-- Index: the primary key.
INSERT INTO gristmill_memory(task, position, name, occurrence, code, until, awaits, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
  ON CONFLICT(task, position) DO UPDATE SET name = excluded.name, occurrence = excluded.occurrence, code = excluded.code,
    until = excluded.until, awaits = excluded.awaits, dropped = 0, text = excluded.text
