-- Keys with a limit: how many tasks with one key may run at once. Who is admitted is decided by gristmill-core's concurrency/admission.rs.

-- declared: what the newest task says, of those that said something else than those before it, whose key is said_by; set_to: what an operator says,
-- which holds until it is null again.
CREATE TABLE gristmill_key(
  key      TEXT    NOT NULL PRIMARY KEY,
  declared INTEGER,
  said_by  INTEGER NOT NULL DEFAULT 0,
  set_to   INTEGER
) STRICT, WITHOUT ROWID;

-- What is taken of a key: by tasks that are ready or run, and with until_ended by those that have not ended.
CREATE TABLE gristmill_slot(
  key         TEXT    NOT NULL,
  task        INTEGER NOT NULL,
  cost        INTEGER NOT NULL,
  until_ended INTEGER NOT NULL,
  PRIMARY KEY(key, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX gristmill_slot_task ON gristmill_slot(task);

-- Tasks of gristmill_waiting, each in the line of one of its keys. late: 0 for one that holds slots already, which goes before all others, as they
-- may wait for those. needs: what the task says of all its keys.
CREATE TABLE gristmill_standby(
  key   TEXT    NOT NULL,
  late  INTEGER NOT NULL,
  task  INTEGER NOT NULL,
  needs TEXT    NOT NULL,
  PRIMARY KEY(key, late, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX gristmill_standby_task ON gristmill_standby(task);

-- Keys of which something has changed, so that somebody may be admitted.
CREATE TABLE gristmill_touched(key TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;

-- Whoever comes to wait stands in the line of his first key, by whatever driver or program he comes; and whoever waits no more leaves it.
CREATE TRIGGER gristmill_stand_by AFTER INSERT ON gristmill_waiting BEGIN
  INSERT INTO gristmill_standby(key, late, task, needs)
    SELECT n.needs ->> '$[0].key', NOT EXISTS (SELECT 1 FROM gristmill_slot s WHERE s.task = NEW.seq), NEW.seq, n.needs
    FROM (SELECT json_extract(meta, '$.needs') AS needs FROM gristmill_task WHERE seq = NEW.seq AND json_valid(meta)) n
    WHERE json_type(n.needs, '$[0].key') = 'text';
  INSERT OR IGNORE INTO gristmill_touched(key) SELECT key FROM gristmill_standby WHERE task = NEW.seq;
  INSERT INTO gristmill_key(key, declared, said_by)
    SELECT n.value ->> 'key', n.value ->> 'limit', NEW.seq FROM gristmill_standby s, json_each(s.needs) n
    WHERE s.task = NEW.seq AND NEW.claim_no = 0 AND json_type(n.value, '$.key') = 'text' AND json_type(n.value, '$.limit') = 'integer'
    ON CONFLICT(key) DO UPDATE SET declared = excluded.declared, said_by = excluded.said_by
    WHERE declared IS NOT excluded.declared AND said_by < excluded.said_by;
END;
CREATE TRIGGER gristmill_stand_down AFTER DELETE ON gristmill_waiting BEGIN
  INSERT OR IGNORE INTO gristmill_touched(key) SELECT key FROM gristmill_standby WHERE task = OLD.seq;
  DELETE FROM gristmill_standby WHERE task = OLD.seq;
END;
