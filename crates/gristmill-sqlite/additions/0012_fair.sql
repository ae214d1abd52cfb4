-- Queues whose keys take turns. turn: that of the last task of a key, as gristmill-core's concurrency/fair.rs reckons it, which matters until spent_until. away: the task that waits in
-- the line of another key for all of this one.
ALTER TABLE gristmill_key ADD COLUMN turn INTEGER;
ALTER TABLE gristmill_key ADD COLUMN away INTEGER;
