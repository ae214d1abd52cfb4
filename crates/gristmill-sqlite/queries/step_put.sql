-- Index: the primary key.
UPDATE gristmill_step SET state = ?3, members = ?4, closed = ?5, succeeded = ?6, failed = ?7, cancelled = ?8, chore = ?9, chore_from = ?10
  WHERE workflow = ?1 AND number = ?2
