package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// start of a rotation and its end, from the history.
type span struct {
	WalletID   int64
	Opened, At time.Time
}

// spans are the successful rotations in the order of their start.
func (r *rig) spans() (spans []span) {
	r.t.Helper()
	rows, err := r.db.Query(r.t.Context(), `SELECT wallet_id, opened_at, decided_at FROM share_set_history WHERE outcome = 'activated' ORDER BY opened_at`)
	r.must(err)
	defer rows.Close()
	for rows.Next() {
		var s span
		r.must(rows.Scan(&s.WalletID, &s.Opened, &s.At))
		spans = append(spans, s)
	}
	r.must(rows.Err())
	return spans
}

// Starts are spread: on all replicas no wallet starts before the slot that its
// id has at every tick, and all start in the end.
func TestSpread(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8)
	const spread = 4 * time.Second
	id := r.policy("treasury", "@every 1h", "spread", spread)
	wallets := r.wallets(id, 8, spreadBlock, spreadBlock) // a block each
	r.ticked(id, time.Hour, -time.Second)
	for range 3 {
		r.start()
	}
	r.rotated(1, wallets...)
	tick, spec := value[time.Time](r, `SELECT tick FROM rotation_cycles`), Spec{Spread: spread}
	last := time.Duration(0)
	for _, s := range r.spans() {
		slot := spec.Slot(s.WalletID)
		if s.Opened.Before(tick.Add(slot)) {
			t.Errorf("wallet %d started %s after the tick, its slot is at %s", s.WalletID, s.Opened.Sub(tick), slot)
		}
		last = max(last, slot)
	}
	if last < time.Second {
		t.Errorf("the last slot is at %s: nothing was spread", last)
	}
	r.settled()
	r.healthy()
	r.oncePerTick()
}

// heldCase is a claimed rotation and a moment.
type heldCase struct {
	id           int64
	trigger      store.Trigger
	attempt      int32
	cycleAt, now time.Time
	want         time.Time
}

func (c heldCase) rotation(tick time.Time) *store.Rotation {
	return &store.Rotation{Wallet: store.Wallet{ID: c.id}, Head: store.Head{CycleAt: c.cycleAt}, Trigger: c.trigger, Attempt: c.attempt, Tick: tick}
}

// A rotation that waited through a pause keeps to the window of its tick, and
// one that was carried over to the next tick keeps to its slot there. One that
// has begun goes on, and so does one that is an emergency meanwhile.
func TestHeldUntil(t *testing.T) {
	row := dailyRow() // at 03:00
	row.RunWindow, row.MaxShareAge, row.Spread = ptr(4*time.Hour), ptr(72*time.Hour), ptr(time.Hour)
	spec := Judge(row, 0, Rules{}).Spec
	tick := mustTime(t, "2026-05-10T03:00:00Z")
	wallet := func(edit func(*heldCase)) heldCase {
		c := heldCase{id: 255, trigger: "schedule", cycleAt: tick.AddDate(0, 0, -1), now: tick.Add(2 * time.Hour)}
		edit(&c)
		return c
	}
	slot := tick.Add(spec.Slot(255))
	for name, c := range map[string]heldCase{
		"in its window":               wallet(func(*heldCase) {}),
		"before its slot":             wallet(func(c *heldCase) { c.now, c.want = tick, slot }),
		"after its window":            wallet(func(c *heldCase) { c.now = tick.Add(5 * time.Hour); c.want = c.now.Add(lateLook) }),
		"begun":                       wallet(func(c *heldCase) { c.now, c.attempt = tick.Add(5*time.Hour), 1 }),
		"by hand":                     wallet(func(c *heldCase) { c.now, c.trigger = tick.Add(5*time.Hour), "manual" }),
		"caught up, after its window": wallet(func(c *heldCase) { c.now, c.trigger = tick.Add(5*time.Hour), "catchup"; c.want = c.now.Add(lateLook) }),
		"after its window, in the emergency band": wallet(func(c *heldCase) { c.now, c.cycleAt = tick.Add(5*time.Hour), tick.AddDate(0, 0, -3) }),
	} {
		if got := spec.heldUntil(c.rotation(tick), c.now); !got.Equal(c.want) {
			t.Errorf("%s: held until %s, want %s", name, got, c.want)
		}
	}
}

func TestCanariesFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10)
	id := r.policy("treasury", "@every 1h", "canary", 2)
	wallets := r.wallets(id, 10, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: 100 * time.Millisecond})
	replicas := []*replica{r.start(), r.start(), r.start()}
	r.rotated(1, wallets...)
	spans := r.spans()
	canaries := spans[:2]
	for _, s := range spans[2:] {
		if s.Opened.Before(canaries[0].At) || s.Opened.Before(canaries[1].At) {
			t.Errorf("wallet %d started at %s, the canaries succeeded at %s and %s", s.WalletID, s.Opened, canaries[0].At, canaries[1].At)
		}
	}
	if !slices.ContainsFunc(replicas, func(x *replica) bool { return x.skipped("treasury", SkipCanary) > 0 }) {
		t.Error("nobody counted that the others waited")
	}
	r.settled()
	r.healthy()
}

func TestFailedCanaryEndsTheCycle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10)
	id := r.policy("treasury", "@every 1h", "canary", 2, "max_attempts", 1)
	r.wallets(id, 10, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 500})
	r.start()
	r.start()
	r.eventually("the cycle is stopped", func() bool {
		return r.cycles() == "stopped"
	})
	if detail := value[string](r, `SELECT detail FROM rotation_cycles`); !strings.Contains(detail, "canary") {
		t.Error(detail)
	}
	if n := value[int](r, `SELECT count(*) FROM rotations`); n > 2 {
		t.Errorf("%d wallets were touched", n)
	}
}

func TestFailureBudgetEndsTheCycle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	id := r.policy("treasury", "@every 1h", "max_concurrent", 2, "max_attempts", 1, "failure_budget", 3)
	r.wallets(id, 20, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 500})
	replicas := []*replica{r.start(), r.start(), r.start()}
	r.eventually("the cycle is stopped", func() bool {
		return r.cycles() == "stopped"
	})
	r.eventually("what was under way has failed", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE state <> 'failed'`) == 0 })
	failed := value[int](r, `SELECT count(*) FROM rotations`)
	if failed < 3 || failed > 3+2 {
		t.Errorf("%d wallets failed under a budget of 3 and 2 at a time", failed)
	}
	if detail := value[string](r, `SELECT detail FROM rotation_cycles`); !strings.Contains(detail, "failure budget of 3") {
		t.Error(detail)
	}
	skipped := 0
	for _, x := range replicas {
		skipped += x.skipped("treasury", SkipBudget)
	}
	if skipped != 20-failed && skipped != 20-failed+1 { // one may have been claimed meanwhile
		t.Errorf("%d of %d wallets counted as skipped", skipped, 20-failed)
	}
}

// An outage of a vendor does not open a rotation for every wallet of the fleet:
// as many as the failure budget allows wait to be tried again, no more begin,
// and when it is over all go on.
func TestOutageOpensFewRotations(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	id := r.policy("treasury", "@every 1h", "max_concurrent", 2, "max_attempts", 1000, "failure_budget", 3)
	wallets := r.wallets(id, 20, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 500})
	x := r.start()
	// The brake locks nothing: those under way when it is looked at may have
	// failed, and as many begun, before it is looked at again.
	r.never("more were opened than may fail", func() bool { return value[int](r, `SELECT count(*) FROM rotations`) > 3+2+2 },
		"the brake was counted", func() bool {
			return x.skipped("treasury", SkipBreaker) > 0 && value[int](r, `SELECT max(attempt) FROM rotations`) > 5
		})
	r.breaks()
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
	r.oncePerTick()
}

// While a vendor asked to be left alone nothing is claimed, and then all goes
// on.
func TestHeldProvider(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	id := r.policy("treasury", "@every 1h")
	wallets := r.wallets(id, 20, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.exec(`INSERT INTO provider_state (provider, hold_until) VALUES ('dynamic', now() + interval '1 hour')`)
	x := r.start()
	r.never("a rotation was opened", func() bool { return value[int](r, `SELECT count(*) FROM rotations`) > 0 },
		"the wallets were counted", func() bool { return x.skipped("treasury", SkipBreaker) == 20 })
	r.exec(`UPDATE provider_state SET hold_until = now() + interval '300 milliseconds'`)
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
}

// A large cycle does not take every worker until it is through.
func TestCyclesTakeTurns(t *testing.T) {
	t.Parallel()
	r := newRig(t, 44)
	large, small := r.policy("large", "@every 1h", "max_concurrent", 100), r.policy("small", "@every 1h")
	r.wallets(large, 40, 1, 1)
	few := r.wallets(small, 4, 1000, 1)
	r.ticked(large, time.Hour, 10*time.Second)
	r.ticked(small, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: 100 * time.Millisecond})
	// Which of the two a replica begins with is drawn with its epoch.
	r.start(func(o *Options) { o.Config.Workers = 2 })
	r.rotated(1, few...)
	if n := value[int](r, `SELECT count(*) FROM wallet_state WHERE generation = 1 AND wallet_id < 1000`); n > 20 {
		t.Errorf("%d wallets of the large cycle came before the last of the small one", n)
	}
	r.stop()
	r.healthy()
}
