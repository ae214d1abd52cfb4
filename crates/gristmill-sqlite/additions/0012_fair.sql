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

-- As in 0011_rates.sql, but in the order of arrival with those that come into a line for all of a key. late: 0 of those that hold slots, as before; 1 of those that an older
-- program put here, which came before; else 2^20 times the task's seq, and a little more than the last of all tasks or of the line has for one that is sent here.
DROP TRIGGER gristmill_stand_by;
CREATE TRIGGER gristmill_stand_by AFTER INSERT ON gristmill_waiting BEGIN
  INSERT INTO gristmill_standby(key, late, task, needs)
    SELECT n.needs ->> '$[0].key', iif(EXISTS (SELECT 1 FROM gristmill_slot s WHERE s.task = NEW.seq), 0, NEW.seq << 20), NEW.seq, n.needs
    FROM (SELECT json_extract(meta, '$.needs') AS needs FROM gristmill_task WHERE seq = NEW.seq AND json_valid(meta)) n
    WHERE json_type(n.needs, '$[0].key') = 'text';
  INSERT OR IGNORE INTO gristmill_touched(key) SELECT key FROM gristmill_standby WHERE task = NEW.seq;
  INSERT INTO gristmill_key(key, declared, pace, set_to, said_by)
    SELECT n.value ->> 'key', iif(json_type(n.value, '$.pace') = 'object', 0, n.value ->> 'limit'),
           iif(json_type(n.value, '$.pace') = 'object', json_set(n.value -> 'pace', '$.count', n.value ->> 'limit'), NULL),
           iif(json_type(n.value, '$.pace') = 'object', 0, NULL), NEW.seq
    FROM gristmill_standby s, json_each(s.needs) n
    WHERE s.task = NEW.seq AND NEW.claim_no = 0 AND json_type(n.value, '$.key') = 'text' AND json_type(n.value, '$.limit') = 'integer'
    ON CONFLICT(key) DO UPDATE SET declared = excluded.declared, pace = excluded.pace, said_by = excluded.said_by
    WHERE (declared IS NOT excluded.declared OR pace IS NOT excluded.pace) AND said_by < excluded.said_by;
END;
