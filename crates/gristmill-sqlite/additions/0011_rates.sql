-- Keys with a rate: how many tasks with one key may begin in a time. What is spent of it is reckoned by gristmill-core's concurrency/spent.rs.

-- pace: what the newest task says of a rate, as JSON; set_pace: what an operator says of it. declared and set_to are 0 of such a key, so that programs that know no rates
-- let nobody in, and do not forget it. spent: what has been taken of a rate, as JSON, which
-- matters until spent_until. look_at: when somebody who waits for it may begin, should nothing else happen.
ALTER TABLE gristmill_key ADD COLUMN pace TEXT;
ALTER TABLE gristmill_key ADD COLUMN set_pace TEXT;
ALTER TABLE gristmill_key ADD COLUMN spent TEXT;
ALTER TABLE gristmill_key ADD COLUMN spent_until INTEGER;
ALTER TABLE gristmill_key ADD COLUMN look_at INTEGER;
CREATE INDEX gristmill_key_look ON gristmill_key(look_at) WHERE look_at IS NOT NULL;

-- As in 0008_concurrency.sql, but with the pace.
DROP TRIGGER gristmill_stand_by;
CREATE TRIGGER gristmill_stand_by AFTER INSERT ON gristmill_waiting BEGIN
  INSERT INTO gristmill_standby(key, late, task, needs)
    SELECT n.needs ->> '$[0].key', NOT EXISTS (SELECT 1 FROM gristmill_slot s WHERE s.task = NEW.seq), NEW.seq, n.needs
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
