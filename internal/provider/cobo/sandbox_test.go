package cobo

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	sandbox "github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// organisation is a simulated one at the vendor, and the provider that is
// tested against it.
type organisation struct {
	t      *testing.T
	vendor *sandbox.Vendor
	faults *faults.Set
	vault  string // the first one
	p      *Provider
}

const pace = 5 * time.Millisecond // of the sandbox

func newOrganisation(t *testing.T, choose map[string]string, configure func(*Options)) *organisation {
	t.Helper()
	return newOrganisationOf(t, sandbox.Options{Vaults: 1, Pace: pace}, choose, configure)
}

func newOrganisationOf(t *testing.T, so sandbox.Options, choose map[string]string, configure func(*Options)) *organisation {
	t.Helper()
	chosen, err := assume.Parse(choose)
	if err != nil {
		t.Fatal(err)
	}
	o := &organisation{t: t, faults: faults.NewSet(1)}
	so.Seed, so.Assume, so.Faults = 1, chosen, o.faults
	if o.vendor, err = sandbox.New(so); err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(o.vendor.Handler())
	transport := &http.Transport{}
	t.Cleanup(func() {
		o.faults.Close()
		o.vendor.Close()
		transport.CloseIdleConnections()
		api.Close()
	})
	o.vault = o.vendor.Views()[0].ID
	opts := Options{
		Name: "cobo-test", BaseURL: api.URL + "/v2", Nodes: o.vendor.Nodes(),
		APISecret:         func() (string, error) { return o.vendor.APISecret(), nil },
		ResponsePublicKey: o.vendor.ResponsePublicKey(), HTTPClient: &http.Client{Transport: transport},
	}
	if configure != nil {
		configure(&opts)
	}
	if o.p, err = New(opts); err != nil {
		t.Fatal(err)
	}
	o.p.settle = 50 * pace
	return o
}

// restarted is a second process at the same organisation.
func (o *organisation) restarted() *organisation {
	o.t.Helper()
	p, err := New(o.p.opts)
	if err != nil {
		o.t.Fatal(err)
	}
	p.settle = o.p.settle
	other := *o
	other.p = p
	return &other
}

func (o *organisation) fail(f ...faults.Fault) {
	o.t.Helper()
	if err := o.faults.Replace(f); err != nil {
		o.t.Fatal(err)
	}
}

func (o *organisation) wallet() provider.Wallet { return provider.Wallet{ExternalID: o.vault} }

// attempt is a new one from what is active now.
func (o *organisation) attempt() provider.Attempt {
	o.t.Helper()
	return provider.Attempt{ID: uuid.Must(uuid.NewV7()), Wallet: o.wallet(), OldShareSet: o.inspect().ActiveShareSet}
}

func (o *organisation) inspect() provider.Inspection {
	o.t.Helper()
	found, err := o.p.Inspect(o.t.Context(), o.wallet())
	if err != nil {
		o.t.Fatal(err)
	}
	return found
}

// keep is a checkpoint that keeps the last references in the attempt.
func keep(a *provider.Attempt) provider.Checkpoint {
	return func(_ context.Context, pending string, refs provider.Refs) error {
		refs.ShareSet = pending
		a.PendingShareSet, a.Refs = pending, refs
		return nil
	}
}

func (o *organisation) open(a *provider.Attempt) (provider.Session, error) {
	return o.p.Open(o.t.Context(), *a, keep(a))
}

// await asks until there is an answer other than "not yet", as often as the
// sandbox makes progress, not as often as the answer says.
func (o *organisation) await(s provider.Session) (provider.Readiness, error) {
	o.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		ready, err := s.Await(o.t.Context())
		if err != nil || ready.Ready {
			return ready, err
		}
		if ready.CheckAgain < minPoll || ready.CheckAgain > maxPoll {
			o.t.Errorf("ask again after %s", ready.CheckAgain)
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("not ready after 20 s: %+v", ready)
		}
		o.pause(pace)
	}
}

// pause lets the sandbox's time pass.
func (o *organisation) pause(d time.Duration) {
	o.t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-o.t.Context().Done():
		o.t.Fatal(o.t.Context().Err())
	}
}

// prepare takes a new attempt up to the point where it may be promoted.
func (o *organisation) prepare() provider.Attempt {
	o.t.Helper()
	a := o.attempt()
	before := o.inspect().PublicKey
	s, err := o.open(&a)
	if err != nil {
		o.t.Fatal(err)
	}
	ready, err := o.await(s)
	if err != nil || ready.ShareSet != a.PendingShareSet || ready.PublicKey != before {
		o.t.Fatalf("Await = %+v, %v, want %s under %s", ready, err, a.PendingShareSet, before)
	}
	return a
}

// rotate does everything but the clean-up.
func (o *organisation) rotate() provider.Attempt {
	o.t.Helper()
	a := o.prepare()
	if err := o.p.Promote(o.t.Context(), a); err != nil {
		o.t.Fatal(err)
	}
	o.wantActive(a.PendingShareSet)
	return a
}

func retirement(a provider.Attempt) provider.Retirement {
	return provider.Retirement{Wallet: a.Wallet, OldShareSet: a.OldShareSet, NewShareSet: a.PendingShareSet, Refs: a.Refs}
}

// wantActive checks the only things that count: the vendor tells this group,
// and its shares sign on both curves under the keys of the first day.
func (o *organisation) wantActive(id string) {
	o.t.Helper()
	if got := o.inspect().ActiveShareSet; got != id {
		o.t.Fatalf("%s is active, want %s", got, id)
	}
	v, _ := o.vendor.View(o.vault)
	for _, g := range v.Groups {
		if g.ID == id {
			o.wantSigns(v, g)
			return
		}
	}
	o.t.Fatalf("group %s is not there", id)
}

func (o *organisation) wantSigns(v sandbox.View, g sandbox.GroupView) {
	o.t.Helper()
	for curve, root := range v.RootPubkeys {
		shares := g.Shares[curve]
		if len(shares) == 0 || shares[0].RootPubkey() != root || !mpc.CanSignJointly(shares) {
			o.t.Errorf("group %s cannot sign on %s", g.ID, curve)
		}
	}
}

// deleted are the groups that delete calls took away, by their type then.
func (o *organisation) deleted() map[string]string { return o.vendor.Stats().Vaults[o.vault].Deleted }

// wantNothingLeft checks that no attempt left anything, that no two TSS
// requests ever ran at a time, and that nothing but Signing Groups was deleted.
func (o *organisation) wantNothingLeft() {
	o.t.Helper()
	stats := o.vendor.Stats()
	if len(stats.Orphans.Groups)+len(stats.Orphans.TSSRequests) > 0 {
		o.t.Errorf("left behind: %+v", stats.Orphans)
	}
	v := stats.Vaults[o.vault]
	if v.PeakTSSRequests > 1 {
		o.t.Errorf("%d TSS requests at a time", v.PeakTSSRequests)
	}
	for id, kind := range v.Deleted {
		if kind != signingGroup {
			o.t.Errorf("group %s of type %s was deleted", id, kind)
		}
	}
}

// wantErr checks class and reason, and that the text names the vault.
func (o *organisation) wantErr(err error, class provider.Class, reason provider.Reason) {
	o.t.Helper()
	wantClass(o.t, err, class, reason)
	if !strings.Contains(err.Error(), o.vault) && !strings.Contains(err.Error(), "TSS request") && !strings.Contains(err.Error(), "group") {
		o.t.Errorf("%q does not say what it is about", err)
	}
}

// TestRotations goes round: each vault is rotated more often than there are
// nodes, each old group retired, and at every moment the active group signs.
func TestRotations(t *testing.T) {
	handling := func(h string) func(*Options) { return func(o *Options) { o.MainGroupHandling = h } }
	for name, tt := range map[string]struct {
		choose    map[string]string
		configure func(*Options)
	}{
		"defaults":                {nil, nil},
		"invalidate":              {nil, handling(Invalidate)},
		"deleted are unavailable": {map[string]string{assume.CoboDeletedGroup: assume.Unavailable}, nil},
		"deleted are of a status that is unknown": {map[string]string{assume.CoboDeletedGroup: assume.UnknownStatus}, nil},
		"invalidated are unavailable":             {map[string]string{assume.CoboDeletedGroup: assume.Unavailable}, handling(Invalidate)},
		"requests listed by source, too":          {map[string]string{assume.CoboListRequests: assume.Both}, nil},
		"a second request is refused":             {map[string]string{assume.CoboSecondRequest: assume.Refused}, nil},
		"a wrong state is forbidden":              {map[string]string{assume.CoboWrongState: assume.Forbidden}, nil},
		"a wrong state is a server error":         {map[string]string{assume.CoboWrongState: assume.ServerError, assume.CoboDeletedGroup: assume.Unavailable}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrganisation(t, tt.choose, tt.configure)
			key := o.inspect().PublicKey
			for range 6 {
				a := o.rotate()
				if err := o.p.Promote(t.Context(), a); err != nil {
					t.Fatalf("promoting again: %v", err)
				}
				if _, ok := o.p.RetireAfter(a.Wallet); ok {
					for range 2 {
						if err := retire(t, o.p, retirement(a)); err != nil {
							t.Fatal(err)
						}
					}
				}
				o.wantActive(a.PendingShareSet)
				for _, g := range o.view().Groups {
					if g.ID == a.OldShareSet && !g.Deleted {
						t.Error("the old group is not retired")
					}
				}
			}
			if got := o.inspect().PublicKey; got != key || !strings.HasPrefix(key, "ED25519:xpub") || !strings.Contains(key, ";SECP256K1:xpub") {
				t.Errorf("public key %s, was %s", got, key)
			}
			o.wantNothingLeft()
		})
	}
}

func (o *organisation) view() sandbox.View {
	v, _ := o.vendor.View(o.vault)
	return v
}
