package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// ErrNoTarget says that what a person named is not there.
var ErrNoTarget = errors.New("no such target")

// Target is what a person pauses, resumes or asks something for. The zero value
// is everything.
type Target struct {
	WalletID   int64
	Provider   string // without an external id: all wallets of the provider
	ExternalID string
	Policy     string
}

// String is the target as people say it.
func (t Target) String() string {
	switch {
	case t.WalletID != 0:
		return fmt.Sprintf("wallet %d", t.WalletID)
	case t.ExternalID != "":
		return fmt.Sprintf("wallet %s of %s", t.ExternalID, t.Provider)
	case t.Policy != "":
		return "policy " + t.Policy
	case t.Provider != "":
		return "provider " + t.Provider
	}
	return "everything"
}

// SteerOptions of [Pause], [Resume] and [Ask].
type SteerOptions struct {
	// DatabaseURL is the login of a member of rotatord_operator.
	DatabaseURL   string
	Target        Target
	Actor, Reason string
	// Wait is how long Ask waits for the daemon's answers; zero: not at all.
	Wait time.Duration
}

// Paused is what came of a pause or a resumption.
type Paused struct {
	Target string `json:"target"`
	// Changed is false where it was so before.
	Changed bool `json:"changed"`
	// Holds are all reasons for which no attempt begins now.
	Holds []string `json:"holds"`
	// UnderWay are the rotations that have an attempt open, which comes to its
	// end also in a pause.
	UnderWay map[store.State]int64 `json:"under_way"`
}

// Pause keeps attempts from beginning. Those that are open come to their end.
func Pause(ctx context.Context, o SteerOptions) (*Paused, error) {
	return edit(ctx, o, (*store.Operator).Pause)
}

// Resume ends a pause of the target, and no wider or narrower one.
func Resume(ctx context.Context, o SteerOptions) (*Paused, error) {
	return edit(ctx, o, (*store.Operator).Resume)
}

func edit(ctx context.Context, o SteerOptions, do func(*store.Operator, context.Context, store.Scope, string, string) (bool, error)) (*Paused, error) {
	operator, scope, err := steer(ctx, o)
	if err != nil {
		return nil, err
	}
	defer operator.Close(ctx)
	p := &Paused{Target: o.Target.String()}
	if p.Changed, err = do(operator, ctx, scope, o.Actor, o.Reason); err != nil {
		return nil, err
	}
	if p.Holds, err = operator.Holds(ctx, scope); err != nil {
		return nil, err
	}
	p.UnderWay, err = operator.UnderWay(ctx, scope)
	return p, err
}

// Requested is what was asked of the daemon, and its answers so far.
type Requested struct {
	Action   string        `json:"action"`
	Target   string        `json:"target"`
	Requests []store.Asked `json:"requests"`
	// Holds are reasons for which the daemon begins nothing of the target.
	Holds []string `json:"holds"`
}

// Count is the number of requests in a state.
func (r *Requested) Count(state string) (n int) {
	for _, q := range r.Requests {
		if q.State == state {
			n++
		}
	}
	return n
}

// Ask inserts requests of an action for a wallet; for a policy, rotate starts a
// cycle and retry is one for each of its wallets that waits. What it returns
// beside an error was inserted.
func Ask(ctx context.Context, action string, o SteerOptions) (*Requested, error) {
	operator, scope, err := steer(ctx, o)
	if err != nil {
		return nil, err
	}
	defer operator.Close(ctx)
	r := &Requested{Action: action, Target: o.Target.String(), Requests: []store.Asked{}, Holds: []string{}}
	var ids []int64
	wallets := []int64{scope.WalletID}
	switch {
	case scope.PolicyID != 0 && action == "rotate":
		ids, err = operator.AskPolicy(ctx, scope.PolicyID, o.Actor, o.Reason)
	case scope.PolicyID != 0:
		if wallets, err = operator.Waiting(ctx, scope.PolicyID); err != nil {
			return nil, err
		}
		fallthrough
	default:
		ids, err = operator.Ask(ctx, action, wallets, o.Actor, o.Reason)
	}
	if err != nil {
		return nil, err
	}
	// They are there, also when nothing more can be read about them.
	for i, id := range ids {
		q := store.Asked{RequestID: id, WalletID: wallets[i], State: store.RequestOpen}
		if scope.PolicyID != 0 && action == "rotate" {
			q.Policy = o.Target.Policy
		}
		r.Requests = append(r.Requests, q)
	}
	if r.Holds, err = operator.Holds(ctx, scope); err != nil {
		return r, err
	}
	return r, r.wait(ctx, operator, ids, o.Wait)
}

// wait looks until everything is answered, or for so long.
func (r *Requested) wait(ctx context.Context, operator *store.Operator, ids []int64, most time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(answerPoll)
	defer tick.Stop()
	for over := most == 0; ; {
		now, err := operator.Answers(ctx, ids)
		if err != nil {
			return err
		}
		r.Requests = now
		if over || r.Count(store.RequestOpen) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("waiting for the answer: %w", err)
			}
			over = true
		}
	}
}

// steer logs in and finds the target.
func steer(ctx context.Context, o SteerOptions) (_ *store.Operator, s store.Scope, err error) {
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	operator, err := store.ConnectOperator(connecting, o.DatabaseURL)
	if err != nil {
		return nil, s, OneLine(err)
	}
	defer func() {
		if err != nil {
			operator.Close(ctx)
		}
	}()
	switch t := o.Target; {
	case t.ExternalID != "":
		s.WalletID, err = operator.WalletID(ctx, t.Provider, t.ExternalID)
	case t.Policy != "":
		s.PolicyID, err = operator.PolicyID(ctx, t.Policy)
	default:
		s.WalletID, s.Provider = t.WalletID, t.Provider
		var there bool
		if there, err = operator.Exists(ctx, s); err == nil && !there {
			err = missingTarget(t)
		}
	}
	return operator, s, err
}

func missingTarget(t Target) error {
	if t.WalletID != 0 {
		return fmt.Errorf("%w: %d", store.ErrNoSuchWallet, t.WalletID)
	}
	return fmt.Errorf("%w: no wallet in the table is of provider %q", ErrNoTarget, t.Provider)
}
