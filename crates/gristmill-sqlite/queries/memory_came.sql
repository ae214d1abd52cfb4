-- Index: the primary key.
-- What was awaited has come; what came too late is not that, and nothing is awaited any more.
UPDATE gristmill_memory SET awaits = NULL, code = iif(coalesce(until, ?5) >= ?5, ?3, code), text = iif(coalesce(until, ?5) >= ?5, ?4, text),
    until = iif(coalesce(until, ?5) >= ?5, NULL, until)
  WHERE task = ?1 AND awaits = ?2
