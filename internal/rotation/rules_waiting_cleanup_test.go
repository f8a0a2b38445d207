package rotation

import (
	"context"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/store"
)

// TestRule10CleanUpThatGoesOn: a vendor that is not done is no failure, however
// often it is asked. People hear of it when the provider says so, and the history
// gets what the vendor did.
func TestRule10CleanUpThatGoesOn(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	r.spy.grace = new(time.Duration)
	answer := error(&provider.NotYet{Doing: "resharing"})
	r.spy.on(onRetire, func(context.Context, provider.Attempt) error { return answer })
	x := r.rotated()
	look := func(wait error) {
		t.Helper()
		answer = wait
		r.exec(`UPDATE retirements SET next_try = now() - interval '1 second'`)
		if n, err := x.Retire(t.Context()); n != 1 || err != nil {
			t.Fatalf("%d clean-ups were looked at: %v", n, err)
		}
	}
	attention := func() string {
		t.Helper()
		return value[string](r, `SELECT coalesce(string_agg(reason || ': ' || detail, '; '), '') FROM attention`)
	}
	for range 2 * retireAttempts {
		look(&provider.NotYet{Doing: "resharing", CheckAgain: time.Hour})
	}
	if got := attention(); got != "" || value[int](r, `SELECT attempts FROM retirements`) != 0 {
		t.Errorf("waiting counts as a failure: %q", got)
	}
	if left := value[float64](r, `SELECT extract(epoch FROM next_try - now())::float8 FROM retirements`); left < 3500 || left > 3600 {
		t.Errorf("it is looked at again after %v s", left)
	}
	if n, err := x.Retire(t.Context()); n != 0 || err != nil {
		t.Errorf("%d clean-ups were looked at before their time: %v", n, err)
	}
	for _, tt := range []struct {
		wait *provider.NotYet
		want store.Attention
	}{
		{&provider.NotYet{Doing: "resharing", WaitsFor: "bob"}, store.WaitsForApproval},
		{&provider.NotYet{Doing: "resharing", WaitsFor: "bob", Person: true}, store.NeedsPerson},
	} {
		look(tt.wait)
		if got, want := attention(), string(tt.want)+": resharing: waits for bob"; got != want {
			t.Errorf("people read %q, want %q", got, want)
		}
	}
	look(&provider.NotYet{Doing: "resharing"})
	if got := attention(); got != "" {
		t.Errorf("after the wait people read %q", got)
	}
	r.histories("baseline", "activated")
	r.spy.said = "the vendor replaced this and that"
	look(nil)
	r.histories("baseline", "activated", "retired")
	if said := value[string](r, `SELECT vendor_said FROM share_set_history WHERE outcome = 'retired'`); said != r.spy.said {
		t.Errorf("on record is %q", said)
	}
	r.healthy()
}
