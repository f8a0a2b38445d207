package cobo

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

const slow = time.Second // the call time-out of tests that wait for one

func breaks(operation string, kind faults.Kind) faults.Fault {
	return faults.Fault{Operation: "cobo." + operation, Kind: kind, Delay: 5 * slow, Times: 1}
}

func status(operation string, code int) faults.Fault {
	return faults.Fault{Operation: "cobo." + operation, Kind: faults.Status, Status: code, RetryAfter: 3, Times: 1}
}

// TestFaultsOfCreating: whatever happens to one of the two calls that create
// something, nothing is created twice, a lost answer is found again, and after
// a discard the next attempt succeeds and nothing is left.
func TestFaultsOfCreating(t *testing.T) {
	for _, operation := range []string{"create_group", "create_tss_request"} {
		for name, tt := range map[string]struct {
			fault  faults.Fault
			class  provider.Class // empty: it succeeds all the same
			reason provider.Reason
		}{
			"lost reply":   {breaks(operation, faults.LostReply), "", ""},
			"half a reply": {breaks(operation, faults.DropStream), "", ""},
			"lost request": {breaks(operation, faults.LostRequest), provider.InDoubt, provider.ReasonProviderError},
			"slow":         {breaks(operation, faults.Latency), provider.InDoubt, provider.ReasonTimeout},
			"500":          {status(operation, 500), provider.InDoubt, provider.ReasonProviderError},
			"502":          {status(operation, 502), provider.InDoubt, provider.ReasonProviderError},
			"504":          {status(operation, 504), provider.InDoubt, provider.ReasonTimeout},
			"429":          {status(operation, 429), provider.RateLimited, provider.ReasonRateLimited},
			"403":          {status(operation, 403), provider.Terminal, provider.ReasonAuth},
		} {
			t.Run(operation+" "+name, func(t *testing.T) {
				t.Parallel()
				o := newOrganisation(t, nil, func(opts *Options) { opts.CallTimeout = slow })
				a := o.attempt()
				o.fail(tt.fault)
				s, err := o.open(&a)
				if tt.class == "" {
					if err != nil {
						t.Fatal(err)
					}
					if _, err := o.await(s); err != nil {
						t.Fatal(err)
					}
				} else {
					o.wantErr(err, tt.class, tt.reason)
				}
				if after := provider.RetryAfter(err); err != nil && tt.fault.Status == 429 && after != 3*time.Second {
					t.Errorf("RetryAfter = %s", after)
				}
				if got := o.vendor.Stats().Requests["cobo."+operation]; got != 1 {
					t.Errorf("asked %d times", got)
				}
				if err := o.p.Discard(t.Context(), a); err != nil {
					t.Fatal(err)
				}
				o.wantNothingLeft()
				o.rotate()
				o.wantNothingLeft()
			})
		}
	}
}

// TestLateGroup: the group appears after the attempt was given up and looked
// for. It is swept by the next attempt, or found by a late Discard.
func TestLateGroup(t *testing.T) {
	for _, discardFirst := range []bool{true, false} {
		o := newOrganisation(t, nil, nil)
		o.p.opts.Nodes = o.vendor.Nodes()[:2] // no other node to turn to
		a := o.attempt()
		o.fail(faults.Fault{Operation: "cobo.create_group", Kind: faults.LateEffect, Delay: 300 * time.Millisecond, Times: 1})
		_, err := o.open(&a)
		o.wantErr(err, provider.InDoubt, provider.ReasonProviderError)
		if discardFirst {
			if err := o.p.Discard(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		o.until(func() bool { return len(o.vendor.Stats().Orphans.Groups) == 1 })
		if !discardFirst {
			if err := o.p.Discard(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			o.wantNothingLeft()
		}
		o.rotate()
		o.wantNothingLeft()
	}
}

// until polls for something that the sandbox does by itself.
func (o *organisation) until(ok func() bool) {
	o.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); o.pause(pace) {
		if time.Now().After(deadline) {
			o.t.Fatal("it did not happen within 20 s")
		}
	}
}

// TestGroupThatIsNotThere: the vendor says that it created a group and did not.
func TestGroupThatIsNotThere(t *testing.T) {
	o := newOrganisation(t, nil, nil)
	a := o.attempt()
	o.fail(faults.Fault{Operation: "cobo.create_group", Kind: faults.LoseState, Times: 1})
	_, err := o.open(&a)
	o.wantErr(err, provider.Retryable, provider.ReasonInvalidState)
	if err := o.p.Discard(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	o.rotate()
	o.wantNothingLeft()
}

// TestCrashAtEachCheckpoint ends the process wherever Open records something,
// before or after it is on record, and lets another process go on.
func TestCrashAtEachCheckpoint(t *testing.T) {
	for _, vanish := range []string{assume.GroupStaysNew, assume.GroupVanishes} {
		for at := 1; at <= 3; at++ {
			for _, recorded := range []bool{true, false} {
				o := newOrganisation(t, map[string]string{assume.CoboAfterCancel: vanish}, nil)
				a := o.attempt()
				n := 0
				crash := errors.New("crash")
				_, err := o.p.Open(t.Context(), a, func(ctx context.Context, pending string, refs provider.Refs) error {
					if n++; n == at {
						if recorded {
							keep(&a)(ctx, pending, refs)
						}
						return crash
					}
					return keep(&a)(ctx, pending, refs)
				})
				if !errors.Is(err, crash) {
					t.Fatalf("Open went on after a checkpoint failed: %v", err)
				}
				next := o.restarted()
				s, err := next.p.Resume(t.Context(), a, keep(&a))
				switch requested := at == 3; {
				case requested:
					if err != nil {
						t.Fatalf("checkpoint %d, recorded %v: %v", at, recorded, err)
					}
					if _, err := next.await(s); err != nil {
						t.Fatal(err)
					}
					if err := next.p.Promote(t.Context(), a); err != nil {
						t.Fatal(err)
					}
					next.wantActive(a.PendingShareSet)
				case !errors.Is(err, provider.ErrSessionLost):
					t.Fatalf("checkpoint %d, recorded %v: Resume = %v", at, recorded, err)
				case at == 2 && a.PendingShareSet == "":
					t.Error("the group that Resume found is not on record")
				default:
					for range 2 {
						if err := next.p.Discard(t.Context(), a); err != nil {
							t.Fatal(err)
						}
					}
					next.rotate()
				}
				next.wantNothingLeft()
			}
		}
	}
}

// TestDiscardInTheMiddle: an attempt is given up while its TSS request runs.
func TestDiscardInTheMiddle(t *testing.T) {
	for _, choose := range []map[string]string{
		nil,
		{assume.CoboAfterCancel: assume.GroupVanishes},
		{assume.CoboDeletedGroup: assume.Unavailable, assume.CoboWrongState: assume.ServerError},
		{assume.CoboDeletedGroup: assume.UnknownStatus, assume.CoboAfterCancel: assume.GroupVanishes},
		{assume.CoboListRequests: assume.Both},
	} {
		o := newOrganisation(t, choose, nil)
		o.fail(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.ApprovalDelay, Delay: time.Hour, Times: 1})
		a := o.attempt()
		s, err := o.open(&a)
		if err != nil {
			t.Fatal(err)
		}
		if ready, err := s.Await(t.Context()); err != nil || ready.Ready {
			t.Fatalf("Await = %+v, %v", ready, err)
		}
		for range 2 {
			if err := o.p.Discard(t.Context(), a); err != nil {
				t.Fatalf("%v: %v", choose, err)
			}
		}
		o.wantNothingLeft()
		o.rotate()
	}
}

// TestFaultsOfDiscarding: each call of it may fail; the next try ends well.
func TestFaultsOfDiscarding(t *testing.T) {
	for _, f := range []faults.Fault{
		breaks("cancel_tss_request", faults.LostReply), breaks("cancel_tss_request", faults.LostRequest),
		status("cancel_tss_request", 500), breaks("cancel_tss_request", faults.LoseState), status("cancel_tss_request", 429),
		breaks("delete_group", faults.LostReply), breaks("delete_group", faults.LostRequest), breaks("delete_group", faults.DropStream),
		status("delete_group", 500), status("delete_group", 429), breaks("delete_group", faults.Reject), breaks("delete_group", faults.LoseState),
		breaks("list_groups", faults.LoseState), breaks("list_groups", faults.LostReply), breaks("get_group", faults.LoseState),
		breaks("get_group", faults.DropStream), status("get_vault", 503), breaks("list_tss_requests", faults.DropStream),
		{Operation: "cobo.delete_group", Kind: faults.LateEffect, Delay: time.Millisecond, Times: 1},
	} {
		t.Run(f.Operation+" "+string(f.Kind), func(t *testing.T) {
			t.Parallel()
			o := newOrganisation(t, nil, nil)
			o.fail(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.ApprovalDelay, Delay: time.Hour, Times: 1})
			a := o.attempt()
			if _, err := o.open(&a); err != nil {
				t.Fatal(err)
			}
			o.fail(f)
			o.p.now = func() time.Time { return time.Now().Add(time.Minute) } // nothing rests
			tries := 0
			o.until(func() bool {
				tries++
				// Each try comes later, as the rotation's do.
				o.p.now = func() time.Time { return time.Now().Add(time.Duration(tries) * time.Minute) }
				return o.p.Discard(t.Context(), a) == nil
			})
			o.fail()
			o.wantNothingLeft()
			o.rotate()
		})
	}
}
