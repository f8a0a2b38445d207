package dynamic

import (
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
)

// wantErr checks class and reason of an error from the sandbox.
func wantErr(t *testing.T, err error, class provider.Class, reason provider.Reason) {
	t.Helper()
	if gotClass, gotReason := provider.ClassOf(err); err == nil || gotClass != class || gotReason != reason {
		t.Fatalf("%v is %s/%s, want %s/%s", err, gotClass, gotReason, class, reason)
	}
}

const slow = time.Second // the call time-out of the tests that wait for one

func broken(operation string, kind faults.Kind) faults.Fault {
	return faults.Fault{Operation: "dynamic." + operation, Kind: kind, Delay: 5 * slow}
}

func status(operation string, code, retryAfter int) faults.Fault {
	return faults.Fault{Operation: "dynamic." + operation, Kind: faults.Status, Status: code, RetryAfter: retryAfter}
}

// TestFaultsOfReading: nothing that happens to a call that only reads is in
// doubt, and the next call works.
func TestFaultsOfReading(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  faults.Fault
		class  provider.Class
		reason provider.Reason
		after  time.Duration
	}{
		"authenticate: lost request": {broken("authenticate", faults.LostRequest), provider.Retryable, provider.ReasonProviderError, 0},
		"authenticate: lost reply":   {broken("authenticate", faults.LostReply), provider.Retryable, provider.ReasonProviderError, 0},
		"authenticate: half a reply": {broken("authenticate", faults.DropStream), provider.Retryable, provider.ReasonProviderError, 0},
		"authenticate: slow":         {broken("authenticate", faults.Latency), provider.Retryable, provider.ReasonTimeout, 0},
		"authenticate: refused":      {broken("authenticate", faults.Reject), provider.Terminal, provider.ReasonAuth, 0},
		"authenticate: 429":          {status("authenticate", 429, 3), provider.RateLimited, provider.ReasonRateLimited, 3 * time.Second},
		"authenticate: 500":          {status("authenticate", 500, 0), provider.Retryable, provider.ReasonProviderError, 0},
		"wallet: lost request":       {broken("wallet", faults.LostRequest), provider.Retryable, provider.ReasonProviderError, 0},
		"wallet: half a reply":       {broken("wallet", faults.DropStream), provider.Retryable, provider.ReasonProviderError, 0},
		"wallet: slow":               {broken("wallet", faults.Latency), provider.Retryable, provider.ReasonTimeout, 0},
		"wallet: 429":                {status("wallet", 429, 7), provider.RateLimited, provider.ReasonRateLimited, 7 * time.Second},
		"wallet: 502":                {status("wallet", 502, 0), provider.Retryable, provider.ReasonProviderError, 0},
		"wallet: access denied":      {broken("wallet", faults.Reject), provider.Terminal, provider.ReasonAuth, 0},
		"wallet: gone":               {broken("wallet", faults.LoseState), provider.Terminal, provider.ReasonInvalidState, 0},
		"wallet: another address":    {broken("wallet", faults.WrongPublicKey), provider.Verification, provider.ReasonVerification, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, 1, nil, func(o *Options) { o.CallTimeout = slow })
			at := a.attempt(a.customers[0])
			a.fail(t, tt.fault) // each time: the transport itself repeats a GET that found a dead connection
			_, err := a.p.Inspect(t.Context(), at.Wallet)
			a.fail(t)
			wantErr(t, err, tt.class, tt.reason)
			if got := provider.RetryAfter(err); got != tt.after {
				t.Errorf("RetryAfter = %s, want %s", got, tt.after)
			}
			if got := a.active(t, at.Wallet); got != at.OldShareSet {
				t.Errorf("%s is active", got)
			}
		})
	}
}

// TestFaultsOfRefresh: what happens to the call that opens a room. Whatever it
// was, a new attempt from the old share succeeds.
func TestFaultsOfRefresh(t *testing.T) {
	for name, tt := range map[string]struct {
		fault   faults.Fault
		class   provider.Class
		reason  provider.Reason
		pending int // sets that exist at the vendor afterwards
	}{
		"lost request":        {broken("refresh", faults.LostRequest), provider.InDoubt, provider.ReasonProviderError, 0},
		"lost reply":          {broken("refresh", faults.LostReply), provider.InDoubt, provider.ReasonProviderError, 1},
		"slow":                {broken("refresh", faults.Latency), provider.InDoubt, provider.ReasonTimeout, 0},
		"500":                 {status("refresh", 500, 0), provider.InDoubt, provider.ReasonProviderError, 0},
		"503":                 {status("refresh", 503, 2), provider.InDoubt, provider.ReasonProviderError, 0},
		"429":                 {status("refresh", 429, 3), provider.RateLimited, provider.ReasonRateLimited, 0},
		"422 without a code":  {status("refresh", 422, 0), provider.Terminal, provider.ReasonProviderError, 0},
		"service unreachable": {broken("refresh", faults.Reject), provider.Retryable, provider.ReasonProviderError, 0},
		"for another address": {broken("refresh", faults.WrongPublicKey), provider.Verification, provider.ReasonVerification, 1},
		"takes effect too late": {faults.Fault{Operation: "dynamic.refresh", Kind: faults.LateEffect, Delay: time.Millisecond},
			provider.InDoubt, provider.ReasonProviderError, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, 1, nil, func(o *Options) { o.CallTimeout = slow })
			c := a.customers[0]
			at := a.attempt(c)
			if _, err := a.p.Inspect(t.Context(), at.Wallet); err != nil {
				t.Fatal(err)
			}
			tt.fault.Times = 1
			a.fail(t, tt.fault)
			_, err := a.open(t.Context(), &at)
			wantErr(t, err, tt.class, tt.reason)
			if after := provider.RetryAfter(err); after != time.Duration(tt.fault.RetryAfter)*time.Second {
				t.Errorf("RetryAfter = %s", after)
			}
			if view, _ := a.vendor.View(c.WalletID); tt.pending >= 0 && len(view.Pending) != tt.pending {
				t.Errorf("%d pending sets, want %d", len(view.Pending), tt.pending)
			}
			if n := a.vendor.Stats().Requests["dynamic.refresh"]; n != 1 {
				t.Errorf("refresh was asked for %d times", n)
			}

			at, share := a.prepare(t, c)
			if err := a.p.Promote(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			a.wantSwapped(t, at, c.Share, share)
		})
	}
}

// TestFaultsOfTheCeremony: the room is open and on record, and then the vendor
// fails. Nothing is ready, nothing is in doubt, the old set stays active.
func TestFaultsOfTheCeremony(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  faults.Fault
		joins  bool // the co-signer finishes its part
		class  provider.Class
		reason provider.Reason
	}{
		"the stream is cut":                      {broken("refresh", faults.DropStream), true, provider.Retryable, provider.ReasonPartyUnavailable},
		"the stream is cut in the room":          {broken("room", faults.DropStream), true, provider.Retryable, provider.ReasonPartyUnavailable},
		"ceremony_complete is lost":              {broken("room", faults.LostReply), true, provider.Retryable, provider.ReasonPartyUnavailable},
		"the vendor refuses":                     {broken("room", faults.Reject), false, provider.Retryable, provider.ReasonProviderError},
		"the vendor's service fails":             {status("room", 500, 0), false, provider.Retryable, provider.ReasonProviderError},
		"the vendor never comes":                 {broken("room", faults.LostRequest), false, provider.Retryable, provider.ReasonTimeout},
		"the vendor brings a share of other key": {broken("room", faults.WrongPublicKey), false, provider.Retryable, provider.ReasonProviderError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, 1, nil, func(o *Options) { o.CeremonyTimeout = 2 * time.Second })
			c := a.customers[0]
			a.fail(t, tt.fault)
			at := a.attempt(c)
			s, err := a.open(t.Context(), &at)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			joined := make(chan error, 1)
			go func() {
				_, err := relay.Join(t.Context(), a.rooms, at.Refs.Room, relay.Client, c.Share)
				joined <- err
			}()
			ready, err := s.Await(t.Context())
			wantErr(t, err, tt.class, tt.reason)
			if ready.Ready {
				t.Error("ready all the same")
			}
			if tt.joins {
				if err := <-joined; err != nil {
					t.Errorf("the co-signer failed: %v", err)
				}
			}
			a.fail(t)
			if got := a.active(t, at.Wallet); got != c.ShareSetID {
				t.Fatalf("%s is active, want the old %s", got, c.ShareSetID)
			}
			at, share := a.prepare(t, c)
			if err := a.p.Promote(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			a.wantSwapped(t, at, c.Share, share)
		})
	}
}

// TestFaultsOfTheSwap: after an unknown outcome Inspect tells, and the same
// call again ends well.
func TestFaultsOfTheSwap(t *testing.T) {
	for name, tt := range map[string]struct {
		choose  map[string]string
		fault   faults.Fault
		class   provider.Class
		reason  provider.Reason
		swapped bool // by the failed call
	}{
		"lost request": {nil, broken("locations", faults.LostRequest), provider.InDoubt, provider.ReasonProviderError, false},
		"lost reply":   {nil, broken("locations", faults.LostReply), provider.InDoubt, provider.ReasonProviderError, true},
		"lost reply, then done already": {map[string]string{assume.RepeatedLocations: assume.AlreadyBackedUp},
			broken("locations", faults.LostReply), provider.InDoubt, provider.ReasonProviderError, true},
		"half a reply": {nil, broken("locations", faults.DropStream), provider.InDoubt, provider.ReasonProviderError, true},
		"slow":         {nil, broken("locations", faults.Latency), provider.InDoubt, provider.ReasonTimeout, false},
		"500":          {nil, status("locations", 500, 0), provider.InDoubt, provider.ReasonProviderError, false},
		"429":          {nil, status("locations", 429, 3), provider.RateLimited, provider.ReasonRateLimited, false},
		"refused":      {nil, broken("locations", faults.Reject), provider.Retryable, provider.ReasonInvalidState, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, 1, tt.choose, func(o *Options) { o.CallTimeout = slow })
			c := a.customers[0]
			at, share := a.prepare(t, c)
			tt.fault.Times = 1
			a.fail(t, tt.fault)
			wantErr(t, a.p.Promote(t.Context(), at), tt.class, tt.reason)
			if got := a.active(t, at.Wallet) == at.PendingShareSet; got != tt.swapped {
				t.Errorf("swapped: %v, want %v", got, tt.swapped)
			}
			if err := a.p.Promote(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			a.wantSwapped(t, at, c.Share, share)
			if p := a.vendor.Stats().Wallets[c.WalletID].Promotions[at.PendingShareSet]; p.Effects != 1 {
				t.Errorf("the set was swapped in %d times", p.Effects)
			}
		})
	}
	t.Run("the vendor lost the pending set", func(t *testing.T) {
		a := newAccount(t, 1, nil, nil)
		at, _ := a.prepare(t, a.customers[0])
		a.fail(t, broken("locations", faults.LoseState))
		wantErr(t, a.p.Promote(t.Context(), at), provider.Terminal, provider.ReasonInvalidState)
		if got := a.active(t, at.Wallet); got != at.OldShareSet {
			t.Errorf("%s is active", got)
		}
	})
}

// TestSwapTakenNotDone: a vendor that answers "pending" has not swapped, and is
// not believed to have.
func TestSwapTakenNotDone(t *testing.T) {
	a := newAccount(t, 1, map[string]string{assume.LocationsReply: assume.PendingOnce}, nil)
	c := a.customers[0]
	at, share := a.prepare(t, c)
	wantErr(t, a.p.Promote(t.Context(), at), provider.InDoubt, provider.ReasonProviderError)
	if got := a.active(t, at.Wallet); got != c.ShareSetID {
		t.Errorf("%s is active", got)
	}
	if err := a.p.Promote(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	a.wantSwapped(t, at, c.Share, share)
}

// TestOldBackend: a room without a named pending set is recorded and refused.
func TestOldBackend(t *testing.T) {
	for _, reply := range []string{assume.ByAccept, assume.JSONOnly} {
		a := newAccount(t, 1, map[string]string{assume.RefreshFields: assume.Legacy, assume.RefreshReply: reply}, nil)
		at := a.attempt(a.customers[0])
		_, err := a.open(t.Context(), &at)
		wantErr(t, err, provider.Terminal, provider.ReasonProviderError)
		if at.Refs.Room == "" || at.PendingShareSet != "" {
			t.Errorf("%s: recorded %q %+v", reply, at.PendingShareSet, at.Refs)
		}
	}
}

// TestSecondRefresh: an attempt is given up after room_created, the next one
// starts from the old share, whatever the vendor does with the first set.
func TestSecondRefresh(t *testing.T) {
	for _, how := range []string{assume.Coexists, assume.InvalidatesOlder, assume.Refused, assume.Same} {
		t.Run(how, func(t *testing.T) {
			a := newAccount(t, 1, map[string]string{assume.SecondRefresh: how}, nil)
			c := a.customers[0]
			first := a.attempt(c)
			s, err := a.open(t.Context(), &first)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			if how == assume.Refused {
				second := a.attempt(c)
				_, err := a.open(t.Context(), &second)
				wantErr(t, err, provider.Retryable, provider.ReasonInvalidState)
				return
			}
			second, share := a.prepare(t, c)
			if err := a.p.Promote(t.Context(), second); err != nil {
				t.Fatal(err)
			}
			a.wantSwapped(t, second, c.Share, share)
		})
	}
}

// TestDrift: when somebody else has rotated the wallet, nothing is opened on
// the set that is no longer active.
func TestDrift(t *testing.T) {
	for _, stale := range []string{assume.NotFound, assume.Unprocessable} {
		a := newAccount(t, 1, map[string]string{assume.StaleShareSet: stale}, nil)
		c := a.customers[0]
		late := a.attempt(c)
		if _, err := a.p.Inspect(t.Context(), late.Wallet); err != nil { // clears the old set
			t.Fatal(err)
		}
		other := newProviderFor(t, a)
		at, share := other.prepare(t, c)
		if err := other.p.Promote(t.Context(), at); err != nil {
			t.Fatal(err)
		}

		// The first try still trusts its inspection; the vendor refuses it.
		_, err := a.open(t.Context(), &late)
		class, reason := provider.ClassOf(err)
		if err == nil || reason != provider.ReasonInvalidState || (class != provider.Terminal && class != provider.Retryable) {
			t.Errorf("%s: Open = %v", stale, err)
		}
		// The second looks for itself.
		_, err = a.open(t.Context(), &late)
		wantErr(t, err, provider.Verification, provider.ReasonVerification)
		if view, _ := a.vendor.View(c.WalletID); len(view.Pending) != 0 || !mpc.CanSign(share, view.Active.Share) {
			t.Errorf("%s: the wallet was touched", stale)
		}
	}
}

// newProviderFor is a second process at the same account.
func newProviderFor(t *testing.T, a *account) *account {
	t.Helper()
	other := *a
	p, err := New(a.p.opts)
	if err != nil {
		t.Fatal(err)
	}
	other.p = p
	return &other
}
