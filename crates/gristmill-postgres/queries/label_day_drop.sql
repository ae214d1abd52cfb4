-- Index: the catalog; the primary key of task_rest; label_rest_id. False if that has to be tried again later.
SELECT {s}.drop_label_days()
