-- Index: task_member; until that is built, the primary key.
-- $1 is not asked for: the others are numbered as in let_go.sql.
{members}
