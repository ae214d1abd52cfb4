-- Index: none: one row a worker process.
SELECT serves FROM {s}.worker WHERE expires_at > {now} AND NOT lost
