-- Task types that nobody claims for a time.

-- paused: as of a queue. epoch: grows whenever a type is paused or resumed, so that whoever claims for the worker reads anew what it may take: a claim
-- reads the worker's row anyway, and no other table for this.
ALTER TABLE gristmill_kind ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gristmill_worker ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
