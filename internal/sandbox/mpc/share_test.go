package mpc

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pair is both parties of one key.
type pair struct{ customer, vendor Share }

func generate(t testing.TB, curve Curve) pair {
	t.Helper()
	customer, vendor, err := Generate(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pair{customer, vendor}
}

// refresh does what the room does: draw, exchange, apply, confirm.
func refresh(t testing.TB, p pair) pair {
	t.Helper()
	a, err := NewDelta(p.customer.Curve(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewDelta(p.customer.Curve(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var next pair
	if next.customer, err = p.customer.Refreshed(a, b); err != nil {
		t.Fatal(err)
	}
	if next.vendor, err = p.vendor.Refreshed(b, a); err != nil {
		t.Fatal(err)
	}
	if err := next.customer.ConfirmPeer(next.vendor.PointHex()); err != nil {
		t.Fatal(err)
	}
	if err := next.vendor.ConfirmPeer(next.customer.PointHex()); err != nil {
		t.Fatal(err)
	}
	return next
}

func eachCurve(t *testing.T, test func(t *testing.T, curve Curve)) {
	for _, curve := range Curves() {
		t.Run(string(curve), func(t *testing.T) { test(t, curve) })
	}
}

func TestNewKeySigns(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		for range 20 { // both signs of y for BIP-340
			p := generate(t, curve)
			if !CanSign(p.customer, p.vendor) || !CanSign(p.vendor, p.customer) {
				t.Fatal("a new key cannot sign")
			}
			if CanSign(p.customer, p.customer) {
				t.Fatal("one party signed alone")
			}
		}
	})
}

// Whatever the number of refreshes: key and address stay, only shares of the
// same generation combine.
func TestRefreshKeepsTheKeyAndEndsTheOldShares(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		rapid.Check(t, func(rt *rapid.T) {
			generations := []pair{generate(t, curve)}
			for range rapid.IntRange(1, 3).Draw(rt, "refreshes") {
				generations = append(generations, refresh(t, generations[len(generations)-1]))
			}
			first := generations[0].customer
			for i, p := range generations {
				for _, share := range []Share{p.customer, p.vendor} {
					if share.PublicKeyHex() != first.PublicKeyHex() || share.Address() != first.Address() {
						rt.Fatalf("generation %d has key %s, want %s", i, share.PublicKeyHex(), first.PublicKeyHex())
					}
				}
				for j, q := range generations {
					if got, want := CanSign(p.customer, q.vendor), i == j; got != want {
						rt.Fatalf("customer %d with vendor %d: signs %v, want %v", i, j, got, want)
					}
				}
			}
		})
	})
}

func TestNamesChangeWithEachRefresh(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		p := generate(t, curve)
		seen := map[string]bool{}
		for range 10 {
			for _, share := range []Share{p.customer, p.vendor} {
				if len(share.KeygenID()) != 44 {
					t.Fatalf("keygen id %q has %d characters", share.KeygenID(), len(share.KeygenID()))
				}
				for _, name := range []string{share.KeygenID(), share.Fingerprint()} {
					if seen[name] {
						t.Fatalf("name %s appeared twice", name)
					}
					seen[name] = true
				}
			}
			p = refresh(t, p)
		}
	})
}

func TestKeygenIDIsKnownBeforeTheRefresh(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		p := generate(t, curve)
		mine, theirs := newDelta(t, curve), newDelta(t, curve)
		announced := p.vendor.NextKeygenID(mine)
		next, err := p.vendor.Refreshed(mine, theirs)
		if err != nil {
			t.Fatal(err)
		}
		if next.KeygenID() != announced {
			t.Fatalf("announced %s, got %s", announced, next.KeygenID())
		}
	})
}

func newDelta(t testing.TB, curve Curve) Delta {
	t.Helper()
	d, err := NewDelta(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A party that applies something else than it sent breaks the key; the
// confirmation has to see it, because its own arithmetic looks fine.
func TestConfirmFindsACheat(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		p := generate(t, curve)
		sent, applied, mine := newDelta(t, curve), newDelta(t, curve), newDelta(t, curve)
		customer, err := p.customer.Refreshed(mine, sent)
		if err != nil {
			t.Fatal(err)
		}
		vendor, err := p.vendor.Refreshed(applied, mine)
		if err != nil {
			t.Fatal(err)
		}
		if CanSign(customer, vendor) {
			t.Fatal("shares of different refreshes sign")
		}
		if err := customer.ConfirmPeer(vendor.PointHex()); !errors.Is(err, ErrInvalid) {
			t.Fatalf("confirming a cheat: %v", err)
		}
	})
}

func TestRefreshRefusesEqualDeltasAndOtherCurves(t *testing.T) {
	p := generate(t, BIP340)
	d := newDelta(t, BIP340)
	if _, err := p.customer.Refreshed(d, d); !errors.Is(err, ErrInvalid) {
		t.Errorf("equal deltas: %v", err)
	}
	if _, err := p.customer.Refreshed(d, newDelta(t, Ed25519)); !errors.Is(err, ErrInvalid) {
		t.Errorf("delta of another curve: %v", err)
	}
	if _, _, err := Generate("p256", rand.Reader); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown curve: %v", err)
	}
}

// The same random source gives the same fleet.
func TestGenerateIsReproducible(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		source := bytes.Repeat([]byte("seed of a fleet "), 64)
		a, _, err := Generate(curve, bytes.NewReader(source))
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := Generate(curve, bytes.NewReader(source))
		if err != nil {
			t.Fatal(err)
		}
		if a.Fingerprint() != b.Fingerprint() {
			t.Fatal("same source, different shares")
		}
	})
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		share := generate(t, curve).customer
		delta := newDelta(t, curve)
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "share", share, "delta", delta)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
			fmt.Fprintf(&out, verb, share)
			fmt.Fprintf(&out, verb, []Share{share})
			fmt.Fprintf(&out, verb, delta)
		}
		for _, secret := range [][]byte{share.secret, delta.scalar} {
			for _, form := range []string{hex.EncodeToString(secret), string(secret), strings.Trim(fmt.Sprint(secret), "[]")} {
				if strings.Contains(out.String(), form) {
					t.Fatalf("a secret was printed: %s", out.String())
				}
			}
		}
	})
}

func TestStoredShareIsTheSame(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		p := refresh(t, generate(t, curve))
		text, err := json.Marshal(p.customer)
		if err != nil {
			t.Fatal(err)
		}
		var back Share
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if back.Fingerprint() != p.customer.Fingerprint() || back.KeygenID() != p.customer.KeygenID() || !CanSign(back, p.vendor) {
			t.Fatal("the share that was read is not the one that was written")
		}
	})
}

// A share file with a public key that the secret does not prove is refused.
func TestStoredShareProvesItsPublicKey(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		p, other := generate(t, curve), generate(t, curve)
		valid := func() shareJSON {
			return shareJSON{
				Curve: curve, Secret: hex.EncodeToString(p.customer.secret),
				Peer: p.vendor.PointHex(), Joint: hex.EncodeToString(p.customer.joint),
			}
		}
		cases := map[string]func(*shareJSON){
			"another public key":  func(s *shareJSON) { s.Joint = hex.EncodeToString(other.customer.joint) },
			"another peer":        func(s *shareJSON) { s.Peer = other.vendor.PointHex() },
			"another secret":      func(s *shareJSON) { s.Secret = hex.EncodeToString(other.customer.secret) },
			"another curve":       func(s *shareJSON) { s.Curve = "p256" },
			"no secret":           func(s *shareJSON) { s.Secret = "" },
			"zero secret":         func(s *shareJSON) { s.Secret = strings.Repeat("00", 32) },
			"secret out of range": func(s *shareJSON) { s.Secret = strings.Repeat("ff", 32) },
			"secret is not hex":   func(s *shareJSON) { s.Secret = "secret" },
		}
		for name, change := range cases {
			in := valid()
			change(&in)
			text, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			var share Share
			if err := json.Unmarshal(text, &share); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			} else if strings.Contains(err.Error(), in.Secret) && in.Secret != "" && name != "secret is not hex" {
				t.Errorf("%s: the error quotes the secret", name)
			}
		}
	})
}

func FuzzShareJSON(f *testing.F) {
	for _, curve := range Curves() {
		text, err := json.Marshal(generate(f, curve).customer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"curve":"ed25519","secret":"00"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var share Share
		if json.Unmarshal(text, &share) != nil || share.IsZero() {
			return
		}
		g, err := share.curve.group()
		if err != nil {
			t.Fatal(err)
		}
		joint, err := g.addPoints(share.own, share.peer)
		if err != nil || !bytes.Equal(joint, share.joint) {
			t.Fatalf("accepted a share that does not prove its key: %v", err)
		}
		again, err := json.Marshal(share)
		if err != nil {
			t.Fatal(err)
		}
		var back Share
		if err := json.Unmarshal(again, &back); err != nil || back.Fingerprint() != share.Fingerprint() {
			t.Fatalf("does not survive being written: %v", err)
		}
	})
}

func FuzzDeltaJSON(f *testing.F) {
	for _, curve := range Curves() {
		text, err := json.Marshal(newDelta(f, curve))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"curve":"ed25519","scalar":"` + strings.Repeat("00", 32) + `"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var delta Delta
		if json.Unmarshal(text, &delta) != nil || delta.curve == "" {
			return
		}
		if bytes.Equal(delta.scalar, make([]byte, 32)) || delta.point() == nil {
			t.Fatalf("accepted %s", text)
		}
	})
}
