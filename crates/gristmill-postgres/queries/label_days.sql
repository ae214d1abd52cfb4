-- Index: the catalog; the primary key of task_rest. False if that has to be tried again later.
SELECT {s}.label_days()
