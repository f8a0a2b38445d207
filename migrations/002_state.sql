-- State tables: only the daemon writes these. Rows that change are lean and few.

-- One row per wallet; one index finds due wallets, backlog and oldest age.
CREATE TABLE wallet_state (
    wallet_id        bigint PRIMARY KEY,
    policy_id        integer,                               -- null while disabled, paused or without policy
    generation       integer NOT NULL DEFAULT 0,
    seq              integer NOT NULL DEFAULT 0,            -- history head
    cycle_at         timestamptz NOT NULL,                  -- the tick that was satisfied last; monotone
    eligible_after   timestamptz NOT NULL,
    activated_at     timestamptz,
    hash             bytea NOT NULL DEFAULT '',             -- history head
    active_share_set text,                                  -- null until the baseline
    public_key       text,                                  -- baseline; never changes
    CONSTRAINT wallet_state_baseline_complete CHECK ((active_share_set IS NULL) = (public_key IS NULL))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX wallet_state_due ON wallet_state (policy_id, cycle_at, wallet_id) INCLUDE (eligible_after);
-- For the metrics; a wallet leaves it for good with its first rotation.
CREATE INDEX wallet_state_never ON wallet_state (policy_id, cycle_at) INCLUDE (eligible_after) WHERE generation = 0;

CREATE TABLE deleted_wallets (
    wallet_id   bigint PRIMARY KEY,
    provider    text NOT NULL,
    external_id text NOT NULL,
    seq         integer NOT NULL,
    hash        bytea NOT NULL,
    deleted_at  timestamptz NOT NULL DEFAULT now(),
    deleted_by  text NOT NULL
);

CREATE TABLE policy_state (
    policy_id       integer PRIMARY KEY REFERENCES rotation_policies (id) ON DELETE CASCADE,
    running_version bigint,
    running_spec    jsonb,                                  -- the last good version; survives a bad edit and a restart
    schedule_since  timestamptz NOT NULL DEFAULT now(),     -- no tick before it; @every counts from it
    tick            timestamptz,                            -- watermark
    started_until   timestamptz,                            -- pacing of max_per_minute
    judged_version  bigint NOT NULL DEFAULT 0,
    valid           boolean,
    error           text,
    warnings        text[] NOT NULL DEFAULT '{}',
    next_runs       timestamptz[] NOT NULL DEFAULT '{}'
) WITH (fillfactor = 70);

CREATE TABLE rotation_cycles (
    policy_id   integer NOT NULL REFERENCES rotation_policies (id) ON DELETE CASCADE,
    tick        timestamptz NOT NULL,
    state       text NOT NULL DEFAULT 'running',
    trigger     text NOT NULL DEFAULT 'schedule',
    window_ends timestamptz,                                -- null: until the next tick
    total       bigint NOT NULL DEFAULT 0,                  -- wallets that were due when it started
    detail      text NOT NULL DEFAULT '',
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    PRIMARY KEY (policy_id, tick),
    CONSTRAINT rotation_cycles_trigger_known CHECK (trigger IN ('schedule', 'catchup', 'manual')),
    CONSTRAINT rotation_cycles_state_known
        CHECK (state IN ('running', 'completed', 'superseded', 'stopped', 'missed')),
    CONSTRAINT rotation_cycles_ended_when_over CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX rotation_cycles_one_running ON rotation_cycles (policy_id) WHERE state = 'running';

-- One row per replica and cycle, so that replicas do not wait for each other.
-- No foreign key: a rotation may end after its policy was deleted.
CREATE TABLE cycle_counters (
    policy_id integer NOT NULL,
    tick      timestamptz NOT NULL,
    owner     bigint NOT NULL,
    claimed   bigint NOT NULL DEFAULT 0,
    succeeded bigint NOT NULL DEFAULT 0,
    failed    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (policy_id, tick, owner)
) WITH (fillfactor = 20);

-- An epoch is given out once and never again: who was given up for dead comes
-- back under a new one, and what it wrote under the old one finds no row. The
-- daemon draws it: a sequence is set back by a failover that loses commits.
CREATE TABLE replicas (
    epoch      bigint PRIMARY KEY,
    id         text NOT NULL,                               -- host and process, for people
    version    text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE provider_state (
    provider   text PRIMARY KEY,
    hold_until timestamptz,                                 -- from Retry-After
    reason     text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

-- The open rotations only, one per wallet. The wallet_id key is what makes a
-- second open rotation, or a second pending share set of ours, impossible.
CREATE TABLE rotations (
    wallet_id         bigint PRIMARY KEY,
    rotation_id       uuid NOT NULL,
    attempt_id        uuid,
    policy_id         integer,
    tick              timestamptz NOT NULL,
    trigger           text NOT NULL,
    state             text NOT NULL DEFAULT 'waiting',
    attempt           integer NOT NULL DEFAULT 0,
    owner             bigint,                               -- epoch; null: parked
    discard_pending   boolean NOT NULL DEFAULT false,       -- abandoned on record, not yet said to co-signer and vendor
    claimed_at        timestamptz NOT NULL,
    opened_at         timestamptz,
    prepared_at       timestamptz,
    promoted_at       timestamptz,
    in_doubt_since    timestamptz,
    attention_since   timestamptz,
    next_check        timestamptz,
    attention         text,
    error_class       text,
    error             text,
    old_share_set     text,
    pending_share_set text,
    fingerprint       text,                                 -- of the prepared share at the co-signer
    actor             text,
    reason            text,
    refs              jsonb,
    wish              text,                                 -- a person asked to end this attempt
    wish_actor        text,
    CONSTRAINT rotations_wish_known CHECK (wish IN ('abort', 'discard')),
    CONSTRAINT rotations_state_known
        CHECK (state IN ('waiting', 'opening', 'ceremony', 'prepared', 'promoted', 'failed')),
    CONSTRAINT rotations_trigger_known CHECK (trigger IN ('schedule', 'catchup', 'emergency', 'manual')),
    CONSTRAINT rotations_error_class_known
        CHECK (error_class IN ('retryable', 'rate_limited', 'terminal', 'in_doubt', 'verification')),
    CONSTRAINT rotations_pending_set_fits_state
        CHECK ((pending_share_set IS NOT NULL) = (state IN ('ceremony', 'prepared', 'promoted'))),
    CONSTRAINT rotations_attempt_fits_state
        CHECK (state IN ('waiting', 'failed') OR (attempt_id IS NOT NULL AND old_share_set IS NOT NULL)),
    CONSTRAINT rotations_sets_differ CHECK (pending_share_set <> old_share_set),
    CONSTRAINT rotations_attention_dated CHECK ((attention IS NULL) = (attention_since IS NULL))
) WITH (fillfactor = 35, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE FUNCTION rotations_refuse_transition() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'a rotation cannot go from % to %',
        CASE WHEN TG_OP = 'INSERT' THEN 'nothing' ELSE OLD.state END,
        CASE WHEN TG_OP = 'DELETE' THEN 'closed' ELSE NEW.state END
        USING ERRCODE = 'check_violation', CONSTRAINT = 'rotations_transition_allowed';
END $$;
-- The condition is the table of internal/rotation/transitions.go; a test
-- compares the two. It stands in WHEN, of an AFTER trigger, because that costs
-- next to nothing: the function runs only to refuse, and a BEFORE trigger would
-- lock every row it looks at, with a record in the log for each.
CREATE TRIGGER rotations_transition_insert AFTER INSERT ON rotations FOR EACH ROW
    WHEN (NEW.state <> 'waiting') EXECUTE FUNCTION rotations_refuse_transition();
CREATE TRIGGER rotations_transition_update AFTER UPDATE OF state ON rotations FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('waiting', 'opening'), ('waiting', 'failed'),
        ('opening', 'ceremony'), ('opening', 'waiting'),
        ('ceremony', 'prepared'), ('ceremony', 'waiting'),
        ('prepared', 'promoted'), ('prepared', 'waiting'),
        ('failed', 'waiting')))
    EXECUTE FUNCTION rotations_refuse_transition();
-- Nothing ends but by a commit, or before an attempt: a row that goes while one
-- is open would take what is known of its pending set along.
CREATE TRIGGER rotations_transition_delete AFTER DELETE ON rotations FOR EACH ROW
    WHEN (OLD.state NOT IN ('waiting', 'promoted')) EXECUTE FUNCTION rotations_refuse_transition();

-- What is still to be done at the vendor about an old share set after the swap,
-- where there is anything to do. Written in the transaction that records the
-- promotion, and outlives the rotation.
CREATE TABLE retirements (
    wallet_id     bigint NOT NULL,
    new_share_set text NOT NULL,
    old_share_set text NOT NULL,
    rotation_id   uuid NOT NULL,
    attempt_id    uuid,                                     -- null: the swap is not on record, it was found by a look
    fingerprint   text,
    refs          jsonb,
    promoted_at   timestamptz NOT NULL,
    committed_at  timestamptz,                              -- the co-signer says that the new share is current
    due_at        timestamptz NOT NULL,                     -- clean-up at the vendor
    attempts      integer NOT NULL DEFAULT 0,
    next_try      timestamptz,
    owner         bigint,
    error         text,
    attention     text,
    attention_since timestamptz,
    PRIMARY KEY (wallet_id, old_share_set),
    CONSTRAINT retirements_sets_differ CHECK (new_share_set <> old_share_set),
    CONSTRAINT retirements_attention_dated CHECK ((attention IS NULL) = (attention_since IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
-- A grace period of weeks keeps as many rows here as there are wallets.
CREATE INDEX retirements_due ON retirements (next_try) WHERE owner IS NULL AND committed_at IS NOT NULL;

CREATE TABLE request_status (
    request_id  bigint PRIMARY KEY REFERENCES rotation_requests (id),
    state       text NOT NULL,
    detail      text NOT NULL,
    answered_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT request_status_state_known CHECK (state IN ('done', 'refused'))
);
