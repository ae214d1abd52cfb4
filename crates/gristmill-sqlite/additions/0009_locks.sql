-- Locks by name, which attempts hold: docs/decisions/0017-locks.md.

-- token: AUTOINCREMENT, as it must never be smaller than one that was given before, whatever was deleted meanwhile. lease and mark: those of the
-- holder's row in lease. One whose holder has no such row any more is free, and whoever takes it replaces the row: no end of an attempt
-- writes here, nor does a program of the version before.
CREATE TABLE gristmill_lock(
  token    INTEGER PRIMARY KEY AUTOINCREMENT,
  name     TEXT    NOT NULL UNIQUE,
  lease    INTEGER NOT NULL,
  mark     BLOB    NOT NULL,
  taken_at INTEGER NOT NULL
) STRICT;
CREATE INDEX gristmill_lock_lease ON gristmill_lock(lease);
CREATE INDEX gristmill_lock_taken ON gristmill_lock(taken_at);
