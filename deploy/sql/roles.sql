-- Once per PostgreSQL cluster, by a superuser, where the login that migrates
-- may not create roles. Then make logins members of them, for example:
--   CREATE ROLE rotatord LOGIN PASSWORD '…' IN ROLE rotatord_app;
--   CREATE ROLE rotatord_schema LOGIN PASSWORD '…' IN ROLE rotatord_migrate;
--   CREATE ROLE alice LOGIN PASSWORD '…' IN ROLE rotatord_operator;
CREATE ROLE rotatord_app NOLOGIN;       -- the daemon
CREATE ROLE rotatord_migrate NOLOGIN;   -- owns the schema; needs CREATE on schema public of its database
CREATE ROLE rotatord_operator NOLOGIN;  -- people who edit policies and wallets
CREATE ROLE rotatord_readonly NOLOGIN;  -- people and tools that only look
