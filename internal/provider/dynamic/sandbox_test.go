package dynamic

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	sandbox "github.com/rotatord/rotatord/internal/sandbox/dynamic"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
)

// account is a simulated account at the vendor and the provider that is tested
// against it. The customer's half of each ceremony is played here.
type account struct {
	vendor    *sandbox.Vendor
	faults    *faults.Set
	customers []sandbox.Customer
	rooms     string // URL of the relay
	p         *Provider
}

func newAccount(t *testing.T, wallets int, choose map[string]string, configure func(*Options)) *account {
	t.Helper()
	chosen, err := assume.Parse(choose)
	if err != nil {
		t.Fatal(err)
	}
	a := &account{faults: faults.NewSet(1)}
	rooms := relay.New()
	a.vendor, a.customers, err = sandbox.New(sandbox.Options{
		Wallets: wallets, Seed: 1, Assume: chosen, Faults: a.faults, Rooms: rooms,
	})
	if err != nil {
		t.Fatal(err)
	}
	api, relayServer := httptest.NewServer(a.vendor.Handler()), httptest.NewServer(rooms.Handler())
	transport := &http.Transport{}
	t.Cleanup(func() {
		a.faults.Close()
		a.vendor.Close()
		transport.CloseIdleConnections()
		api.Close()
		relayServer.Close()
	})
	a.rooms = relayServer.URL
	opts := Options{
		Name: "dynamic-test", BaseURL: api.URL, EnvironmentID: a.vendor.EnvironmentID(), Auth: AuthTokenExchange,
		APIToken:   func() (string, error) { return a.vendor.APIToken(), nil },
		RateLimits: []RateLimit{}, HTTPClient: &http.Client{Transport: transport},
		CallTimeout: 10 * time.Second, CeremonyTimeout: 20 * time.Second,
	}
	if configure != nil {
		configure(&opts)
	}
	if a.p, err = New(opts); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *account) fail(t *testing.T, f ...faults.Fault) {
	t.Helper()
	if err := a.faults.Replace(f); err != nil {
		t.Fatal(err)
	}
}

// attempt is a new attempt for a customer's wallet, from its first share set.
func (a *account) attempt(c sandbox.Customer) provider.Attempt {
	return provider.Attempt{
		ID:          uuid.Must(uuid.NewV7()),
		Wallet:      provider.Wallet{ExternalID: c.WalletID, Address: c.Share.Address(), Chain: c.Share.Chain()},
		OldShareSet: c.ShareSetID,
	}
}

// open opens an attempt and records what it checkpoints.
func (a *account) open(ctx context.Context, at *provider.Attempt) (provider.Session, error) {
	return a.p.Open(ctx, *at, func(_ context.Context, pending string, refs provider.Refs) error {
		at.PendingShareSet, at.Refs = pending, refs
		return nil
	})
}

// prepare takes an attempt up to the point where it may be promoted, and
// returns the customer's new share.
func (a *account) prepare(t *testing.T, c sandbox.Customer) (provider.Attempt, mpc.Share) {
	t.Helper()
	at := a.attempt(c)
	s, err := a.open(t.Context(), &at)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	share, err := relay.Join(t.Context(), a.rooms, at.Refs.Room, relay.Client, c.Share)
	if err != nil {
		t.Fatal(err)
	}
	ready, err := s.Await(t.Context())
	if err != nil || !ready.Ready || ready.ShareSet != at.PendingShareSet {
		t.Fatalf("Await = %+v, %v, want %s", ready, err, at.PendingShareSet)
	}
	return at, share
}

// active is the share set that a fresh Inspect tells.
func (a *account) active(t *testing.T, w provider.Wallet) string {
	t.Helper()
	found, err := a.p.Inspect(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return found.ActiveShareSet
}

// wantSwapped checks the only things that count: the vendor tells the new set,
// the new share signs with what the vendor holds, and the old one does not.
func (a *account) wantSwapped(t *testing.T, at provider.Attempt, old, share mpc.Share) {
	t.Helper()
	if got := a.active(t, at.Wallet); got != at.PendingShareSet {
		t.Errorf("%s is active, want %s", got, at.PendingShareSet)
	}
	view, _ := a.vendor.View(at.Wallet.ExternalID)
	if !mpc.CanSign(share, view.Active.Share) {
		t.Error("the wallet cannot sign any more")
	}
	if mpc.CanSign(old, view.Active.Share) {
		t.Error("the old share still signs")
	}
}

func TestRotation(t *testing.T) {
	for name, tt := range map[string]struct {
		choose    map[string]string
		configure func(*Options)
	}{
		"token exchange":        {nil, nil},
		"server routes":         {nil, func(o *Options) { o.Auth = AuthServer }},
		"wallet object only":    {map[string]string{assume.WalletReply: assume.WalletOnly}, nil},
		"user only":             {map[string]string{assume.WalletReply: assume.UserOnly}, nil},
		"refresh in plain JSON": {map[string]string{assume.RefreshReply: assume.JSONOnly}, nil},
		"documented limits":     {map[string]string{assume.RateLimits: assume.Documented}, func(o *Options) { o.RateLimits = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, 2, tt.choose, tt.configure) // one wallet of each curve
			for _, c := range a.customers {
				at, share := a.prepare(t, c)
				if got := a.active(t, at.Wallet); got != c.ShareSetID {
					t.Fatalf("%s is active before the swap", got)
				}
				if err := a.p.Promote(t.Context(), at); err != nil {
					t.Fatal(err)
				}
				a.wantSwapped(t, at, c.Share, share)

				// And again, from the set that is active now.
				c.ShareSetID, c.Share = at.PendingShareSet, share
				at, share = a.prepare(t, c)
				if err := a.p.Promote(t.Context(), at); err != nil {
					t.Fatal(err)
				}
				a.wantSwapped(t, at, c.Share, share)
			}
		})
	}
}

func TestInspectByID(t *testing.T) {
	for _, auth := range []string{AuthTokenExchange, AuthServer} {
		a := newAccount(t, 1, nil, func(o *Options) { o.Auth = auth })
		c := a.customers[0]
		found, err := a.p.Inspect(t.Context(), provider.Wallet{ExternalID: c.WalletID})
		if err != nil || found.ActiveShareSet != c.ShareSetID || found.Address != c.Share.Address() || found.Chain != c.Share.Chain() {
			t.Errorf("%s: Inspect = %+v, %v", auth, found, err)
		}
	}
}

func TestDiscovery(t *testing.T) {
	a := newAccount(t, 20, nil, nil)
	var found []string
	err := a.p.Wallets(t.Context(), func(w provider.Wallet) error {
		found = append(found, w.ExternalID+" "+w.Address)
		return nil
	})
	if err != nil || len(found) != len(a.customers) {
		t.Fatalf("%d wallets, %v", len(found), err)
	}
	for i, c := range a.customers {
		if want := c.WalletID + " " + c.Share.Address(); found[i] != want {
			t.Errorf("wallet %d is %s, want %s", i, found[i], want)
		}
	}
}

// TestShapesThatLoseRecovery: the vendor's own account of scheme and backups
// decides, and nothing is opened for a wallet that is refused.
func TestShapesThatLoseRecovery(t *testing.T) {
	for name, tt := range map[string]struct {
		shape   sandbox.Shape
		refused bool
	}{
		"external":              {sandbox.Shape{Backups: []string{"external"}}, false},
		"2 of 3, both external": {sandbox.Shape{Scheme: "TWO_OF_THREE", Backups: []string{"external", "external"}}, false},
		"at Dynamic":            {sandbox.Shape{Backups: []string{"dynamic"}, PasswordEncrypted: true}, true},
		"at both":               {sandbox.Shape{Backups: []string{"external", "dynamic"}}, true},
		"in a cloud drive":      {sandbox.Shape{Backups: []string{"googleDrive"}}, true},
		"2 of 3 with one share": {sandbox.Shape{Scheme: "TWO_OF_THREE"}, true},
		"3 of 5 with two":       {sandbox.Shape{Scheme: "THREE_OF_FIVE", Backups: []string{"external", "external"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, 1, nil, nil)
			c := a.customers[0]
			if err := a.vendor.SetShape(c.WalletID, tt.shape); err != nil {
				t.Fatal(err)
			}
			if !tt.refused {
				at, share := a.prepare(t, c)
				if err := a.p.Promote(t.Context(), at); err != nil {
					t.Fatal(err)
				}
				a.wantSwapped(t, at, c.Share, share)
				return
			}
			at := a.attempt(c)
			_, err := a.p.Inspect(t.Context(), at.Wallet)
			wantTerminal(t, err)
			_, err = a.open(t.Context(), &at)
			wantTerminal(t, err)
			if n := a.vendor.Stats().Wallets[c.WalletID].Refreshes; n != 0 {
				t.Errorf("%d rooms were opened", n)
			}
		})
	}
}

func wantTerminal(t *testing.T, err error) {
	t.Helper()
	if class, reason := provider.ClassOf(err); err == nil || class != provider.Terminal || reason != provider.ReasonInvalidState {
		t.Fatalf("%v is %s/%s, want terminal/invalid_state", err, class, reason)
	}
}
