package mpc

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// schemes are those that Cobo offers: threshold, parties.
var schemes = [][2]int{{2, 2}, {2, 3}, {3, 3}}

func sharing(t testing.TB, curve Curve, scheme [2]int) []ThresholdShare {
	t.Helper()
	shares, err := GenerateShares(curve, scheme[0], scheme[1], rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return shares
}

// subsets calls with every subset but the empty one, and with the bits of the
// shares that are in it.
func subsets(shares []ThresholdShare, call func(subset []ThresholdShare, mask int)) {
	for mask := 1; mask < 1<<len(shares); mask++ {
		subset := make([]ThresholdShare, 0, bits.OnesCount(uint(mask)))
		for i, s := range shares {
			if mask>>i&1 == 1 {
				subset = append(subset, s)
			}
		}
		call(subset, mask)
	}
}

func TestThresholdSharesSign(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		for _, scheme := range schemes {
			for range 5 { // both signs of y for BIP-340
				shares := sharing(t, curve, scheme)
				subsets(shares, func(subset []ThresholdShare, _ int) {
					if got, want := CanSignJointly(subset), len(subset) >= scheme[0]; got != want {
						t.Fatalf("%v: %d shares sign: %v, want %v", scheme, len(subset), got, want)
					}
				})
			}
		}
	})
}

// Whatever the schemes: the key stays, and no subset that mixes generations
// signs.
func TestReshareKeepsTheKeyAndSeparatesGenerations(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		rapid.Check(t, func(rt *rapid.T) {
			from, to := rapid.SampledFrom(schemes).Draw(rt, "from"), rapid.SampledFrom(schemes).Draw(rt, "to")
			old := sharing(t, curve, from)
			dealers := rapid.Permutation(old).Draw(rt, "dealers")[:rapid.IntRange(from[0], from[1]).Draw(rt, "count")]
			next, err := Reshare(dealers, to[0], to[1], rand.Reader)
			if err != nil {
				rt.Fatal(err)
			}
			for _, s := range next {
				if s.RootPubkey() != old[0].RootPubkey() || s.Threshold() != to[0] {
					rt.Fatalf("root key %s, want %s", s.RootPubkey(), old[0].RootPubkey())
				}
			}
			subsets(slices.Concat(old, next), func(subset []ThresholdShare, mask int) {
				mixed := mask>>len(old) != 0 && mask&(1<<len(old)-1) != 0
				want := !mixed && len(subset) >= subset[0].Threshold()
				if got := CanSignJointly(subset); got != want {
					rt.Fatalf("%v to %v: %d shares, mixed %v: sign %v, want %v", from, to, len(subset), mixed, got, want)
				}
			})
		})
	})
}

func TestReshareRefuses(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		old := sharing(t, curve, [2]int{2, 3})
		stranger := sharing(t, curve, [2]int{2, 3})
		next, err := Reshare(old[:2], 2, 3, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		forged := old[1]
		forged.secret = stranger[1].secret
		moved := old[1]
		moved.index = 3
		other := Ed25519
		if curve == Ed25519 {
			other = BIP340
		}
		for name, shares := range map[string][]ThresholdShare{
			"nobody":             nil,
			"too few":            old[:1],
			"one twice":          {old[0], old[0]},
			"another key":        {old[0], stranger[1]},
			"another generation": {old[0], next[1]},
			"another curve":      {old[0], sharing(t, other, [2]int{2, 3})[1]},
			"a forged share":     {old[0], forged},
			"a moved share":      {old[0], moved},
			"no share":           {old[0], {}},
		} {
			if _, err := Reshare(shares, 2, 2, rand.Reader); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, scheme := range [][2]int{{0, 2}, {3, 2}, {2, maxParties + 1}, {-1, -1}} {
			if _, err := Reshare(old, scheme[0], scheme[1], rand.Reader); !errors.Is(err, ErrInvalid) {
				t.Errorf("scheme %v: %v", scheme, err)
			}
			if _, err := GenerateShares(curve, scheme[0], scheme[1], rand.Reader); !errors.Is(err, ErrInvalid) {
				t.Errorf("new key, scheme %v: %v", scheme, err)
			}
		}
	})
	if _, err := GenerateShares("p256", 2, 2, rand.Reader); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown curve: %v", err)
	}
}

func TestVerifyFindsWhatIsNotOnThePolynomial(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		shares, other := sharing(t, curve, [2]int{2, 2}), sharing(t, curve, [2]int{2, 2})
		if err := shares[0].Verify(); err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*ThresholdShare){
			"another secret":      func(s *ThresholdShare) { s.secret = other[0].secret },
			"another index":       func(s *ThresholdShare) { s.index = 2 },
			"index zero":          func(s *ThresholdShare) { s.index = 0 },
			"another key":         func(s *ThresholdShare) { s.commitments = [][]byte{other[0].commitments[0], s.commitments[1]} },
			"no commitments":      func(s *ThresholdShare) { s.commitments = nil },
			"a broken commitment": func(s *ThresholdShare) { s.commitments = [][]byte{s.commitments[0], s.commitments[1][:31]} },
			"no secret":           func(s *ThresholdShare) { s.secret = nil },
		} {
			changed := shares[0]
			change(&changed)
			if err := changed.Verify(); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestSharingIsReproducible(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		source := bytes.Repeat([]byte("seed of a vault "), 256)
		var prints [2]string
		for i := range prints {
			shares, err := GenerateShares(curve, 2, 3, bytes.NewReader(source))
			if err != nil {
				t.Fatal(err)
			}
			prints[i] = shares[2].Fingerprint()
		}
		if prints[0] != prints[1] {
			t.Error("same source, different shares")
		}
	})
}

func TestThresholdSecretsAreNeverPrinted(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		share := sharing(t, curve, [2]int{2, 2})[0]
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "share", share)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
			fmt.Fprintf(&out, verb, share)
			fmt.Fprintf(&out, verb, []ThresholdShare{share})
		}
		for _, form := range []string{hex.EncodeToString(share.secret), string(share.secret), strings.Trim(fmt.Sprint(share.secret), "[]")} {
			if strings.Contains(out.String(), form) {
				t.Fatalf("a secret was printed: %s", out.String())
			}
		}
	})
}

func BenchmarkReshare(b *testing.B) {
	for _, curve := range Curves() {
		old := sharing(b, curve, [2]int{2, 2})
		b.Run(string(curve), func(b *testing.B) {
			for b.Loop() {
				if _, err := Reshare(old, 2, 2, rand.Reader); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
