package torture

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rotatord/rotatord/internal/sandbox"
)

func TestDeckDealsEveryCardBeforeAnyTwice(t *testing.T) {
	deal := func(seed uint64) (dealt []int) {
		d := newDeck(rand.New(rand.NewPCG(seed, 0)), 1, 2, 3, 4, 5)
		for range 20 {
			dealt = append(dealt, d.deal())
		}
		return dealt
	}
	one := deal(1)
	for round := 0; round < len(one); round += 5 {
		seen := map[int]bool{}
		for _, card := range one[round : round+5] {
			seen[card] = true
		}
		if len(seen) != 5 {
			t.Errorf("round %d: %v", round/5, one[round:round+5])
		}
	}
	if !cmp.Equal(one, deal(1)) || cmp.Equal(one, deal(2)) {
		t.Error("the same seed deals differently, or another one the same")
	}
}

// Every fault of the sandbox but the two that nobody survives has its turn,
// and the sandbox takes whatever is drawn.
func TestIllsAreAllFaults(t *testing.T) {
	box, err := sandbox.New(sandbox.Options{Wallets: 1, Vaults: 1, Seed: 1, CosignerDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	all := 0
	for _, o := range box.Operations() {
		all += len(o.Kinds())
	}
	drawn := ills(box.Operations())
	if len(drawn) != all-len(fatal) || len(fatal) != 2 {
		t.Errorf("%d faults are drawn of %d, %d are fatal", len(drawn), all, len(fatal))
	}
	random := rand.New(rand.NewPCG(1, 0))
	for _, i := range drawn {
		for range 20 {
			f := i.fault(random)
			if err := box.SetFaults(f); err != nil {
				t.Fatal(err)
			}
			if i.kind == "late_effect" && f.Delay > lateAtMost {
				t.Errorf("%+v is later than a person's patience allows for", f)
			}
		}
	}
	if patience < callTimeout+lateAtMost {
		t.Error("a person does not wait for what is late")
	}
}

func TestFleetIsDealtToPolicies(t *testing.T) {
	counts := map[string]int{}
	for i := range 200 {
		counts[assigned(dynamicName, i, 200)]++
	}
	for i := range 10 {
		counts[assigned(coboName, i, 10)]++
	}
	if want := map[string]int{"treasury": 30, "payments": 90, "cold": 80, "custody": 10}; !cmp.Equal(counts, want) {
		t.Errorf("dealt %v, want %v", counts, want)
	}
	for length, want := range map[time.Duration]time.Duration{time.Second: time.Second, 15 * time.Second: 3 * time.Second, time.Minute: 10 * time.Second, time.Hour: 10 * time.Second} {
		if got := haste(10*time.Second, length); got != want {
			t.Errorf("in %s, 10 s become %s, want %s", length, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	body := "# HELP go_goroutines x\ngo_goroutines 42\nprocess_resident_memory_bytes 3.1457281e+07\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) }))
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	address := strings.TrimPrefix(server.URL, "http://")
	if u, err := usageOf(t.Context(), client, address); err != nil || u != (usage{42, 31457281}) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, body = range []string{"", "go_goroutines many\n"} {
		if u, err := usageOf(t.Context(), client, address); err == nil {
			t.Errorf("%q is %+v", body, u)
		}
	}
}

func TestBoundsAreHeld(t *testing.T) {
	for what, least := range map[string]int{mostGoroutines: goroutinesAtMost, mostMemory: 512, calmGoroutines: calmAtMost} {
		r := &run{tally: newLedger(), Options: Options{Screen: &bytes.Buffer{}}}
		r.tally.atLeast(what, least)
		r.tally.atLeast(what, 1)
		if r.bounded(); len(r.violations) > 0 {
			t.Errorf("%s at its bound: %v", what, r.violations)
		}
		r.tally.atLeast(what, least+1)
		if r.bounded(); len(r.violations) != 1 {
			t.Errorf("%s beyond its bound: %v", what, r.violations)
		}
	}
}

func TestSummaryIsRead(t *testing.T) {
	s := &Summary{Seed: 7, Seconds: 61.2, Storm: 60, Replicas: 3, Wallets: 5, Vaults: 1, Lossy: true,
		Counts: []Count{{kills, 12}, {failovers, 3}}, Faults: []Count{{"lost_reply", 4}}, Touched: 2, Untouched: []string{"cobo.webhook/latency"},
		Violations: []Violation{{What: "replica1 ended by itself"}, {Wallet: "w1", What: "it cannot sign"}}}
	var got strings.Builder
	if err := s.Print(&got); err != nil {
		t.Fatal(err)
	}
	const want = `  12 replicas killed (SIGKILL)
   3 failovers to the standby
   4 calls struck by the fault lost_reply

2 kinds of fault of an operation struck at least once, 1 did not: cobo.webhook/latency

VIOLATION replica1 ended by itself
VIOLATION wallet w1: it cannot sign

seed 7, 3 replicas, 5 wallets, 1 vaults, failovers lose commits: 60 s of torture, 61 s in all, 2 VIOLATIONS
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
