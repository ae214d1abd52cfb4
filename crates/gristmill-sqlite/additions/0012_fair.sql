-- Queues whose keys take turns. turn: that of the last task of a key, as gristmill-core's concurrency/fair.rs reckons it, which matters until spent_until.
ALTER TABLE gristmill_key ADD COLUMN turn INTEGER;
