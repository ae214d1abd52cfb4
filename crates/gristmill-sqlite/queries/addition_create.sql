-- Index: none.
CREATE TABLE IF NOT EXISTS gristmill_addition(
  number     INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL,
  checksum   TEXT    NOT NULL,
  applied_at INTEGER NOT NULL
) STRICT
