-- Index: the primary key.
DELETE FROM gristmill_lease WHERE seq = ?1 AND mark = ?2
  RETURNING worker, attempt, claim_no, crashes, started, cancel, noted, retention, claimed_at, flags
