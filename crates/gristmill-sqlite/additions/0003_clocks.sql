-- What tells a worker that is dead from one that only looks so by a clock that was set.

-- lease: how long it is, in milliseconds; null while a version has the row that does not say. lost: 1 once the worker was taken for
-- dead; nothing revives it then. Until then a heartbeat that comes late is as good as one in time.
ALTER TABLE gristmill_worker ADD COLUMN lease INTEGER;
ALTER TABLE gristmill_worker ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
