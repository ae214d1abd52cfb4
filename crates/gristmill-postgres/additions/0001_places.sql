-- What is beside the plain way of a task: 0 is none of it, which the fast paths ask for. A program leaves alone what has a flag that
-- it does not know. owed: what the end of the task has still to set off.
ALTER TABLE {s}.ready ADD COLUMN flags integer NOT NULL DEFAULT 0;
ALTER TABLE {s}.scheduled ADD COLUMN flags integer NOT NULL DEFAULT 0;
ALTER TABLE {s}.parked ADD COLUMN flags integer NOT NULL DEFAULT 0;
ALTER TABLE {s}.lease ADD COLUMN flags integer NOT NULL DEFAULT 0;
ALTER TABLE {s}.outcome ADD COLUMN owed integer NOT NULL DEFAULT 0;
