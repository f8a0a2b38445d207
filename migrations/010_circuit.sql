-- The circuit breaker of each provider, and the limit on all rotations. Both
-- are decided here, under the lock of one row, for all replicas.

ALTER TABLE provider_state
    ADD COLUMN failures integer NOT NULL DEFAULT 0,         -- in a row that are the provider's fault, while the circuit is closed
    ADD COLUMN openings integer NOT NULL DEFAULT 0,         -- in a row, without a success between them: each lasts longer
    ADD COLUMN open_until timestamptz,                      -- null: the circuit is closed; past: one probe may begin
    ADD COLUMN opened_at timestamptz,                       -- of the first of these openings
    ADD COLUMN probe_wallet bigint,                         -- whose rotation finds out; over when that is not in hand any more
    ADD COLUMN last_error text,
    ADD CONSTRAINT provider_state_circuit_complete
        CHECK ((open_until IS NULL) = (opened_at IS NULL) AND (open_until IS NULL) = (openings = 0)
               AND (open_until IS NOT NULL OR probe_wallet IS NULL));

-- The tick for which a rotation has begun, and was counted by
-- max_rotations_per_hour; another tick is another rotation.
ALTER TABLE rotations ADD COLUMN counted_tick timestamptz;

-- One row about everything.
CREATE TABLE fleet_state (
    id            boolean PRIMARY KEY DEFAULT true,
    started_until timestamptz,                              -- pacing of max_rotations_per_hour
    CONSTRAINT fleet_state_one_row CHECK (id)
) WITH (fillfactor = 50);
INSERT INTO fleet_state DEFAULT VALUES;

GRANT SELECT, UPDATE ON fleet_state TO rotatord_app;
GRANT SELECT ON fleet_state, provider_state TO rotatord_operator, rotatord_readonly;
