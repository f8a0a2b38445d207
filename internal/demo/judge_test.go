package demo

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rotatord/rotatord/internal/sandbox"
)

var update = flag.Bool("update", false, "write the golden files anew")

// inOrder is the evidence of a full demo with six wallets, w1 to w6, and two
// vaults, v1 and v2, in which nothing went wrong.
func inOrder() *evidence {
	e := &evidence{
		policies: policiesFor(fullLength), full: true,
		before: map[string]sandbox.WalletState{}, after: map[string]sandbox.WalletState{}, tampered: map[string]string{},
	}
	add := func(provider, prefix string, n int) {
		suitable := of(provider, e.policies)
		for i, at := range deal(suitable, n) {
			id, p := fmt.Sprintf("%s%d", prefix, i+1), suitable[at]
			state := sandbox.WalletState{Provider: provider, ID: id, PublicKey: "key of " + id, ActiveShareSet: "first", CanSign: true}
			if provider == dynamicName {
				state.CosignerShareSet = state.ActiveShareSet
			}
			e.before[id] = state
			state.Generation = int(fullLength/p.every) - 1
			state.ActiveShareSet = "set-of-" + id
			if provider == dynamicName {
				state.CosignerShareSet = state.ActiveShareSet
			}
			e.after[id] = state
			e.record = append(e.record, recorded{ID: int64(len(e.record) + 1), ExternalID: id, Policy: p.name, Generation: state.Generation,
				Active: state.ActiveShareSet, Age: time.Duration(i+1) * 1500 * time.Millisecond})
		}
	}
	add(dynamicName, "w", 6)
	add(coboName, "v", 2)
	return e
}

// change alters what the sandbox says of a wallet in the end.
func (e *evidence) change(id string, f func(*sandbox.WalletState)) {
	state := e.after[id]
	f(&state)
	e.after[id] = state
}

// TestChecks breaks the evidence in every way that must not pass, and sees
// exactly the checks fail that are about it.
func TestChecks(t *testing.T) {
	const (
		twice  = "every wallet rotated at least twice"
		signs  = "every wallet signs under its original public key"
		dead   = "no old share signs"
		agree  = "vendor, co-signer and record agree on every active share set"
		chain  = "every history verifies"
		calm   = "no wallet waits for a person"
		number = "every wallet of the sandbox is on record"
		tidy   = "nothing that an attempt opened is left at the vendor"
	)
	for name, c := range map[string]struct {
		harm func(*evidence)
		want []string
	}{
		"nothing": {func(*evidence) {}, nil},
		"rotated once": {func(e *evidence) {
			e.change("w4", func(s *sandbox.WalletState) { s.Generation = 1 })
			e.record[3].Generation = 1
		}, []string{twice}},
		"rotated once in a short demo": {func(e *evidence) {
			e.full = false
			e.change("w4", func(s *sandbox.WalletState) { s.Generation = 1 })
			e.record[3].Generation = 1
		}, nil},
		"never rotated in a short demo": {func(e *evidence) {
			e.full = false
			e.after["w1"] = e.before["w1"]
			e.record[0].Generation, e.record[0].Active = 0, ""
		}, nil},
		"cannot sign":            {func(e *evidence) { e.change("w2", func(s *sandbox.WalletState) { s.CanSign = false }) }, []string{signs}},
		"another key":            {func(e *evidence) { e.change("w2", func(s *sandbox.WalletState) { s.PublicKey = "another" }) }, []string{signs}},
		"old share signs":        {func(e *evidence) { e.change("w3", func(s *sandbox.WalletState) { s.OldShareSigns = true }) }, []string{dead}},
		"vendor differs":         {func(e *evidence) { e.change("w5", func(s *sandbox.WalletState) { s.ActiveShareSet = "x" }) }, []string{agree}},
		"co-signer differs":      {func(e *evidence) { e.change("w5", func(s *sandbox.WalletState) { s.CosignerShareSet = "x" }) }, []string{agree}},
		"record differs":         {func(e *evidence) { e.record[4].Active = "x" }, []string{agree}},
		"record has none":        {func(e *evidence) { e.record[4].Active = "" }, []string{agree}},
		"record counts one more": {func(e *evidence) { e.record[4].Generation++ }, []string{agree}},
		"tampered":               {func(e *evidence) { e.tampered["w6"] = "row 2 was changed" }, []string{chain}},
		"attention":              {func(e *evidence) { e.record[1].Attention = "drift" }, []string{calm}},
		"a wallet is missing":    {func(e *evidence) { e.record = e.record[:7] }, []string{number}},
		"a vault rotated once": {func(e *evidence) {
			e.change("v2", func(s *sandbox.WalletState) { s.Generation = 1 })
			e.record[7].Generation = 1
		}, []string{twice}},
		"a vault's root key changed": {func(e *evidence) { e.change("v1", func(s *sandbox.WalletState) { s.PublicKey = "another" }) }, []string{signs}},
		"a vault cannot sign":        {func(e *evidence) { e.change("v1", func(s *sandbox.WalletState) { s.CanSign = false }) }, []string{signs}},
		"an old group signs":         {func(e *evidence) { e.change("v1", func(s *sandbox.WalletState) { s.OldShareSigns = true }) }, []string{dead}},
		"an old group is kept":       {func(e *evidence) { e.change("v2", func(s *sandbox.WalletState) { s.Retiring = true }) }, []string{dead}},
		"another Main Group":         {func(e *evidence) { e.change("v2", func(s *sandbox.WalletState) { s.ActiveShareSet = "x" }) }, []string{agree}},
		"a group is left behind":     {func(e *evidence) { e.orphans = []string{"group g1"} }, []string{tidy}},
		"gone at the sandbox":        {func(e *evidence) { delete(e.after, "w1") }, []string{twice, signs, agree}},
	} {
		t.Run(name, func(t *testing.T) {
			e := inOrder()
			c.harm(e)
			s := e.summary()
			var failed []string
			for _, check := range s.Checks {
				if !check.OK {
					failed = append(failed, check.Name)
				}
			}
			if diff := cmp.Diff(c.want, failed); diff != "" {
				t.Errorf("failed checks (-want +got):\n%s", diff)
			}
			if s.OK != (len(c.want) == 0) {
				t.Errorf("the whole is OK: %v", s.OK)
			}
		})
	}
}

// TestSummary: what people read in the end.
func TestSummary(t *testing.T) {
	broken := inOrder()
	for _, id := range []string{"w1", "w2", "w3", "w4", "w6"} {
		broken.change(id, func(s *sandbox.WalletState) { s.CanSign = false })
	}
	broken.change("w5", func(s *sandbox.WalletState) { s.OldShareSigns = true })
	broken.record[2].Failures = 7
	broken.orphans = []string{"group 1", "group 2", "group 3", "TSS request 4"}
	short := inOrder()
	short.full = false
	for name, s := range map[string]*Summary{"in-order": inOrder().summary(), "broken": broken.summary(), "interrupted": short.summary()} {
		s.Seconds, s.Interrupted = 12.4, name == "interrupted"
		var got bytes.Buffer
		if err := s.Print(&got); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "summary-"+name+".txt")
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
		}
	}
}

// TestPoliciesFitTheTime: in a full demo every wallet has room for two
// rotations and ten seconds to spare; a shorter one is not idle.
func TestPoliciesFitTheTime(t *testing.T) {
	for _, length := range []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, fullLength, time.Minute, time.Hour} {
		for _, p := range policiesFor(length) {
			slack := length - 2*p.every - p.spread
			switch {
			case length >= fullLength && slack < 6*time.Second:
				t.Errorf("in %s %s (%s, spread %s) leaves %s after two rotations", length, p.name, p.schedule(), p.spread, slack)
			case length >= 5*time.Second && slack < 0:
				t.Errorf("in %s %s (%s) has no room for two rotations", length, p.name, p.schedule())
			case p.every < time.Second || p.every%time.Second != 0 || p.spread > p.every:
				t.Errorf("in %s %s has the schedule %s with spread %s", length, p.name, p.schedule(), p.spread)
			case p.maxShareAge > 0 && p.maxShareAge < 3*p.every:
				t.Errorf("in %s %s promises %s with %s: one missed tick would break it", length, p.name, p.maxShareAge, p.schedule())
			}
		}
	}
}

func TestDeal(t *testing.T) {
	for n, want := range map[int][]int{0: {0, 0, 0, 0}, 1: {1, 0, 0, 0}, 5: {2, 1, 1, 1}, 100: {10, 40, 30, 20}, 1000: {100, 400, 300, 200}} {
		got := make([]int, 4)
		for _, i := range deal(of(dynamicName, policies), n) {
			got[i]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d wallets (-want +got):\n%s", n, diff)
		}
	}
}

// TestPoliciesWithoutWalletsAreLeftOut, because a cycle of nothing shows
// nothing.
func TestPoliciesWithoutWalletsAreLeftOut(t *testing.T) {
	for o, want := range map[Options]string{
		{For: fullLength, Wallets: 1, Vaults: 1}: "treasury payments payouts cold custody",
		{For: fullLength, Wallets: 1}:            "treasury payments payouts cold",
		{For: fullLength, Vaults: 1}:             "custody",
	} {
		var names []string
		for _, p := range o.policies() {
			names = append(names, p.name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%d wallets and %d vaults have the policies %s, want %s", o.Wallets, o.Vaults, got, want)
		}
	}
}

func TestScreen(t *testing.T) {
	var plain bytes.Buffer
	s := NewScreen(&plain, false)
	s.Status("first")
	s.Status("second")
	s.Line("a line")
	s.EndStatus()
	if got, want := plain.String(), "first\nsecond\na line\n"; got != want {
		t.Errorf("plain: %q, want %q", got, want)
	}
	var terminal bytes.Buffer
	s = NewScreen(&terminal, true)
	s.Status("first")
	s.Status("second")
	s.Line("a line")
	s.EndStatus()
	s.Line("the end")
	got := terminal.String()
	if want := "\r\x1b[Kfirst\r\x1b[Ksecond\r\x1b[Ka line\nsecond\nthe end\n"; got != want {
		t.Errorf("terminal: %q, want %q", got, want)
	}
	if strings.Count(got, "\n") != 3 {
		t.Errorf("the status scrolls: %q", got)
	}
}
