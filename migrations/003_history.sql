-- One row per share set whose fate is decided. Append-only, hash-chained per
-- wallet: the head is in wallet_state, and the inserting statement compares
-- and sets it. The encoding of the hash is internal/store/chain.go.
CREATE TABLE share_set_history (
    wallet_id    bigint NOT NULL,
    seq          integer NOT NULL,
    generation   integer NOT NULL,
    policy_id    integer,
    outcome      text NOT NULL,
    trigger      text,
    tick         timestamptz,
    opened_at    timestamptz,
    decided_at   timestamptz NOT NULL,
    rotation_id  uuid,
    attempt_id   uuid,
    share_set    text NOT NULL,                             -- the vendor's reference; empty when it was never told
    replaced     text,
    key_fingerprint bytea,                                  -- SHA-256 of the public key, first 16 bytes
    actor        text,
    vendor_said  text,
    hash         bytea NOT NULL,
    PRIMARY KEY (wallet_id, seq),
    CONSTRAINT share_set_history_outcome_known CHECK (outcome IN
        ('baseline', 'activated', 'abandoned', 'rejected', 'failed', 'retired', 'reconciled')),
    -- The hash does not tell null from empty or zero, so only one of them exists.
    CONSTRAINT share_set_history_null_not_empty CHECK (trigger <> '' AND replaced <> '' AND actor <> ''
        AND vendor_said <> '' AND length(key_fingerprint) > 0 AND policy_id <> 0
        AND rotation_id <> '00000000-0000-0000-0000-000000000000'
        AND attempt_id <> '00000000-0000-0000-0000-000000000000'),
    CONSTRAINT share_set_history_seq_positive CHECK (seq > 0),
    CONSTRAINT share_set_history_hash_is_sha256 CHECK (length(hash) = 32)
);
CREATE INDEX share_set_history_decided ON share_set_history USING brin (decided_at);

CREATE FUNCTION share_set_history_refuse() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'share_set_history is append-only: % is refused', lower(TG_OP)
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'share_set_history_append_only';
END $$;
CREATE TRIGGER share_set_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON share_set_history
    FOR EACH STATEMENT EXECUTE FUNCTION share_set_history_refuse();

-- Raises when a batched statement found that part of it lost a race; the whole
-- statement is then undone and each row is tried alone.
CREATE FUNCTION rotatord_same_count(label text, a bigint, b bigint) RETURNS boolean LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF a <> b THEN
        RAISE EXCEPTION '%: % of % rows changed hands meanwhile', label, b - a, b
            USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN true;
END $$;
