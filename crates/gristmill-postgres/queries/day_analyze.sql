-- Index: none: reads a sample of each partition.
SELECT {s}.analyze_days()
