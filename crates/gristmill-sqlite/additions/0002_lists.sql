-- Lists: what a task says of itself, filed under so that it is found without reading the others.

-- label: p:PARENT, s:SCHEDULE, n:TITLE, t:TAG or w:WORD of title and tags, as gristmill-core's kit/list.rs has them. A task without
-- any has no row. Whoever enqueues a task writes them, and whoever deletes it, deletes them: triggers would double the cost of
-- those tasks that have none. One that an older program has deleted leaves them, and they lead nowhere.
CREATE TABLE gristmill_label(
  label TEXT    NOT NULL,
  seq   INTEGER NOT NULL,
  PRIMARY KEY(label, seq)
) STRICT, WITHOUT ROWID;

-- labelled: 1 once they are written. Those that say something of themselves and are not labelled came before there were labels, or
-- from an older program; sweeps label them, the newest first, and lists look through them meanwhile.
ALTER TABLE gristmill_task ADD COLUMN labelled INTEGER;
CREATE INDEX gristmill_task_unlabelled ON gristmill_task(seq) WHERE meta IS NOT NULL AND labelled IS NULL;
