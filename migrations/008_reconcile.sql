-- The comparison of vendor, co-signer and record without rotating.

-- A rotation with this wish looks, lets the record follow, and is closed.
ALTER TABLE rotations DROP CONSTRAINT rotations_wish_known;
ALTER TABLE rotations ADD CONSTRAINT rotations_wish_known CHECK (wish IN ('abort', 'discard', 'reconcile'));
ALTER TABLE rotations ADD CONSTRAINT rotations_reconcile_opens_nothing
    CHECK (wish <> 'reconcile' OR state IN ('waiting', 'failed'));

-- The one walk over all wallets that runs, or ran last. It belongs to a replica
-- as a rotation does, and goes on with another one where that left it.
CREATE TABLE reconcile_state (
    id           boolean PRIMARY KEY DEFAULT true,
    tick         timestamptz NOT NULL DEFAULT now(),        -- that it satisfies; none before this table was made
    running      boolean NOT NULL DEFAULT false,
    owner        bigint,                                    -- epoch; null: nobody's
    last_wallet  bigint NOT NULL DEFAULT 0,                 -- compared so far, in the order of ids
    counts       jsonb NOT NULL DEFAULT '{}',               -- provider → result → wallets, so far
    completed_at timestamptz,                               -- of the last walk that came to its end
    results      jsonb NOT NULL DEFAULT '{}',               -- its counts
    CONSTRAINT reconcile_state_one_row CHECK (id),
    CONSTRAINT reconcile_state_owner_of_a_walk CHECK (running OR owner IS NULL)
) WITH (fillfactor = 50);
INSERT INTO reconcile_state DEFAULT VALUES;

GRANT SELECT, UPDATE ON reconcile_state TO rotatord_app;
GRANT SELECT ON reconcile_state TO rotatord_operator, rotatord_readonly;
