-- Index: none: leases are few, as workers hold only what they run soon.
SELECT queue, count(*) FROM {s}.lease GROUP BY queue
