-- Index: scheduled_due, in its order. What this program leaves alone would have sweeps follow each other without a pause.
SELECT run_at - {now} FROM {s}.scheduled WHERE flags & {unknown} = 0 ORDER BY run_at LIMIT 1
