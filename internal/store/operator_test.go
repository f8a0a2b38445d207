package store

import (
	"errors"
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
)

func (w *world) operator(role string) *Operator {
	w.t.Helper()
	o, err := ConnectOperator(w.t.Context(), as(w.t, w.dsn, role))
	w.ok(err)
	w.t.Cleanup(func() { o.Close(w.t.Context()) })
	return o
}

func TestEnrol(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	treasury := w.policy("treasury")
	o := w.operator("rotatord_operator")
	id, err := o.PolicyID(ctx, "treasury")
	w.ok(err)
	w.same(id, treasury, "policy")
	if _, err := o.PolicyID(ctx, "none"); !errors.Is(err, ErrNoPolicy) {
		t.Errorf("an unknown policy: %v", err)
	}

	// Somebody else was faster with one of them.
	w.exec(`INSERT INTO wallets (provider, external_id, address) VALUES ('dyn', 'b', 'theirs'), ('else', 'a', 'theirs')`)
	n, err := o.Enrol(ctx, "dyn", id, []provider.Wallet{{ExternalID: "c"}, {ExternalID: "b", Address: "ours"}, {ExternalID: "a", Address: "0xa", Chain: "EVM"}})
	w.ok(err)
	w.same(n, 2, "new wallets")
	n, err = o.Enrol(ctx, "dyn", 0, []provider.Wallet{{ExternalID: "d"}})
	w.ok(err)
	w.same(n, 1, "new wallets without a policy")
	n, err = o.Enrol(ctx, "dyn", id, nil)
	w.ok(err)
	w.same(n, 0, "nothing")
	w.rows([]string{"(dyn,a,treasury,0xa,EVM)", "(dyn,b,,theirs,)", "(dyn,c,treasury,,)", "(dyn,d,,,)", "(else,a,,theirs,)"},
		`SELECT (w.provider, w.external_id, p.name, w.address, w.chain)::text FROM wallets w LEFT JOIN rotation_policies p ON p.id = w.policy_id ORDER BY w.provider, w.external_id`)

	all, err := o.Enrolled(ctx, "dyn")
	w.ok(err)
	for i := range all {
		all[i].ID = 0
	}
	w.same(all, []Enrolled{{0, "a", "treasury"}, {0, "b", ""}, {0, "c", "treasury"}, {0, "d", ""}}, "enrolled")

	// One that the table refuses takes the others along.
	if _, err := o.Enrol(ctx, "dyn", id, []provider.Wallet{{ExternalID: "e"}, {ExternalID: ""}}); err == nil {
		t.Error("a wallet without an id was inserted")
	}
	w.same(ask[int](w, `SELECT count(*) FROM wallets WHERE external_id = 'e'`), 0, "wallets of a refused batch")
}

// TestOnlyOperatorsEnrol: the daemon's login reads wallets and inserts none.
func TestOnlyOperatorsEnrol(t *testing.T) {
	w := newWorld(t)
	for _, role := range []string{"rotatord_app", "rotatord_readonly"} {
		o := w.operator(role)
		_, err := o.Enrolled(t.Context(), "dyn")
		w.ok(err)
		if _, err := o.Enrol(t.Context(), "dyn", 0, []provider.Wallet{{ExternalID: "a"}}); !errors.Is(err, ErrMayNot) {
			t.Errorf("%s: %v, want ErrMayNot", role, err)
		}
	}
	w.same(ask[int](w, `SELECT count(*) FROM wallets`), 0, "wallets")
}
