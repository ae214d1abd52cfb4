-- Index: the primary key.
INSERT INTO gristmill_step(workflow, number, name, state, members, closed, chore, spec) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
