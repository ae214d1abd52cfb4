-- Lists: what a task says of itself, filed under so that it is found without reading the others.

-- label: p:PARENT, s:SCHEDULE, n:TITLE, t:TAG or w:WORD of title and tags, as gristmill-core's kit/list.rs has them. A task without
-- any has no row.
CREATE TABLE gristmill_label(
  label TEXT    NOT NULL,
  seq   INTEGER NOT NULL,
  PRIMARY KEY(label, seq)
) STRICT, WITHOUT ROWID;

-- Tasks below this key may have come before there were labels. Sweeps label them, from the newest on.
CREATE TABLE gristmill_label_gap(
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  below INTEGER NOT NULL
) STRICT;
INSERT INTO gristmill_label_gap SELECT 1, coalesce(max(seq), -1) + 1 FROM gristmill_task;

-- The labels of each task, by what it says; to be asked for one task or a range. Words are what `words` of gristmill-core says:
-- space and the punctuation of ASCII stand between two.
CREATE VIEW gristmill_task_label(seq, label) AS
  SELECT t.seq, 'p:' || json_extract(t.meta, '$.parent') FROM gristmill_task t
    WHERE t.meta IS NOT NULL AND json_valid(t.meta) AND json_extract(t.meta, '$.parent') IS NOT NULL
  UNION ALL
  SELECT t.seq, 's:' || json_extract(t.meta, '$.headers.schedule') FROM gristmill_task t
    WHERE t.meta IS NOT NULL AND json_valid(t.meta) AND json_extract(t.meta, '$.headers.schedule') IS NOT NULL
  UNION ALL
  SELECT t.seq, 'n:' || json_extract(t.meta, '$.title') FROM gristmill_task t
    WHERE t.meta IS NOT NULL AND json_valid(t.meta) AND json_extract(t.meta, '$.title') IS NOT NULL
  UNION ALL
  SELECT t.seq, 't:' || tag.value FROM gristmill_task t JOIN json_each(t.meta, '$.tags') tag
    WHERE t.meta IS NOT NULL AND json_valid(t.meta)
  UNION ALL
  SELECT x.seq, 'w:' || word.value
    FROM (SELECT seq, replace(replace(replace(replace(replace(replace(replace(replace(text, ']', ' '), '^', ' '), '_', ' '), '`', ' '), '{', ' '), '|', ' '), '}', ' '), '~', ' ') AS text
    FROM (SELECT seq, replace(replace(replace(replace(replace(replace(replace(replace(text, ';', ' '), '<', ' '), '=', ' '), '>', ' '), '?', ' '), '@', ' '), '[', ' '), '\', ' ') AS text
    FROM (SELECT seq, replace(replace(replace(replace(replace(replace(replace(replace(text, ')', ' '), '*', ' '), '+', ' '), ',', ' '), '-', ' '), '.', ' '), '/', ' '), ':', ' ') AS text
    FROM (SELECT seq, replace(replace(replace(replace(replace(replace(replace(replace(text, '!', ' '), '"', ' '), '#', ' '), '$', ' '), '%', ' '), '&', ' '), '''', ' '), '(', ' ') AS text
    FROM (
      SELECT t.seq, json_extract(t.meta, '$.title') AS text FROM gristmill_task t
        WHERE t.meta IS NOT NULL AND json_valid(t.meta) AND json_extract(t.meta, '$.title') IS NOT NULL
      UNION ALL
      SELECT t.seq, tag.value FROM gristmill_task t JOIN json_each(t.meta, '$.tags') tag
        WHERE t.meta IS NOT NULL AND json_valid(t.meta)
    ))))) x JOIN json_each('[' || replace(json_quote(lower(x.text)), ' ', '","') || ']') word
    WHERE word.value <> '';

-- labelled: 1 if whoever enqueued the task has written its labels, too, which is much quicker. For all others, and the version
-- before, there is a trigger. A task without a meta costs a look at it.
ALTER TABLE gristmill_task ADD COLUMN labelled INTEGER;
CREATE TRIGGER gristmill_label_new AFTER INSERT ON gristmill_task WHEN NEW.meta IS NOT NULL AND NEW.labelled IS NULL BEGIN
  INSERT INTO gristmill_label SELECT DISTINCT label, seq FROM gristmill_task_label WHERE seq = NEW.seq;
END;
CREATE TRIGGER gristmill_label_old BEFORE DELETE ON gristmill_task WHEN OLD.meta IS NOT NULL BEGIN
  DELETE FROM gristmill_label
    WHERE seq = OLD.seq AND label IN (SELECT label FROM gristmill_task_label WHERE seq = OLD.seq);
END;
