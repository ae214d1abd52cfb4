-- Queues whose keys take turns. turn: that of the last task of a key, as gristmill-core's concurrency/fair.rs reckons it, which matters until spent_until. away: the task that waits in
-- the line of another key for all of this one.
ALTER TABLE gristmill_key ADD COLUMN turn INTEGER;
ALTER TABLE gristmill_key ADD COLUMN away INTEGER;

-- As in 0008_concurrency.sql; and if one is gone that waited for all of a key, the next of that key has to be sent.
DROP TRIGGER gristmill_stand_down;
CREATE TRIGGER gristmill_stand_down AFTER DELETE ON gristmill_waiting BEGIN
  INSERT OR IGNORE INTO gristmill_touched(key) SELECT key FROM gristmill_standby WHERE task = OLD.seq;
  INSERT OR IGNORE INTO gristmill_touched(key)
    SELECT n.value ->> 'key' FROM gristmill_standby s, json_each(s.needs) n
    WHERE s.task = OLD.seq AND substr(s.key, 1, 5) <> 'fair:' AND substr(n.value ->> 'key', 1, 5) = 'fair:';
  DELETE FROM gristmill_standby WHERE task = OLD.seq;
END;
