-- Index: scheduled_due.
SELECT min(run_at) - {now} FROM {s}.scheduled
