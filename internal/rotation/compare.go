package rotation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

const (
	// secondLook is how long after a difference it is looked at again. A vendor
	// that has just swapped may need a moment until all of it says so.
	secondLook = 500 * time.Millisecond
	// restTries is how often a wallet is asked for again of a vendor that wants
	// to be left alone, and restMost the longest that it is left.
	restTries = 5
	restMost  = time.Minute
	// silenceMost is after how many questions in a row without an answer a vendor
	// or co-signer is not asked any more: each may have taken a whole timeout.
	silenceMost = 20
)

// Comparison of one wallet.
type Comparison struct {
	WalletID   int64  `json:"wallet_id"`
	Provider   string `json:"provider"`
	ExternalID string `json:"external_id"`
	Policy     string `json:"policy,omitempty"`
	Result     Result `json:"result"`
	Detail     string `json:"detail,omitempty"`
	NextStep   string `json:"next_step,omitempty"`
	// The share sets that are named active or current; empty: none, or not told.
	OnRecord   string `json:"on_record,omitempty"`
	AtVendor   string `json:"at_vendor,omitempty"`
	AtCoSigner string `json:"at_cosigner,omitempty"`
	// Class of the failure where somebody could not be asked.
	Class provider.Class `json:"class,omitempty"`
	// Attention is why a rotation of the wallet waits for a person already.
	Attention store.Attention `json:"attention,omitempty"`
}

// Fine says that nobody has anything to do about the wallet.
func (c Comparison) Fine() bool {
	return c.Result.Fine() && (c.Result != InMotion || c.Attention == "")
}

// Request says whether a request to reconcile is of any use. What a person was
// called for already needs that person, not another look.
func (c Comparison) Request() bool {
	return c.Result.request() && (c.Attention == "" || c.Result == Reconcilable || c.Result == CommitPending)
}

// Comparer compares vendor, co-signer and record. It changes nothing anywhere,
// and needs no lease. It is safe for concurrent use.
type Comparer struct {
	Store     *store.Store
	Providers map[string]provider.Provider
	// CoSigner as in [Options].
	CoSigner func(provider, named string) *cosigner.Client
	// Call is the longest that one call may take.
	Call time.Duration
	// Pace waits until one more wallet of the provider may be asked for; nil: at
	// once. The limits of the provider's own client hold in any case.
	Pace func(ctx context.Context, provider string) error
	// Workers is how many wallets are compared at a time.
	Workers int

	mu     sync.Mutex
	silent map[string]int // party → questions in a row without an answer
}

// Wallets compares some wallets, and returns as many comparisons, in the same
// order, less those that were deleted meanwhile. An error is one of the
// record, or the end of ctx.
func (c *Comparer) Wallets(ctx context.Context, wallets []store.Standing) ([]Comparison, error) {
	found := make([]*Comparison, len(wallets))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.Workers))
	for i, s := range wallets {
		g.Go(func() (err error) {
			found[i], err = c.wallet(ctx, s)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make([]Comparison, 0, len(found))
	for _, f := range found {
		if f != nil {
			out = append(out, *f)
		}
	}
	return out, nil
}

// wallet looks twice before it reports a difference: a rotation may have run
// between the reading of the record and the answers. The second time nothing
// may have moved on record while the others were asked. It is nil for a wallet
// that was deleted.
func (c *Comparer) wallet(ctx context.Context, s store.Standing) (*Comparison, error) {
	first, err := c.look(ctx, s)
	if err != nil || first.Fine() || first.Result == InMotion {
		return first, err
	}
	if !pause(ctx, secondLook) {
		return nil, ctx.Err()
	}
	before, err := c.Store.StandingsOf(ctx, s.Wallet.ID)
	if err != nil || len(before) == 0 {
		return nil, err
	}
	second, err := c.look(ctx, before[0])
	if err != nil || second.Fine() {
		return second, err
	}
	after, err := c.Store.StandingsOf(ctx, s.Wallet.ID)
	if err != nil || len(after) == 0 {
		return nil, err
	}
	if before[0].Moved(after[0]) {
		second.Result, second.Detail, second.Class = InMotion, "a rotation went on while it was compared", ""
		second.NextStep = second.Result.NextStep()
	}
	return second, nil
}

// look compares once.
func (c *Comparer) look(ctx context.Context, s store.Standing) (*Comparison, error) {
	w := s.Wallet
	out := &Comparison{WalletID: w.ID, Provider: w.Provider, ExternalID: w.ExternalID, Policy: s.Policy,
		OnRecord: s.Head.ActiveShareSet, Attention: s.Attention}
	switch s.State {
	case store.Opening, store.Ceremony, store.Prepared, store.Promoted:
		out.Result, out.Detail = InMotion, fmt.Sprintf("its rotation is in %s", s.State)
		if s.Attention != "" {
			out.Detail += " and waits for a person: " + string(s.Attention)
			out.NextStep = "see the view attention"
		}
		return out, nil
	}
	seen, err := c.view(ctx, s)
	if ended := ctx.Err(); ended != nil {
		return nil, ended
	}
	out.AtVendor, out.AtCoSigner = seen.vendor.ActiveShareSet, seen.held.CurrentShareSetID
	if err == nil {
		f := judge(seen)
		if f.follow && f.err == nil && !seen.coSigned {
			if f.err = givenUp(ctx, c.Store, w.ID, out.AtVendor, out.OnRecord); f.err != nil {
				f.result = Drift
			}
			var u *unrecorded
			if errors.As(f.err, &u) {
				return nil, u.err
			}
		}
		out.Result = f.result
		switch {
		case f.err != nil:
			out.Detail = f.err.Error()
		case f.follow:
			out.Detail = fmt.Sprintf("the vendor uses share set %s, on record is %s", out.AtVendor, out.OnRecord)
		case f.commit != nil:
			out.Detail = fmt.Sprintf("the vendor's active share set is %s, the co-signer's current share is of %s", out.AtVendor, quoted(out.AtCoSigner))
		}
	} else {
		class, reason := provider.ClassOf(err)
		out.Detail = err.Error()
		switch {
		case class == provider.Verification:
			out.Result = Mismatch
		case class == provider.Terminal && reason != provider.ReasonAuth && reason != provider.ReasonCoSigner:
			out.Result = Refused
		default:
			out.Result, out.Class = Unreachable, class
		}
	}
	out.NextStep = out.Result.NextStep()
	return out, nil
}

// view asks vendor and co-signer.
func (c *Comparer) view(ctx context.Context, s store.Standing) (view, error) {
	w := s.Wallet
	seen := view{wallet: w, head: s.Head}
	p := c.Providers[w.Provider]
	if p == nil {
		return seen, provider.Errorf(provider.Terminal, provider.ReasonAuth, "provider %s is not in the configuration", w.Provider)
	}
	seen.coSigned = p.CoSigned()
	vendor := "provider " + w.Provider
	if err := c.gaveUp(vendor); err != nil {
		return seen, err
	}
	asked := provider.Wallet{ID: w.ID, ExternalID: w.ExternalID, Chain: w.Chain, Settings: w.Settings}
	if s.Head.ActiveShareSet != "" {
		asked.Address = w.Address // the baseline has vouched for it
	}
	err := c.patiently(ctx, w.Provider, func() (err error) {
		if seen.vendor, err = inspect(ctx, p, asked, c.Call); told(seen.vendor, err) {
			err = nil
		}
		return err
	})
	c.note(vendor, err)
	if err != nil || !seen.coSigned {
		return seen, err
	}
	signer, err := coSignerOf(c.CoSigner, w)
	if err != nil {
		return seen, err
	}
	party := "co-signer " + signer.Name()
	if err := c.gaveUp(party); err != nil {
		return seen, err
	}
	seen.held, err = held(ctx, signer, w, c.Call)
	c.note(party, err)
	if errors.Is(err, errUnknown) {
		seen.unheld, err = err, nil
	}
	return seen, err
}

// patiently asks again when the vendor wants to be left alone for a while.
func (c *Comparer) patiently(ctx context.Context, name string, ask func() error) (err error) {
	for range restTries {
		if c.Pace != nil {
			if err := c.Pace(ctx, name); err != nil {
				return err
			}
		}
		err = ask()
		if class, _ := provider.ClassOf(err); err == nil || class != provider.RateLimited {
			return err
		}
		if !pause(ctx, min(max(provider.RetryAfter(err), time.Second), restMost)) {
			return ctx.Err()
		}
	}
	return err
}

// gaveUp is not nil when a party is not asked any more.
func (c *Comparer) gaveUp(party string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent[party] < silenceMost {
		return nil
	}
	return provider.Errorf(provider.Retryable, provider.ReasonProviderError,
		"not asked: the last %d questions to %s had no answer", silenceMost, party)
}

// note counts the questions in a row to which a party had no answer.
func (c *Comparer) note(party string, err error) {
	class, reason := provider.ClassOf(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent == nil {
		c.silent = map[string]int{}
	}
	if err != nil && (class == provider.Retryable || class == provider.RateLimited || reason == provider.ReasonAuth) {
		c.silent[party]++
	} else {
		c.silent[party] = 0
	}
}
