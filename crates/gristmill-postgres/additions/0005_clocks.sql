-- What tells a worker that is dead from one that only looks so by a clock that was set.

-- lease: how long it is, in milliseconds; null while a version has the row that does not say. lost: it was taken for dead, and nothing
-- revives it. Until then a heartbeat that comes late is as good as one in time.
ALTER TABLE {s}.worker ADD COLUMN lease bigint, ADD COLUMN lost boolean NOT NULL DEFAULT false;
