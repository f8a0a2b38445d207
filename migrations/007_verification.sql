-- What verifying the history takes: the heads of all chains, for those who may
-- only read, and the record of the daemon's own verifications.

-- The head of every wallet's history, deleted wallets included. Both halves
-- have an index on wallet_id and nothing beside a plain scan, so that a walk in
-- the order of wallet ids reads no more than it is asked for.
CREATE VIEW history_heads AS
SELECT wallet_id, seq, hash, generation, active_share_set, public_key, false AS deleted FROM wallet_state
UNION ALL
SELECT wallet_id, seq, hash, NULL::integer, NULL::text, NULL::text, true FROM deleted_wallets;

-- One row per verification in the background, kept for ever. One replica walks
-- at a time; it renews its hold with each step, and who falls silent is
-- replaced by another, which goes on at next_wallet.
CREATE TABLE history_verifications (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at     timestamptz,                               -- null: under way
    owner        uuid NOT NULL,
    renewed_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_wallet  bigint NOT NULL,                           -- all below it are done
    wallets      bigint NOT NULL DEFAULT 0,                 -- that have a history
    history_rows bigint NOT NULL DEFAULT 0,
    broken       bigint NOT NULL DEFAULT 0,                 -- wallets
    digest       bytea NOT NULL,                            -- over the heads so far, see docs/history.md
    CONSTRAINT history_verifications_digest_is_sha256 CHECK (length(digest) = 32)
);
CREATE UNIQUE INDEX history_verifications_one_running ON history_verifications ((true)) WHERE ended_at IS NULL;

-- Wallets whose history is broken, by the last verification and the one under
-- way; at most a thousand of each.
CREATE TABLE history_breaks (
    wallet_id       bigint NOT NULL,
    verification_id bigint NOT NULL REFERENCES history_verifications (id),
    found_at        timestamptz NOT NULL,                   -- by the first verification in a row
    seq             integer NOT NULL,                       -- 0: not one row alone
    what            text NOT NULL,
    breaks          integer NOT NULL,                       -- that one included
    PRIMARY KEY (wallet_id, verification_id)
);

CREATE OR REPLACE VIEW attention AS
SELECT a.wallet_id, p.name AS policy, a.reason, a.since, a.detail,
       CASE a.reason
         WHEN 'baseline_mismatch' THEN 'compare the wallet row with the vendor and the co-signer, correct it, then request retry'
         WHEN 'drift' THEN 'find out who changed the share set at the vendor; bring the co-signer''s share for it, then request retry'
         WHEN 'key_at_risk' THEN 'do not delete any share; restore the co-signer''s share for the active set, then request retry'
         WHEN 'prepared_share_lost' THEN 'the old share set is still active; check that at the vendor, then request discard'
         WHEN 'promote_refused' THEN 'ask the vendor why; then request retry, or check that the old set is active and request discard'
         WHEN 'in_doubt' THEN 'the vendor cannot be asked whether it swapped the share set; when it answers, request retry'
         WHEN 'commit_pending' THEN 'the vendor swapped but the co-signer has not committed: bring the co-signer back; signing may fail until then'
         WHEN 'promotion_stuck' THEN 'the new share set is prepared and cannot be promoted; mend the cause that the error names, it then goes on by itself'
         WHEN 'waits_for_approval' THEN 'let those approve whom the detail names, at the vendor'
         WHEN 'attempts_used_up' THEN 'look at the error; the next tick tries again by itself, or request retry'
         WHEN 'history_broken' THEN 'keep the database as it is and compare it with an exported copy: rotatord verify-history --against FILE'
         ELSE 'look at the error, mend its cause, then request retry'
       END AS next_step
  FROM (SELECT wallet_id, policy_id, attention AS reason, attention_since AS since, coalesce(error, '') AS detail
          FROM rotations WHERE attention IS NOT NULL
        UNION ALL
        SELECT t.wallet_id, w.policy_id, t.attention, t.attention_since, coalesce(t.error, '')
          FROM retirements t JOIN wallets w ON w.id = t.wallet_id WHERE t.attention IS NOT NULL
        UNION ALL
        SELECT b.wallet_id, w.policy_id, 'history_broken', b.found_at,
               CASE WHEN b.seq > 0 THEN 'row ' || b.seq || ': ' ELSE '' END || b.what
                 || CASE WHEN b.breaks > 1 THEN '; ' || b.breaks - 1 || ' more' ELSE '' END
          FROM (SELECT DISTINCT ON (wallet_id) * FROM history_breaks ORDER BY wallet_id, verification_id DESC) b
          LEFT JOIN wallets w ON w.id = b.wallet_id) a
  LEFT JOIN rotation_policies p ON p.id = a.policy_id;

GRANT SELECT ON history_heads, history_verifications, history_breaks, deleted_wallets,
    rotatord_schema, rotatord_schema_version TO rotatord_app, rotatord_operator, rotatord_readonly;
GRANT INSERT, UPDATE ON history_verifications TO rotatord_app;
GRANT INSERT, DELETE ON history_breaks TO rotatord_app;
