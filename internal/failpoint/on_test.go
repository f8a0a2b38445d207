//go:build failpoint

package failpoint

import "testing"

func TestStatements(t *testing.T) {
	for sql, want := range map[string][2]bool{ // changes, commits
		"UPDATE rotations r\n   SET state = 'opening'":                                {true, false},
		"WITH w AS (\n    UPDATE wallet_state s SET seq = 1 RETURNING *) SELECT 1":    {true, false},
		"INSERT INTO replicas (id) VALUES ($1)":                                       {true, false},
		"DELETE FROM replicas WHERE epoch = $1":                                       {true, false},
		"commit":                                                                      {false, true},
		"begin isolation level repeatable read read only":                             {false, false},
		"SELECT 1 FROM policy_state WHERE policy_id = $1 FOR NO KEY UPDATE":           {false, false},
		"SELECT wallet_id FROM rotations ORDER BY 1 FOR NO KEY UPDATE SKIP LOCKED":    {false, false},
		"SELECT updated_at, updated_by FROM rotation_policies FOR UPDATE SKIP LOCKED": {false, false},
	} {
		if got := [2]bool{changes(sql), commits(sql)}; got != want {
			t.Errorf("%s: %v, want %v", sql, got, want)
		}
	}
}

func TestRoute(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v0/sdk/6f1c7a52-3d0e-4b8e-9c41-2b7f0a5d9e13/waas/byWalletAddress/7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2": "/api/v0/sdk/*/waas/byWalletAddress/*",
		"/v2/wallets/mpc/vaults/56290a8e-3d0f-4c8c-9c0b-424cce5c83e0/key_share_holder_groups":                                "/v2/wallets/mpc/vaults/*/key_share_holder_groups",
	} {
		if got := route(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestRegistry(t *testing.T) {
	r := &registry{at: "after record Opening", do: Stop, hit: 2}
	var due []bool
	for _, name := range []string{"before record Opening", "after record Opening", "after record Opening", "after record Opening"} {
		due = append(due, r.due(name))
	}
	if due[0] || due[1] || !due[2] || due[3] {
		t.Errorf("due at %v, want the second passing alone", due)
	}
}
