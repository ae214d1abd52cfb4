-- Index: the primary key of worker; leases are few.
SELECT count(*) FROM {s}.lease l WHERE NOT EXISTS (SELECT FROM {s}.worker w WHERE w.key = l.worker AND w.expires_at > {now} AND NOT w.lost)
