package store

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// plan is a node of EXPLAIN (FORMAT JSON).
type plan struct {
	Node     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Index    string `json:"Index Name"`
	Cond     string `json:"Index Cond"`
	Plans    []plan `json:"Plans"`
}

func (p plan) walk(visit func(plan)) {
	visit(p)
	for _, child := range p.Plans {
		child.walk(visit)
	}
}

// explain shows the plan that the daemon's connections would use.
func (w *world) explain(name, sql string) plan {
	w.t.Helper()
	conn, err := w.pool.Acquire(w.t.Context())
	w.ok(err)
	defer conn.Release()
	_, err = conn.Exec(w.t.Context(), "PREPARE explained AS "+sql)
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	defer func() {
		_, err := conn.Exec(w.t.Context(), "DEALLOCATE explained")
		w.ok(err)
	}()
	var parameters int
	w.ok(conn.QueryRow(w.t.Context(), `SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'explained'`).Scan(&parameters))
	nulls := ""
	if parameters > 0 {
		nulls = "(" + strings.Join(slices.Repeat([]string{"NULL"}, parameters), ", ") + ")"
	}
	var doc string
	// The simple protocol: EXPLAIN EXECUTE cannot be prepared itself.
	w.ok(conn.QueryRow(w.t.Context(), fmt.Sprintf("EXPLAIN (FORMAT JSON) EXECUTE explained%s", nulls), pgx.QueryExecModeSimpleProtocol).Scan(&doc))
	var out []struct{ Plan plan }
	w.ok(json.Unmarshal([]byte(doc), &out))
	return out[0].Plan
}

// byKey is the only way for a batched statement to reach a row: the primary
// key, compared with a value from the batch.
var byKey = regexp.MustCompile(`^\(\(?(wallet_id|id) = ANY \(ARRAY\[\w+\.wallet_id\]\)\)?`)

// TestBatchesGoByPrimaryKey looks at the plans of all batched statements while
// the table of open rotations is new, empty after a vacuum, and bloated. Two
// traps that were measured are refused: a join of the batch with a whole table
// (a product of both), and any order of locks but that of the batch.
func TestBatchesGoByPrimaryKey(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	ids := w.wallets(p, 2000)
	tick := w.hoursAgo(1)
	statements := map[string]string{
		"claim": claimSQL, "limited claim": claimLimitedSQL, "load": loadSQL, "opening": openingSQL, "checkpoint": checkpointSQL,
		"prepared": preparedSQL, "park": parkSQL, "retreat": retreatSQL, "baseline": baselineSQL, "abandon": abandonSQL,
		"reconcile": reconcileSQL, "promoted": promotedSQL, "committed": committedSQL,
	}
	check := func(when string) {
		for name, sql := range statements {
			w.explain(name, sql).walk(func(n plan) {
				switch n.Relation {
				case "rotations", "wallet_state", "wallets", "retirements":
				default:
					return
				}
				switch n.Node {
				case "ModifyTable", "LockRows":
				case "Index Scan", "Index Only Scan":
					if n.Index == n.Relation+"_pkey" && byKey.MatchString(n.Cond) ||
						name == "limited claim" && n.Index == "rotations_pkey" && n.Cond == "(wallet_id = s.wallet_id)" {
						return
					}
					t.Errorf("%s: %s: %s on %s by %s %s", when, name, n.Node, n.Relation, n.Index, n.Cond)
				default:
					t.Errorf("%s: %s: %s on %s", when, name, n.Node, n.Relation)
				}
			})
		}
	}
	check("new")
	w.exec(`VACUUM ANALYZE`)
	check("empty")
	for range 10 {
		w.claim(p, tick, ids[:500]...)
		w.exec(`DELETE FROM rotations`)
	}
	w.claim(p, tick, ids[:20]...)
	w.exec(`ANALYZE`)
	check("bloated")
}

func TestDiscoverIsIndexOnly(t *testing.T) {
	w := newWorld(t)
	w.wallets(w.policy("treasury"), 2000)
	for _, when := range []string{"new", "analyzed"} {
		scans := 0
		w.explain("discover", discoverSQL).walk(func(n plan) {
			switch {
			case n.Node == "Index Only Scan" && n.Index == "wallet_state_due":
				scans++
				// The cursor must bound the scan from below: without it, each page walks
				// over all that was rotated before.
				if !strings.Contains(n.Cond, "ROW(cycle_at, wallet_id) > ROW(") || !strings.Contains(n.Cond, "policy_id = ") || !strings.Contains(n.Cond, "cycle_at < ") {
					t.Errorf("%s: bounds are %s", when, n.Cond)
				}
			case n.Node != "Limit":
				t.Errorf("%s: %s on %s", when, n.Node, n.Relation)
			}
		})
		w.same(scans, 1, "scans")
		w.exec(`VACUUM ANALYZE`)
	}
}

// The due clean-ups are found without looking at those that are not.
func TestRetirementsAreFoundByTheirTime(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO retirements (wallet_id, new_share_set, old_share_set, rotation_id, attempt_id, promoted_at, due_at, committed_at, next_try)
		SELECT n, 'new', 'old', gen_random_uuid(), gen_random_uuid(), now(), now(), now(), now() + n * interval '1 second' FROM generate_series(1, 5000) n`)
	w.exec(`ANALYZE`)
	found := false
	w.explain("take retirements", takeRetirementsSQL).walk(func(n plan) {
		found = found || n.Index == "retirements_due"
	})
	w.same(found, true, "the plan uses retirements_due")
}

// A scrape of ten million wallets reads no wallet's row, but for those of open
// rotations.
func TestFleetCountsInIndexes(t *testing.T) {
	w := newWorld(t)
	w.wallets(w.policy("treasury"), 5000)
	w.exec(`UPDATE wallet_state SET generation = 1 WHERE wallet_id % 10 > 0`)
	w.exec(`VACUUM ANALYZE`)
	counts := 0
	w.explain("fleet", fleetSQL).walk(func(n plan) {
		if n.Relation != "wallet_state" && n.Relation != "wallets" {
			return
		}
		switch {
		case n.Node == "Index Only Scan" && (n.Index == "wallet_state_due" || n.Index == "wallet_state_never" || n.Index == "wallets_off"):
			counts++
		case strings.HasSuffix(n.Index, "_pkey"): // of open rotations
		default:
			t.Errorf("%s on %s by %s %s", n.Node, n.Relation, n.Index, n.Cond)
		}
	})
	w.same(counts, 6, "counts")
}
