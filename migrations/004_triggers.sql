-- Triggers that carry an edit of a spec table over to the state tables. They
-- run as the owner of the schema, so that an operator needs no right on state.

CREATE FUNCTION rotation_policies_before() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.id <> OLD.id THEN
            RAISE EXCEPTION 'the id of a policy cannot change'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'rotation_policies_id_immutable';
        END IF;
        NEW.version := OLD.version + 1;
    ELSE
        NEW.version := 1;
    END IF;
    NEW.updated_at := now();
    NEW.updated_by := coalesce(nullif(current_setting('rotatord.actor', true), ''), session_user);
    RETURN NEW;
END $$;
CREATE TRIGGER rotation_policies_stamp BEFORE INSERT OR UPDATE ON rotation_policies
    FOR EACH ROW EXECUTE FUNCTION rotation_policies_before();

CREATE FUNCTION rotation_policies_after() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rotation_policy_edits (policy_id, version, operation, session_user_name, actor, old_row, new_row)
    VALUES (coalesce(NEW.id, OLD.id), coalesce(NEW.version, OLD.version), lower(TG_OP), session_user,
            nullif(current_setting('rotatord.actor', true), ''), to_jsonb(OLD), to_jsonb(NEW));
    IF TG_OP = 'INSERT' THEN
        INSERT INTO policy_state (policy_id) VALUES (NEW.id);
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM cycle_counters WHERE policy_id = OLD.id;
    END IF;
    PERFORM pg_notify('rotatord_policies', '');
    RETURN NULL;
END $$;
CREATE TRIGGER rotation_policies_record AFTER INSERT OR UPDATE OR DELETE ON rotation_policies
    FOR EACH ROW EXECUTE FUNCTION rotation_policies_after();

CREATE FUNCTION wallets_refuse_change() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'provider, external_id and a public_key once given cannot change; delete the wallet and insert it anew'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'wallets_identity_immutable';
END $$;
CREATE TRIGGER wallets_identity_immutable BEFORE UPDATE ON wallets FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.provider <> OLD.provider OR NEW.external_id <> OLD.external_id
          OR (OLD.public_key IS NOT NULL AND NEW.public_key IS DISTINCT FROM OLD.public_key))
    EXECUTE FUNCTION wallets_refuse_change();

CREATE FUNCTION wallets_inserted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- The history of a deleted wallet stays under its id.
    IF EXISTS (SELECT FROM new_rows n JOIN deleted_wallets d ON d.wallet_id = n.id) THEN
        RAISE EXCEPTION 'a deleted wallet had this id: leave the id out and take the next one'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'wallets_id_never_reused';
    END IF;
    INSERT INTO wallet_state (wallet_id, policy_id, cycle_at, eligible_after)
    SELECT n.id, CASE WHEN n.enabled AND n.paused_reason IS NULL THEN n.policy_id END, now(), now()
    FROM new_rows n ORDER BY n.id;
    RETURN NULL;
END $$;
CREATE TRIGGER wallets_inserted AFTER INSERT ON wallets REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION wallets_inserted();

CREATE FUNCTION wallets_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- In the order of ids, like everybody who locks many of these rows.
    PERFORM FROM wallet_state s JOIN new_rows n ON n.id = s.wallet_id JOIN old_rows o ON o.id = n.id
      WHERE (n.policy_id, n.enabled, n.paused_reason IS NULL)
            IS DISTINCT FROM (o.policy_id, o.enabled, o.paused_reason IS NULL)
      ORDER BY s.wallet_id FOR NO KEY UPDATE OF s;
    -- A wallet that joins another policy waits for that policy's next tick; one
    -- that was only paused goes on where it was.
    UPDATE wallet_state s
       SET policy_id = c.policy_id,
           eligible_after = CASE WHEN c.moved THEN now() ELSE s.eligible_after END
      FROM (SELECT n.id, CASE WHEN n.enabled AND n.paused_reason IS NULL THEN n.policy_id END AS policy_id,
                   n.policy_id IS DISTINCT FROM o.policy_id AS moved
              FROM new_rows n JOIN old_rows o ON o.id = n.id
             WHERE (n.policy_id, n.enabled, n.paused_reason IS NULL)
                   IS DISTINCT FROM (o.policy_id, o.enabled, o.paused_reason IS NULL)) c
     WHERE s.wallet_id = c.id;
    RETURN NULL;
END $$;
CREATE TRIGGER wallets_updated AFTER UPDATE ON wallets REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION wallets_updated();

CREATE FUNCTION wallets_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    head wallet_state;
BEGIN
    -- A claim holds this row while it inserts the rotation: whoever comes
    -- second sees the other.
    SELECT * INTO head FROM wallet_state WHERE wallet_id = OLD.id FOR UPDATE;
    IF EXISTS (SELECT FROM rotations WHERE wallet_id = OLD.id)
       OR EXISTS (SELECT FROM retirements WHERE wallet_id = OLD.id) THEN
        RAISE EXCEPTION 'wallet % has an open rotation or retirement; set enabled = false and wait until it is closed', OLD.id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'wallets_nothing_open';
    END IF;
    INSERT INTO deleted_wallets (wallet_id, provider, external_id, seq, hash, deleted_by)
    VALUES (OLD.id, OLD.provider, OLD.external_id, head.seq, head.hash,
            coalesce(nullif(current_setting('rotatord.actor', true), ''), session_user));
    DELETE FROM wallet_state WHERE wallet_id = OLD.id;
    RETURN OLD;
END $$;
CREATE TRIGGER wallets_deleted BEFORE DELETE ON wallets FOR EACH ROW EXECUTE FUNCTION wallets_deleted();

-- Emptying these tables at once would step around the row triggers.
CREATE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'truncating % is refused', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER wallets_no_truncate BEFORE TRUNCATE ON wallets EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER rotation_policies_no_truncate BEFORE TRUNCATE ON rotation_policies EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER rotations_no_truncate BEFORE TRUNCATE ON rotations EXECUTE FUNCTION refuse_truncate();

CREATE FUNCTION rotation_requests_after() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_notify('rotatord_requests', '');
    RETURN NULL;
END $$;
CREATE TRIGGER rotation_requests_notify AFTER INSERT ON rotation_requests
    FOR EACH STATEMENT EXECUTE FUNCTION rotation_requests_after();

CREATE FUNCTION rotation_requests_refuse() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'rotation_requests is append-only: insert another request instead'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'rotation_requests_append_only';
END $$;
CREATE TRIGGER rotation_requests_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rotation_requests
    FOR EACH STATEMENT EXECUTE FUNCTION rotation_requests_refuse();

CREATE FUNCTION rotation_control_before() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    NEW.updated_by := coalesce(nullif(current_setting('rotatord.actor', true), ''), session_user);
    PERFORM pg_notify('rotatord_policies', '');
    RETURN NEW;
END $$;
CREATE TRIGGER rotation_control_stamp BEFORE INSERT OR UPDATE ON rotation_control
    FOR EACH ROW EXECUTE FUNCTION rotation_control_before();
CREATE FUNCTION rotation_control_refuse() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'rotation_control has exactly one row: update it'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'rotation_control_one_row';
END $$;
CREATE TRIGGER rotation_control_keep BEFORE DELETE OR TRUNCATE ON rotation_control
    FOR EACH STATEMENT EXECUTE FUNCTION rotation_control_refuse();
