-- Views for people. They are derived, so they cannot contradict the tables.

CREATE VIEW share_sets AS
SELECT h.wallet_id, w.provider, w.external_id, h.generation, h.share_set AS provider_ref,
       CASE WHEN h.outcome NOT IN ('baseline', 'activated', 'reconciled') THEN 'abandoned'
            WHEN h.generation = s.generation THEN 'active'
            ELSE 'retired' END AS state,
       h.opened_at,
       CASE WHEN h.outcome IN ('activated', 'reconciled') THEN h.decided_at END AS activated_at,
       CASE WHEN h.outcome IN ('baseline', 'activated', 'reconciled') THEN
            (SELECT n.decided_at FROM share_set_history n
              WHERE n.wallet_id = h.wallet_id AND n.seq > h.seq AND n.outcome IN ('activated', 'reconciled')
              ORDER BY n.seq LIMIT 1) END AS retired_at,
       h.rotation_id
  FROM share_set_history h
  JOIN wallets w ON w.id = h.wallet_id
  JOIN wallet_state s ON s.wallet_id = h.wallet_id
 WHERE h.outcome <> 'retired'
   -- A set that was given up and found active later is shown once.
   AND (h.outcome IN ('baseline', 'activated', 'reconciled') OR NOT EXISTS (
        SELECT FROM share_set_history n
         WHERE n.wallet_id = h.wallet_id AND n.seq > h.seq AND n.share_set = h.share_set
           AND h.share_set <> '' AND n.outcome IN ('activated', 'reconciled')))
UNION ALL
SELECT r.wallet_id, w.provider, w.external_id, s.generation + 1, r.pending_share_set,
       'pending', r.opened_at, NULL, NULL, r.rotation_id
  FROM rotations r
  JOIN wallets w ON w.id = r.wallet_id
  JOIN wallet_state s ON s.wallet_id = r.wallet_id
 WHERE r.state IN ('ceremony', 'prepared');

CREATE VIEW policy_status AS
SELECT p.name, coalesce(st.valid AND st.judged_version = p.version, false) AS valid,
       CASE WHEN st.judged_version = p.version THEN st.error
            ELSE 'not looked at yet: is a daemon running?' END AS error,
       st.warnings, p.version, st.running_version,
       CASE WHEN p.enabled AND p.paused_reason IS NULL THEN st.next_runs ELSE '{}' END AS next_runs,
       st.tick, c.state AS cycle_state, c.total,
       n.succeeded, n.failed,
       o.open,
       CASE WHEN p.max_share_age IS NULL THEN 0 ELSE
         (SELECT count(*) FROM wallet_state s WHERE s.policy_id = p.id AND s.cycle_at < now() - p.max_share_age) END AS overdue,
       (SELECT coalesce(s.activated_at, s.cycle_at) FROM wallet_state s WHERE s.policy_id = p.id
         ORDER BY s.cycle_at, s.wallet_id LIMIT 1) AS oldest_activated_at,
       p.enabled, p.paused_reason
  FROM rotation_policies p
  JOIN policy_state st ON st.policy_id = p.id
  LEFT JOIN rotation_cycles c ON c.policy_id = p.id AND c.tick = st.tick
  CROSS JOIN LATERAL (SELECT coalesce(sum(k.succeeded), 0)::bigint AS succeeded, coalesce(sum(k.failed), 0)::bigint AS failed
                        FROM cycle_counters k WHERE k.policy_id = p.id AND k.tick = st.tick) n
  CROSS JOIN LATERAL (SELECT count(*) AS open FROM rotations r WHERE r.policy_id = p.id AND r.state <> 'failed') o;

CREATE VIEW wallet_status AS
SELECT w.id AS wallet_id, w.provider, w.external_id, p.name AS policy, s.generation,
       s.active_share_set, s.activated_at, s.cycle_at, s.public_key,
       r.state AS rotation_state, r.attempt, r.next_check, r.attention, r.error,
       w.enabled, w.paused_reason
  FROM wallets w
  JOIN wallet_state s ON s.wallet_id = w.id
  LEFT JOIN rotation_policies p ON p.id = w.policy_id
  LEFT JOIN rotations r ON r.wallet_id = w.id;

-- Open rotations and what the finished ones left in the history.
CREATE VIEW rotation_log AS
SELECT r.rotation_id, r.wallet_id, w.provider, w.external_id, p.name AS policy, r.trigger, r.tick, r.actor,
       r.state AS outcome, r.attempt, r.opened_at, NULL::timestamptz AS decided_at, r.error AS detail
  FROM rotations r
  JOIN wallets w ON w.id = r.wallet_id
  LEFT JOIN rotation_policies p ON p.id = r.policy_id
UNION ALL
SELECT h.rotation_id, h.wallet_id, w.provider, w.external_id, p.name, h.trigger, h.tick, h.actor,
       h.outcome, NULL, h.opened_at, h.decided_at, h.vendor_said
  FROM share_set_history h
  LEFT JOIN wallets w ON w.id = h.wallet_id
  LEFT JOIN rotation_policies p ON p.id = h.policy_id
 WHERE h.rotation_id IS NOT NULL;

CREATE VIEW attention AS
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
         ELSE 'look at the error, mend its cause, then request retry'
       END AS next_step
  FROM (SELECT wallet_id, policy_id, attention AS reason, attention_since AS since, coalesce(error, '') AS detail
          FROM rotations WHERE attention IS NOT NULL
        UNION ALL
        SELECT t.wallet_id, w.policy_id, t.attention, t.attention_since, coalesce(t.error, '')
          FROM retirements t JOIN wallets w ON w.id = t.wallet_id WHERE t.attention IS NOT NULL) a
  LEFT JOIN rotation_policies p ON p.id = a.policy_id;
