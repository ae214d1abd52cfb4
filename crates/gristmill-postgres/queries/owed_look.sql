-- Index: outcome_owed.
-- Ends of members that a program wrote which does not know what a member is.
SELECT id FROM {s}.outcome WHERE owed <> 0 AND owed & {member} <> 0 LIMIT $1
