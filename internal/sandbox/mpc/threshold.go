package mpc

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

// maxParties is far above the schemes that vendors offer, and keeps a
// polynomial cheap to evaluate.
const maxParties = 16

// ThresholdShare is one party's share of a t-of-n key: the value at its index
// of a polynomial that nobody has. It is a value; the zero ThresholdShare
// belongs to no key.
//
// It carries the commitments to the polynomial's coefficients (Feldman), so it
// proves its own key: see [ThresholdShare.Verify].
type ThresholdShare struct {
	curve       Curve
	index       int // 1 … n
	secret      []byte
	commitments [][]byte // coefficient·G, the constant one, which is the key, first
}

// Verify checks that the share lies on the polynomial that its commitments
// commit to, and so that t such shares make the key.
func (s ThresholdShare) Verify() error {
	g, err := s.curve.group()
	if err != nil {
		return err
	}
	if s.index < 1 || s.index > maxParties || len(s.commitments) == 0 {
		return fmt.Errorf("%w: no index or no commitments", ErrInvalid)
	}
	own, err := g.mulBase(s.secret)
	if err != nil {
		return err
	}
	expected, err := evaluatePoints(g, s.commitments, s.index)
	if err != nil {
		return err
	}
	if !bytes.Equal(own, expected) {
		return fmt.Errorf("%w: it is not on the polynomial that was committed to", ErrInvalid)
	}
	return nil
}

// IsZero says that there is no share.
func (s ThresholdShare) IsZero() bool { return len(s.secret) == 0 }

// Threshold is how many shares of this sharing make the key.
func (s ThresholdShare) Threshold() int { return len(s.commitments) }

// RootPubkey is the key as an extended public key: see [EncodeRootPubkey].
func (s ThresholdShare) RootPubkey() string {
	if s.IsZero() {
		return ""
	}
	return EncodeRootPubkey(s.curve, s.commitments[0])
}

// Fingerprint names this very share without telling it: SHA-256 over curve,
// index and public point, in lower-case hex.
func (s ThresholdShare) Fingerprint() string {
	g, err := s.curve.group()
	if err != nil {
		return ""
	}
	own, err := g.mulBase(s.secret)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", s.curve, s.index, own))
	return hex.EncodeToString(sum[:])
}

// String shows the fingerprint, never the secret.
func (s ThresholdShare) String() string {
	if s.IsZero() {
		return "mpc.ThresholdShare(none)"
	}
	return "mpc.ThresholdShare(" + s.Fingerprint() + ")"
}

// Format keeps the secret out of every verb.
func (s ThresholdShare) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue keeps the secret out of logs.
func (s ThresholdShare) LogValue() slog.Value { return slog.StringValue(s.String()) }

// CanSignJointly makes a fresh signature of these shares over a random message
// and asks the standard verifier whether it stands under their key. It tries
// whatever it is given: whether the shares are enough, or of one sharing, is
// what the signature tells. Shares of different keys or of one index have
// nothing to try.
func CanSignJointly(shares []ThresholdShare) bool {
	if len(shares) == 0 {
		return false
	}
	first := shares[0]
	g, err := first.curve.group()
	if err != nil {
		return false
	}
	var indices []int
	for _, s := range shares {
		if s.IsZero() || s.curve != first.curve || !bytes.Equal(s.commitments[0], first.commitments[0]) || slices.Contains(indices, s.index) {
			return false
		}
		indices = append(indices, s.index)
	}
	parts := make([][]byte, len(shares))
	for i, s := range shares {
		weight, err := lagrange(g, indices, s.index)
		if err != nil {
			return false
		}
		if parts[i], err = g.multiply(weight, s.secret); err != nil {
			return false
		}
	}
	key := first.commitments[0]
	message := make([]byte, 32)
	rand.Read(message) // never fails: crypto/rand ends the process instead
	signature, err := g.sign(parts, key, message, rand.Reader)
	if err != nil {
		return false
	}
	return g.verify(g.publicKey(key), message, signature)
}
