-- Index: the primary key. What came of an event is not waited for again.
INSERT INTO gristmill_memory AS m (task, position, name, occurrence, code, until, awaits, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
  ON CONFLICT(task, position) DO UPDATE SET name = excluded.name, occurrence = excluded.occurrence, code = excluded.code,
    until = excluded.until, awaits = excluded.awaits, dropped = 0, text = excluded.text
  WHERE NOT (m.code = 0 AND excluded.code = 4 AND m.name = excluded.name AND m.occurrence = excluded.occurrence)
