package api

import "testing"

// TestComparedWallets: the last complete walk counts, not the one that runs.
func TestComparedWallets(t *testing.T) {
	s := newScene(t)
	s.exec(`UPDATE reconcile_state SET completed_at = '2026-03-01T12:00:00Z', results = '{"dynamic": {"agree": 7, "drift": 1}, "gone": {"unreachable": 2}}',
		running = true, counts = '{"dynamic": {"agree": 1}}'`)
	s.want(map[string]float64{
		"rotatord_reconcile_wallets{dynamic,agree}":       7,
		"rotatord_reconcile_wallets{dynamic,drift}":       1,
		"rotatord_reconcile_wallets{gone,unreachable}":    2,
		"rotatord_reconcile_last_run_timestamp_seconds{}": 1772366400,
	})
}
