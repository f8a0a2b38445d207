package store

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestOutage calls everything while the database cannot be asked. Each error
// keeps its cause, says in words what was being done, and comes with nothing
// that a caller could take for an answer.
func TestOutage(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Ceremony)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := w.Store
	at := s.Now()
	id := r.Wallet.ID
	entry := Follow(r.Head, HistoryRow{WalletID: id, DecidedAt: at})
	request := Request{Action: "retry", WalletID: id}
	calls := map[string]func() (any, error){
		"Abandon":             func() (any, error) { return s.Abandon(ctx, w.epoch, []AbandonStep{{Entry: entry}}) },
		"Advance":             func() (any, error) { return s.Advance(ctx, Tick{PolicyID: r.PolicyID, At: at}) },
		"AdvanceVerification": func() (any, error) { return nil, s.AdvanceVerification(ctx, uuid.Nil, Verification{}, nil, false) },
		"Answer":              func() (any, error) { mine, _, err := s.Answer(ctx, request); return mine, err },
		"AnswerWith":          func() (any, error) { return s.AnswerWith(ctx, request, "x", "") },
		"AskReconcile":        func() (any, error) { return s.AskReconcile(ctx, []int64{id}, "a", "b") },
		"Band":                func() (any, error) { return s.Band(ctx, r.PolicyID, at, Cursor{}, 1) },
		"BeginWalk":           func() (any, error) { _, mine, err := s.BeginWalk(ctx, w.epoch, at); return mine, err },
		"Checkpoint":          func() (any, error) { return s.Checkpoint(ctx, w.epoch, []CheckpointStep{{WalletID: id}}) },
		"Claim":               func() (any, error) { c, err := s.Claim(ctx, Claim{WalletIDs: []int64{id}}); return c.Rotations, err },
		"Committed":           func() (any, error) { return s.Committed(ctx, w.epoch, []CommittedStep{{WalletID: id}}) },
		"Complete":            func() (any, error) { return s.Complete(ctx, r.PolicyID, at) },
		"Admit":               func() (any, error) { return s.Admit(ctx, w.epoch, []AdmitStep{{WalletID: id, Provider: "dyn"}}, 1) },
		"AdmitAfter":          func() (any, error) { return s.AdmitAfter(ctx, "dyn", 1, 0) },
		"Circuits":            func() (any, error) { return s.Circuits(ctx) },
		"Control":             func() (any, error) { c, err := s.Control(ctx); return c.Paused, err },
		"CycleExists":         func() (any, error) { return s.CycleExists(ctx, r.PolicyID, at) },
		"CycleTotal":          func() (any, error) { return s.CycleTotal(ctx, r.PolicyID, at) },
		"Discarded":           func() (any, error) { return nil, s.Discarded(ctx, w.epoch, id, uuid.Nil) },
		"Discover":            func() (any, error) { return s.Discover(ctx, r.PolicyID, at, Cursor{}, 1) },
		"Drop":                func() (any, error) { return nil, s.Drop(ctx, w.epoch, r) },
		"EndWalk":             func() (any, error) { return nil, s.EndWalk(ctx, w.epoch, Walk{}) },
		"Fail":                func() (any, error) { return nil, s.Fail(ctx, w.epoch, r, "retryable", "x", "", at) },
		"FailedSince":         func() (any, error) { return s.FailedSince(ctx, r.PolicyID, at) },
		"Fleet":               func() (any, error) { return s.Fleet(ctx) },
		"GiveUp":              func() (any, error) { return s.GiveUp(ctx, time.Minute) },
		"Heartbeat":           func() (any, error) { return s.Heartbeat(ctx, w.epoch) },
		"History":             func() (any, error) { rows, _, err := s.History(ctx, id); return rows, err },
		"HistoryPage":         func() (any, error) { return s.HistoryPage(ctx, WholeHistory()) },
		"HistoryVerified":     func() (any, error) { _, n, err := s.HistoryVerified(ctx); return n, err },
		"Hold":                func() (any, error) { return nil, s.Hold(ctx, "dyn", at, "x") },
		"Leave":               func() (any, error) { return nil, s.Leave(ctx, w.epoch) },
		"Listen":              func() (any, error) { return nil, s.Listen(ctx, func(string) { t.Error("heard something") }) },
		"Load":                func() (any, error) { return s.Load(ctx, w.epoch, []int64{id}) },
		"MarkInDoubt":         func() (any, error) { return nil, s.MarkInDoubt(ctx, w.epoch, id, at) },
		"MoveWindow":          func() (any, error) { return nil, s.MoveWindow(ctx, r.PolicyID, at, at) },
		"OfProviders":         func() (any, error) { return s.OfProviders(ctx, []int64{id}, []string{"dyn"}) },
		"OpenRequests":        func() (any, error) { return s.OpenRequests(ctx, 1) },
		"OpenRotations":       func() (any, error) { return s.OpenRotations(ctx) },
		"Opening":             func() (any, error) { return s.Opening(ctx, w.epoch, []OpeningStep{{WalletID: id}}) },
		"Owned":               func() (any, error) { return s.Owned(ctx, w.epoch) },
		"Park":                func() (any, error) { return s.Park(ctx, w.epoch, []ParkStep{{WalletID: id}}) },
		"PendingCommits":      func() (any, error) { return s.PendingCommits(ctx) },
		"Policies":            func() (any, error) { return s.Policies(ctx) },
		"PolicyNamed":         func() (any, error) { return s.PolicyNamed(ctx, "treasury") },
		"Prepared":            func() (any, error) { return s.Prepared(ctx, w.epoch, []PreparedStep{{WalletID: id}}) },
		"Promoted":            func() (any, error) { return s.Promoted(ctx, w.epoch, []PromotedStep{{Entry: entry}}) },
		"Ready":               func() (any, error) { return nil, s.Ready(ctx) },
		"Reconcile":           func() (any, error) { return s.Reconcile(ctx, w.epoch, []ReconcileStep{{Entry: entry}}) },
		"Reconciling":         func() (any, error) { _, _, refused, err := s.Reconciling(ctx, []int64{1}); return refused, err },
		"RecordBaseline":      func() (any, error) { return s.RecordBaseline(ctx, w.epoch, []BaselineStep{{Entry: entry}}) },
		"RecordVerdict":       func() (any, error) { return nil, s.RecordVerdict(ctx, Verdict{PolicyID: r.PolicyID}) },
		"Register":            func() (any, error) { return s.Register(ctx, "x", "v") },
		"ReleaseRetirements":  func() (any, error) { return s.ReleaseRetirements(ctx, w.epoch) },
		"ResetFailed":         func() (any, error) { return s.ResetFailed(ctx, r.PolicyID, at, time.Hour) },
		"RetirementDone":      func() (any, error) { return nil, s.RetirementDone(ctx, w.epoch, Retirement{}, "x") },
		"RetirementFailed":    func() (any, error) { return nil, s.RetirementFailed(ctx, w.epoch, Retirement{}, at, "x", "") },
		"RetirementWaits":     func() (any, error) { return nil, s.RetirementWaits(ctx, w.epoch, Retirement{}, at, "x", "") },
		"Retreat":             func() (any, error) { return s.Retreat(ctx, w.epoch, []RetreatStep{{WalletID: id}}) },
		"Retrying":            func() (any, error) { return s.Retrying(ctx, r.PolicyID) },
		"ProviderAnswered":    func() (any, error) { return nil, s.ProviderAnswered(ctx, "dyn", id) },
		"ProviderFailed":      func() (any, error) { return s.ProviderFailed(ctx, "dyn", id, Breaker{Failures: 1}, "x") },
		"RunningCycles":       func() (any, error) { return s.RunningCycles(ctx) },
		"SetNextRuns":         func() (any, error) { return nil, s.SetNextRuns(ctx, r.PolicyID, nil) },
		"Standings":           func() (any, error) { return s.Standings(ctx, StandingFilter{}, 0, 1) },
		"StandingsOf":         func() (any, error) { return s.StandingsOf(ctx, id) },
		"StepWalk":            func() (any, error) { return nil, s.StepWalk(ctx, w.epoch, Walk{}, []int64{id}, "a", "b") },
		"Stop":                func() (any, error) { return s.Stop(ctx, r.PolicyID, at, Stopped, "x") },
		"SyncClock":           func() (any, error) { return s.SyncClock(ctx) },
		"TakeRetirements":     func() (any, error) { return s.TakeRetirements(ctx, w.epoch, 1) },
		"TakeUnderWay":        func() (any, error) { return s.TakeUnderWay(ctx, w.epoch, 1) },
		"TakeVerification":    func() (any, error) { return s.TakeVerification(ctx, uuid.Nil, 0, 0, Verification{}) },
		"TakeWaiting":         func() (any, error) { return s.TakeWaiting(ctx, w.epoch, r.PolicyID, 1, 1) },
		"TakeWalk":            func() (any, error) { _, mine, err := s.TakeWalk(ctx, w.epoch); return mine, err },
		"Unassigned":          func() (any, error) { return s.Unassigned(ctx) },
		"Unclaimed":           func() (any, error) { return s.Unclaimed(ctx, r.PolicyID, at) },
		"VerifyWallet":        func() (any, error) { return nil, s.VerifyWallet(ctx, id) },
		"WaitingPolicies":     func() (any, error) { return s.WaitingPolicies(ctx) },
		"Wake":                func() (any, error) { return s.Wake(ctx, "dyn", "set", "w1") },
		"Walked":              func() (any, error) { return s.Walked(ctx) },
		"WalletCount":         func() (any, error) { return s.WalletCount(ctx, r.PolicyID) },
	}
	before := w.everything()
	for name, call := range calls {
		got, err := call()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if words, _, found := strings.Cut(err.Error(), ": "); !found || !strings.Contains(words, "ing ") && !strings.HasSuffix(words, "ing") {
			t.Errorf("%s: the error does not say what was being done: %v", name, err)
		}
		if got != nil && !reflect.ValueOf(got).IsZero() {
			t.Errorf("%s: answered %v with an error", name, got)
		}
		if errors.Is(err, ErrNotRecorded) || errors.Is(err, ErrTampered) || errors.Is(err, ErrGivenUp) {
			t.Errorf("%s: an outage is taken for an answer: %v", name, err)
		}
	}
	w.same(w.everything(), before, "the record")

	asksNothing := []string{"Close", "Now", "Reconnect", "Writable"}
	methods := reflect.TypeFor[*Store]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if calls[name] == nil && !strings.Contains(strings.Join(asksNothing, " "), name) {
			t.Errorf("%s is not called", name)
		}
	}
}
