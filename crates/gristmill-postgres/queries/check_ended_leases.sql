-- Index: the primary key of outcome; leases are few.
SELECT count(*) FROM {s}.lease l WHERE EXISTS (SELECT FROM {s}.outcome o WHERE o.id = l.id AND o.ended <> 0)
