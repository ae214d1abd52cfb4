-- Index: none: the server's own state.
SELECT current_setting('server_version'), current_setting('server_version_num')::integer, pg_is_in_recovery(),
       current_setting('default_transaction_read_only') = 'on', current_setting('autovacuum') = 'on',
       current_setting('track_counts') = 'on', current_setting('fsync') = 'on', current_setting('synchronous_commit'),
       floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
       (SELECT max(number) FROM {s}.migration), current_user::text,
       (SELECT count(*) FROM {s}.addition)
