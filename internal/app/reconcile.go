package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/scheduler"
	"github.com/rotatord/rotatord/internal/store"
)

// ErrNoWallet says that the table has no wallet of an id.
var ErrNoWallet = errors.New("there is no such wallet")

const (
	comparePage    = 200
	compareWorkers = 8
	// answerPoll is how often the daemon's answers are looked for.
	answerPoll = 200 * time.Millisecond
)

// ReconcileOptions of Reconcile.
type ReconcileOptions struct {
	Provider string // empty: all
	Policy   string // empty: all, and wallets of none
	WalletID int64  // 0: all
	From     int64  // the first wallet; 0: all
	// Apply requests the daemon to reconcile what differs, as Actor and for
	// Reason. Without it nothing is changed.
	Apply         bool
	Actor, Reason string
	// Wait is how long the daemon's answers are waited for; zero: not at all.
	Wait time.Duration
	// Found is called with the comparisons of some wallets, in the order of their
	// ids: first of all of them, then again of those that the daemon was asked
	// to reconcile and has answered.
	Found func(again bool, page []rotation.Comparison) error
}

// Reconciliation is what a comparison of many wallets came to.
type Reconciliation struct {
	// Results count the wallets, as they were found last.
	Results store.Counts `json:"results"`
	Wallets int64        `json:"wallets"`
	Differ  int64        `json:"differ"` // of them: somebody has something to do
	// Requests were made to the daemon; Refused of them were refused, Open are
	// not answered, or their wallets still being compared.
	Requests int              `json:"requests"`
	Refused  map[int64]string `json:"refused,omitempty"` // wallet → why
	Open     int64            `json:"open"`
	// Next is the first wallet that was not compared; 0: all were.
	Next int64 `json:"next_wallet,omitempty"`

	asked    []int64 // wallets
	requests []int64
	differed map[int64]rotation.Comparison // of asked, as found first
}

// Reconcile compares wallets with vendors and co-signers, and with Apply has the
// daemon reconcile them. It writes requests and nothing else, and needs no
// daemon but for the answers. What it returns beside an error is how far it
// came.
func Reconcile(ctx context.Context, cfg *config.Config, o ReconcileOptions) (_ *Reconciliation, err error) {
	if err := cfg.ReadyToServe(); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	p, err := meet(cfg, nil, log)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if o.Provider != "" && p.providers[o.Provider] == nil {
		return nil, fmt.Errorf("%w: the configuration has no provider %q", ErrNoProvider, o.Provider)
	}
	database := *cfg
	database.Database.AutoMigrate = false // this command changes nothing of the kind
	s, err := openStore(ctx, &database, log)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if o.Policy != "" {
		if there, err := s.PolicyNamed(ctx, o.Policy); err != nil {
			return nil, err
		} else if !there {
			return nil, fmt.Errorf("%w: %q", store.ErrNoPolicy, o.Policy)
		}
	}
	r := &Reconciliation{Results: store.Counts{}, differed: map[int64]rotation.Comparison{}}
	compare := &rotation.Comparer{Store: s, Providers: p.providers, CoSigner: p.coSigner, Call: cfg.Rotation.CallTimeout, Workers: compareWorkers}
	if err := r.walk(ctx, s, compare, o); err != nil {
		return r, err
	}
	if len(r.requests) > 0 && o.Wait > 0 {
		err = r.wait(ctx, s, compare, o)
	}
	return r, err
}

// walk compares page by page.
func (r *Reconciliation) walk(ctx context.Context, s *store.Store, compare *rotation.Comparer, o ReconcileOptions) error {
	for after := o.From - 1; ; {
		r.Next = after + 1
		page, err := r.page(ctx, s, o, after)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			r.Next = 0
			return nil
		}
		found, err := compare.Wallets(ctx, page)
		if err != nil {
			return err
		}
		if err := r.take(ctx, s, found, o); err != nil {
			return err
		}
		after = page[len(page)-1].Wallet.ID
		if o.WalletID != 0 {
			r.Next = 0
			return nil
		}
	}
}

func (r *Reconciliation) page(ctx context.Context, s *store.Store, o ReconcileOptions, after int64) ([]store.Standing, error) {
	if o.WalletID == 0 {
		return s.Standings(ctx, store.StandingFilter{Provider: o.Provider, Policy: o.Policy}, after, comparePage)
	}
	page, err := s.StandingsOf(ctx, o.WalletID)
	page = slices.DeleteFunc(page, func(x store.Standing) bool {
		return o.Provider != "" && x.Wallet.Provider != o.Provider || o.Policy != "" && x.Policy != o.Policy
	})
	if err == nil && len(page) == 0 {
		err = fmt.Errorf("%w: %d", ErrNoWallet, o.WalletID)
	}
	return page, err
}

// take counts what was found, and requests what can be done about it.
func (r *Reconciliation) take(ctx context.Context, s *store.Store, found []rotation.Comparison, o ReconcileOptions) error {
	var ask []int64
	for _, c := range found {
		r.Wallets++
		r.count(c, 1)
		if o.Apply && c.Request() {
			ask = append(ask, c.WalletID)
			r.differed[c.WalletID] = rotation.Comparison{Provider: c.Provider, Result: c.Result, Attention: c.Attention}
		}
	}
	if len(ask) > 0 {
		requests, err := s.AskReconcile(ctx, ask, o.Actor, o.Reason)
		if err != nil {
			return err
		}
		r.asked, r.requests = append(r.asked, ask...), append(r.requests, requests...)
		r.Requests = len(r.requests)
	}
	return o.Found(false, found)
}

func (r *Reconciliation) count(c rotation.Comparison, n int64) {
	r.Results.Add(c.Provider, string(c.Result), n)
	if !c.Fine() {
		r.Differ += n
	}
}

// wait waits for the daemon, and compares again what it was asked to reconcile.
func (r *Reconciliation) wait(ctx context.Context, s *store.Store, compare *rotation.Comparer, o ReconcileOptions) error {
	waiting, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	tick := time.NewTicker(answerPoll)
	defer tick.Stop()
	for over := false; ; {
		unanswered, looking, refused, err := s.Reconciling(ctx, r.requests)
		if err != nil {
			return err
		}
		r.Open, r.Refused = unanswered+looking, refused
		if r.Open == 0 || over {
			break
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			over = true
		}
	}
	for page := range slices.Chunk(r.asked, comparePage) {
		standings, err := s.StandingsOf(ctx, page...)
		if err != nil {
			return err
		}
		found, err := compare.Wallets(ctx, standings)
		if err != nil {
			return err
		}
		for _, c := range found {
			r.count(r.differed[c.WalletID], -1)
			r.count(c, 1)
		}
		if err := o.Found(true, found); err != nil {
			return err
		}
	}
	return nil
}

// reconcile is when and how fast the daemon compares all wallets by itself.
func reconcile(cfg *config.Config) (scheduler.Reconcile, error) {
	r := scheduler.Reconcile{Pace: paceOf(cfg.Providers, cfg.Reconcile.LimitShare)}
	if cfg.Reconcile.Schedule == "" {
		return r, nil
	}
	var err error
	if r.Schedule, err = scheduler.ParseSchedule(cfg.Reconcile.Schedule, "UTC", scheduler.Rules{}); err != nil {
		return r, fmt.Errorf("reconcile.schedule: %w", err)
	}
	return r, nil
}

// results are the names of what a comparison may find.
func results() (names []string) {
	for _, r := range rotation.Results {
		names = append(names, string(r))
	}
	return names
}
