-- What planning and reverting take: what the daemon runs of each policy, for
-- those who may only read, and the reason of an edit.

-- Set by the CLI through rotatord.reason, next to rotatord.actor; null: none was
-- given, as with plain SQL.
ALTER TABLE rotation_policy_edits ADD COLUMN reason text;

CREATE OR REPLACE FUNCTION rotation_policies_after() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rotation_policy_edits (policy_id, version, operation, session_user_name, actor, reason, old_row, new_row)
    VALUES (coalesce(NEW.id, OLD.id), coalesce(NEW.version, OLD.version), lower(TG_OP), session_user,
            nullif(current_setting('rotatord.actor', true), ''), nullif(current_setting('rotatord.reason', true), ''),
            to_jsonb(OLD), to_jsonb(NEW));
    IF TG_OP = 'INSERT' THEN
        INSERT INTO policy_state (policy_id) VALUES (NEW.id);
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM cycle_counters WHERE policy_id = OLD.id;
    END IF;
    PERFORM pg_notify('rotatord_policies', '');
    RETURN NULL;
END $$;

-- What ticks are computed from. The runs that it comes to are rotatord plan's to
-- say: cron expressions are not for SQL.
CREATE VIEW running_policies AS
SELECT s.policy_id, s.running_version, s.running_spec, s.schedule_since, s.tick, s.judged_version, s.error, s.warnings,
       (SELECT count(*) FROM rotations r WHERE r.policy_id = s.policy_id AND r.state = 'failed'
           AND (r.error_class IN ('retryable', 'rate_limited', 'in_doubt')) IS NOT TRUE) AS waiting_for_a_person
  FROM policy_state s;

-- The wallets that policies rotate, by the columns that decide which of them a
-- tick takes: cycle_at < tick and eligible_after <= tick.
CREATE VIEW planned_wallets AS
SELECT policy_id, cycle_at, wallet_id, eligible_after FROM wallet_state WHERE policy_id IS NOT NULL;

GRANT SELECT ON running_policies, planned_wallets TO rotatord_app, rotatord_operator, rotatord_readonly;
