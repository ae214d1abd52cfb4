-- Index: the primary key.
SELECT claim_no, attempt, crashes, ended, finished_at, flags, owed FROM gristmill_outcome
  WHERE seq = ?1 AND ended <> 0 ORDER BY claim_no DESC LIMIT 1
