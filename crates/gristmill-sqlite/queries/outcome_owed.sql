-- Index: gristmill_outcome_owed, in its order.
SELECT seq, claim_no, ended FROM gristmill_outcome INDEXED BY gristmill_outcome_owed WHERE owed <> 0 AND owed & ?1 <> 0 AND owed & ?2 = 0
  ORDER BY seq LIMIT ?3
