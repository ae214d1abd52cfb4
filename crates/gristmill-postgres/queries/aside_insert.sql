-- Index: the primary key.
INSERT INTO {s}.aside(task, at, reason, row) VALUES ($2, {now}, $3, $4)
