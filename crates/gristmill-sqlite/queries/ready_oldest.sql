-- Index: the primary key. That of the first in line, who need not have come first.
SELECT CASE task WHEN 0 THEN seq ELSE task END FROM gristmill_ready
  WHERE queue = ?1 AND priority = ?2 ORDER BY seq, turn LIMIT 1
