-- Roles. Logins are made members of one of them:
--   GRANT rotatord_app TO my_daemon_login;
-- Roles belong to the whole cluster, so another database may have made them.
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['rotatord_app', 'rotatord_migrate', 'rotatord_operator', 'rotatord_readonly'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', r);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;  -- made by another database meanwhile
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'this login may not create the role %: let a superuser run deploy/sql/roles.sql once, then migrate again', r;
        END;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA public TO rotatord_app, rotatord_operator, rotatord_readonly;

-- The daemon: reads all, writes state, may ask for something like a person does.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO rotatord_app;
GRANT INSERT ON rotation_requests TO rotatord_app;
GRANT UPDATE ON wallet_state, policy_state TO rotatord_app;
GRANT INSERT, UPDATE ON rotation_cycles, cycle_counters, provider_state, request_status TO rotatord_app;
GRANT INSERT, UPDATE, DELETE ON rotations, retirements, replicas TO rotatord_app;
GRANT INSERT ON share_set_history TO rotatord_app;

-- People who steer: spec tables and views, no state.
GRANT SELECT, INSERT, UPDATE, DELETE ON rotation_policies, wallets TO rotatord_operator;
GRANT SELECT, INSERT ON rotation_requests TO rotatord_operator;
GRANT SELECT, UPDATE ON rotation_control TO rotatord_operator;
GRANT SELECT ON rotation_policy_edits, request_status, share_set_history, rotation_cycles,
    share_sets, policy_status, wallet_status, rotation_log, attention TO rotatord_operator;

GRANT SELECT ON rotation_policies, wallets, rotation_requests, rotation_control, rotation_policy_edits,
    request_status, share_set_history, rotation_cycles,
    share_sets, policy_status, wallet_status, rotation_log, attention TO rotatord_readonly;
