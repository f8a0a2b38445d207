package dynamic

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	sandbox "github.com/rotatord/rotatord/internal/sandbox/dynamic"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
)

// TestFleetWithExpiringTokens rotates many wallets at once; before each step
// the tokens of all are revoked.
func TestFleetWithExpiringTokens(t *testing.T) {
	a := newAccount(t, 20, nil, nil)
	attempts := make([]provider.Attempt, len(a.customers))
	shares := make([]mpc.Share, len(a.customers))
	steps := []func(i int){
		func(i int) { a.active(t, a.attempt(a.customers[i]).Wallet) },
		func(i int) { attempts[i], shares[i] = a.prepare(t, a.customers[i]) },
		func(i int) {
			if err := a.p.Promote(t.Context(), attempts[i]); err != nil {
				t.Error(err)
			}
		},
		func(i int) { a.wantSwapped(t, attempts[i], a.customers[i].Share, shares[i]) },
	}
	for _, step := range steps {
		a.vendor.RevokeJWTs()
		var wg sync.WaitGroup
		for i := range a.customers {
			wg.Go(func() { step(i) })
		}
		wg.Wait()
	}
	if n := a.vendor.Stats().Requests["dynamic.authenticate"]; n != len(steps) {
		t.Errorf("%d exchanges, want %d: one for each revocation", n, len(steps))
	}
}

// TestNoWalletWaitsForAnother: while one wallet's refresh hangs at the vendor,
// the others go all the way.
func TestNoWalletWaitsForAnother(t *testing.T) {
	a := newAccount(t, 8, nil, func(o *Options) { o.CallTimeout = 4 * time.Second })
	stuck := a.customers[0]
	a.fail(t, faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: time.Hour, Wallet: stuck.WalletID})
	opened := make(chan error, 1)
	at := a.attempt(stuck)
	go func() {
		_, err := a.open(t.Context(), &at)
		opened <- err
	}()
	var wg sync.WaitGroup
	for _, c := range a.customers[1:] {
		wg.Go(func() {
			at, share := a.prepare(t, c)
			if err := a.p.Promote(t.Context(), at); err != nil {
				t.Error(err)
			}
			a.wantSwapped(t, at, c.Share, share)
		})
	}
	wg.Wait()
	select {
	case err := <-opened:
		t.Fatalf("the stuck wallet was through first: %v", err)
	default:
	}
	wantErr(t, <-opened, provider.InDoubt, provider.ReasonTimeout) // its own call time-out
}

// TestDocumentedLimitsAreNeverExceeded reads wallets as fast as it may for half
// an hour of the vendor's time, against a vendor that counts.
func TestDocumentedLimitsAreNeverExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chosen, err := assume.Parse(map[string]string{assume.RateLimits: assume.Documented})
		if err != nil {
			t.Fatal(err)
		}
		set, rooms := faults.NewSet(1), relay.New()
		vendor, customers, err := sandbox.New(sandbox.Options{Wallets: 10, Assume: chosen, Faults: set, Rooms: rooms})
		if err != nil {
			t.Fatal(err)
		}
		defer vendor.Close()
		defer set.Close()
		codes := map[string]int{}
		var mu sync.Mutex
		p, err := New(Options{
			Name: "dynamic-test", EnvironmentID: vendor.EnvironmentID(), Auth: AuthTokenExchange,
			APIToken:   func() (string, error) { return vendor.APIToken(), nil },
			HTTPClient: &http.Client{Transport: inProcess{vendor.Handler()}},
			Observe: func(operation, code string, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				codes[operation+" "+code]++
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		end := time.Now().Add(30 * time.Minute)
		var wg sync.WaitGroup
		for _, c := range customers {
			wg.Go(func() {
				for time.Now().Before(end) {
					w := provider.Wallet{ExternalID: c.WalletID, Address: c.Share.Address()}
					if _, err := p.Inspect(t.Context(), w); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if n := codes["wallet 200"]; n < 2700 || len(codes) != 2 {
			t.Errorf("requests by outcome: %v; want at least 2700 reads, the exchange, and nothing else", codes)
		}
	})
}

// inProcess carries requests to a handler without a network, which a test in
// made-up time cannot have.
type inProcess struct{ h http.Handler }

func (i inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	i.h.ServeHTTP(rec, r)
	return rec.Result(), nil
}
