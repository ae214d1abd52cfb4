-- Locks by name, which attempts hold: docs/decisions/0017-locks.md.

-- Of all names together, so that a token is larger than those before it, whatever rows were deleted meanwhile.
CREATE SEQUENCE {s}.lock_token;

-- task and fence: those of the holder's lease; null once it was released. One whose holder has no such lease any more is free, and whoever takes
-- it writes himself into the row: no end of an attempt writes here, nor does a program of the version before. No foreign key, for that reason.
CREATE TABLE {s}.lock(
  token    bigint NOT NULL,
  taken_at bigint NOT NULL,
  task     uuid,
  fence    uuid,
  name     text COLLATE "C" PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX lock_task ON {s}.lock(task) WHERE task IS NOT NULL;
CREATE INDEX lock_taken ON {s}.lock(taken_at);
