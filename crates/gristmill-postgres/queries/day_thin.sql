-- Index: the primary keys of task and outcome of that day, in their order; see additions/0010_thin.sql.
SELECT {s}.thin_step({now})
