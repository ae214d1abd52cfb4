-- What is beside the plain way of a task: 0 is none of it, which the fast paths ask for. A program leaves alone what has a flag that
-- it does not know.
ALTER TABLE gristmill_scheduled ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gristmill_parked ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gristmill_lease ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gristmill_outcome ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;
