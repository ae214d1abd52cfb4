-- Index: the unique one on the id of workflow. Reads the steps, until ?1 are found.
SELECT count(*) FROM (SELECT 1 FROM gristmill_step s
  WHERE NOT EXISTS (SELECT 1 FROM gristmill_workflow w WHERE w.id = s.workflow) LIMIT ?1)
