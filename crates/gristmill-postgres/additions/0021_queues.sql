-- Task types that nobody claims for a time.

-- paused: as of a queue. Whoever pauses or resumes a type gives each worker a new epoch afterwards, so that its next claim reads anew what it may take.
ALTER TABLE {s}.kind ADD COLUMN paused boolean NOT NULL DEFAULT false;
