-- Index: the unique index on name.
INSERT INTO gristmill_kind(name, spec) VALUES (?1, ?2)
  ON CONFLICT(name) DO UPDATE SET spec = excluded.spec WHERE spec IS NOT excluded.spec
