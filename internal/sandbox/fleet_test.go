package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// Many wallets at once, while replies are late: nothing mixes them up.
func TestRotationsSideBySide(t *testing.T) {
	const wallets = 16
	r := newRig(t, Options{Wallets: wallets})
	r.faulty(
		faults.Fault{Operation: "dynamic.room", Kind: faults.Latency, Delay: 5 * time.Millisecond, Rate: 0.5},
		faults.Fault{Operation: "dynamic.wallet", Kind: faults.LostReply, Rate: 0.3},
	)
	t.Run("all", func(t *testing.T) {
		for i := range wallets {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				own := *r
				own.t = t
				for range 3 {
					own.rotate(i)
				}
			})
		}
	})
	keys := map[string]bool{}
	for _, w := range r.State() {
		keys[w.PublicKey] = true
		if !w.CanSign || w.OldShareSigns || w.Generation != 3 {
			t.Errorf("%+v", w)
		}
		if got := r.Stats().Wallets[w.ID]; got.PeakCeremonies != 1 {
			t.Errorf("%+v", got)
		}
	}
	if len(keys) != wallets {
		t.Errorf("%d keys for %d wallets", len(keys), wallets)
	}
}

func TestRefreshesPerMinuteAreCounted(t *testing.T) {
	c := newClock()
	r := newRig(t, Options{Clock: c.Now})
	w := r.wallet(0)
	for _, step := range []struct {
		after time.Duration
		peak  int
	}{{0, 1}, {30 * time.Second, 2}, {29 * time.Second, 3}, {2 * time.Second, 3}, {2 * time.Minute, 3}} {
		c.advance(step.after)
		r.refreshJSON(w)
		if got := r.Stats().Ceremonies.PeakPerMinute; got != step.peak {
			t.Errorf("after another %v: peak per minute %d, want %d", step.after, got, step.peak)
		}
	}
}

func TestSameSeedSameFleet(t *testing.T) {
	a, b, c := newRig(t, Options{Seed: 7}), newRig(t, Options{Seed: 7}), newRig(t, Options{Seed: 8})
	if a.info.Dynamic.APIToken != b.info.Dynamic.APIToken || a.info.Dynamic.EnvironmentID != b.info.Dynamic.EnvironmentID ||
		a.info.Cosigner.Token != b.info.Cosigner.Token {
		t.Error("the same seed gives other credentials")
	}
	if a.wallet(1).ID != b.wallet(1).ID || a.wallet(1).PublicKey != b.wallet(1).PublicKey || a.wallet(1).ActiveShareSet != b.wallet(1).ActiveShareSet {
		t.Error("the same seed gives another fleet")
	}
	if a.wallet(1).ID == c.wallet(1).ID || a.info.Dynamic.APIToken == c.info.Dynamic.APIToken {
		t.Error("another seed gives the same fleet")
	}
}

// The co-signer's folder may be opened again as long as nothing was rotated in
// it: the vendors' half of a later generation is gone with its process.
func TestCoSignerFolderOfAnotherRun(t *testing.T) {
	dir := t.TempDir()
	start := func() (*Sandbox, error) { return New(Options{Wallets: 1, CosignerDir: dir}) }
	for range 2 {
		s, err := start()
		if err != nil {
			t.Fatal(err)
		}
		if state := s.State(); !state[0].CanSign {
			t.Errorf("%+v", state)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("rotate", func(t *testing.T) { newRig(t, Options{Wallets: 1, CosignerDir: dir}).rotate(0) })
	if s, err := start(); err == nil {
		s.Close()
		t.Error("a folder that was rotated in was accepted")
	}
}

func TestAdmin(t *testing.T) {
	r := newRig(t, Options{Provider: "dynamic-prod"})
	var info Info
	r.want(200, r.do("GET", "/_sandbox/info", "", nil), &info)
	if info.Dynamic != r.info.Dynamic || info.Cosigner != r.info.Cosigner || info.Cosigner.Provider != "dynamic-prod" ||
		info.Assume["second_refresh"] != "coexists" {
		t.Errorf("%+v", info)
	}
	w := r.wallet(1)
	r.want(200, r.do("GET", "/cosigner/v1/wallets/dynamic-prod/"+w.ID, info.Cosigner.Token, nil), nil)
	r.want(401, r.do("GET", "/cosigner/v1/wallets/dynamic-prod/"+w.ID, "guess", nil), nil)

	var state struct{ Wallets []WalletState }
	r.want(200, r.do("GET", "/_sandbox/state", "", nil), &state)
	if len(state.Wallets) != 2 || state.Wallets[1].ID != w.ID {
		t.Errorf("%+v", state)
	}
	r.want(200, r.do("GET", "/_sandbox/state?wallet="+w.ID, "", nil), &state)
	if len(state.Wallets) != 1 || state.Wallets[0].ID != w.ID {
		t.Errorf("%+v", state)
	}
	a := r.do("GET", "/_sandbox/state?wallet=nobody", "", nil)
	if a.status != 200 || strings.Join(strings.Fields(a.body), "") != `{"wallets":[]}` {
		t.Errorf("%+v", a)
	}

	const shape = `{"threshold_signature_scheme":"TWO_OF_THREE","backup_locations":["external","dynamic"],"password_encrypted":true}`
	r.want(204, r.do("PATCH", "/_sandbox/wallets/"+w.ID, "", shape), nil)
	var shown struct {
		Wallet struct {
			ThresholdSignatureScheme string
			KeyShares                []struct {
				BackupLocation    string
				PasswordEncrypted bool
			}
		}
	}
	r.want(200, r.do("GET", r.developer(w.ID), r.info.Dynamic.APIToken, nil), &shown)
	if got := shown.Wallet; got.ThresholdSignatureScheme != "TWO_OF_THREE" || len(got.KeyShares) != 2 || !got.KeyShares[1].PasswordEncrypted {
		t.Errorf("%+v", got)
	}
	r.want(400, r.do("PATCH", "/_sandbox/wallets/nobody", "", shape), nil)
	r.want(400, r.do("PATCH", "/_sandbox/wallets/"+w.ID, "", `{"threshold_signature_scheme":"ONE_OF_ONE"}`), nil)

	if a := r.do("GET", "/_sandbox/assumptions", "", nil); !strings.Contains(a.body, "second_refresh") {
		t.Errorf("%+v", a)
	}
	if strings.Contains(r.do("GET", "/_sandbox/state", "", nil).body, "secret") {
		t.Error("the state tells a secret")
	}
}

func TestCloseTwiceAndListenAfterwards(t *testing.T) {
	s, err := New(Options{Wallets: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Listen("127.0.0.1:0"); err == nil {
		t.Error("a closed sandbox listens")
	}
}

func BenchmarkState(b *testing.B) {
	s, err := New(Options{Wallets: 1000})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if states := s.State(); len(states) != 1000 || !states[999].CanSign {
			b.Fatal("wrong state")
		}
	}
}
