package scheduler

import (
	"slices"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// TestAnnouncedRunsHappen: the ticks that a plan and policy_status announce of a
// real daemon are those that it then fires, all of them and no others, and no
// wallet is claimed before its slot or once the window is over.
func TestAnnouncedRunsHappen(t *testing.T) {
	t.Parallel()
	const every, window, spread = 5 * time.Second, 3 * time.Second, time.Second
	r := newRig(t, 6)
	// Whoever claims is written down as it happens: a closed rotation is gone.
	r.exec(`CREATE TABLE starts (wallet_id bigint, tick timestamptz, at timestamptz);
		CREATE FUNCTION started() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN INSERT INTO public.starts VALUES (NEW.wallet_id, NEW.tick, NEW.claimed_at); RETURN NULL; END $$;
		CREATE TRIGGER started AFTER INSERT ON rotations FOR EACH ROW EXECUTE FUNCTION started()`)
	id := r.policy("treasury", "@every 5s", "run_window", window, "spread", spread)
	r.wallets(id, 6, 1, 1000)
	r.start()
	r.eventually("the policy was judged", func() bool { return value[int64](r, `SELECT judged_version FROM policy_state`) == 1 })

	reader, err := store.ConnectReader(t.Context(), r.dsn)
	r.must(err)
	defer reader.Close(t.Context())
	rows, _, err := reader.PlannedPolicies(t.Context(), "treasury")
	r.must(err)
	_, now, err := reader.Schema(t.Context())
	r.must(err)
	outlook := Foresee(rows[0].Policy, rows[0].Wallets, Rules{}, now)
	if !outlook.Judged {
		t.Fatal("the plan is not of what the daemon runs")
	}
	var planned []time.Time
	for _, run := range outlook.Spec.Runs(now, outlook.Since, 4) {
		planned = append(planned, run.At)
		if !run.Ends.Equal(run.At.Add(window)) {
			t.Errorf("the run of %s ends at %s", run.At, run.Ends)
		}
	}

	var announced []time.Time
	r.eventually("all of them are over", func() bool {
		for _, at := range value[[]time.Time](r, `SELECT next_runs FROM policy_status`) {
			if !slices.ContainsFunc(announced, at.Equal) {
				announced = append(announced, at)
			}
		}
		return value[time.Time](r, `SELECT clock_timestamp()`).After(planned[len(planned)-1].Add(window)) && value[int](r, `SELECT count(*) FROM rotations`) == 0
	})
	last := planned[len(planned)-1]
	fired := value[[]time.Time](r, `SELECT array_agg(tick ORDER BY tick) FROM rotation_cycles WHERE tick > $1 AND tick <= $2`, now, last)
	if !slices.EqualFunc(planned, fired, time.Time.Equal) {
		t.Errorf("planned %v, fired %v", planned, fired)
	}
	slices.SortFunc(announced, time.Time.Compare)
	announced = slices.DeleteFunc(announced, func(at time.Time) bool { return !at.After(now) || at.After(last) })
	if !slices.EqualFunc(planned, announced, time.Time.Equal) {
		t.Errorf("planned %v, announced %v", planned, announced)
	}

	spec := outlook.Spec
	for _, wallet := range value[[]int64](r, `SELECT array_agg(DISTINCT wallet_id) FROM starts`) {
		ticks := value[[]time.Time](r, `SELECT array_agg(tick ORDER BY at) FROM starts WHERE wallet_id = $1`, wallet)
		for i, at := range value[[]time.Time](r, `SELECT array_agg(at ORDER BY at) FROM starts WHERE wallet_id = $1`, wallet) {
			if at.Before(ticks[i].Add(spec.Slot(wallet))) || !at.Before(ticks[i].Add(window)) {
				t.Errorf("wallet %d starts at %s, outside its slot %s behind tick %s and the window", wallet, at, spec.Slot(wallet), ticks[i])
			}
		}
	}
	if n := value[int](r, `SELECT count(DISTINCT wallet_id) FROM starts`); n != 6 {
		t.Errorf("%d wallets have started, want all 6", n)
	}
	r.stop()
	r.oncePerTick()
	r.healthy()
}
