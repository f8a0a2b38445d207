package mpc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// Share is one party's part of a key. It is a value: a refresh makes a new
// one. The zero Share belongs to no key.
//
// Printing or logging a share shows its fingerprint; only MarshalJSON writes
// the secret, for the store of whoever holds it.
type Share struct {
	curve  Curve
	secret []byte // the scalar
	own    []byte // secret·G
	peer   []byte // the other party's point
	joint  []byte // own + peer
	keygen string
}

// Generate makes a new key, split between customer and vendor. The key itself
// is never put together. random must be cryptographic outside of a simulation.
func Generate(curve Curve, random io.Reader) (customer, vendor Share, err error) {
	g, err := curve.group()
	if err != nil {
		return Share{}, Share{}, err
	}
	var secrets, points [2][]byte
	for i := range secrets {
		if secrets[i], err = g.randomScalar(random); err != nil {
			return Share{}, Share{}, err
		}
		if points[i], err = g.mulBase(secrets[i]); err != nil {
			return Share{}, Share{}, err
		}
	}
	if customer, err = newShare(curve, secrets[0], points[1], keygenID([]byte(curve), points[0])); err != nil {
		return Share{}, Share{}, err
	}
	if vendor, err = newShare(curve, secrets[1], points[0], keygenID([]byte(curve), points[1])); err != nil {
		return Share{}, Share{}, err
	}
	return customer, vendor, nil
}

// newShare derives what a share knows from its secret and the other's point.
func newShare(curve Curve, secret, peer []byte, keygen string) (Share, error) {
	g, err := curve.group()
	if err != nil {
		return Share{}, err
	}
	own, err := g.mulBase(secret)
	if err != nil {
		return Share{}, err
	}
	joint, err := g.addPoints(own, peer)
	if err != nil {
		return Share{}, err
	}
	return Share{curve: curve, secret: secret, own: own, peer: peer, joint: joint, keygen: keygen}, nil
}

// Refreshed is the share after a zero-sum refresh: plus mine, minus theirs.
// The other party calls it with the arguments swapped. It does not prove that
// the other did: compare points with [Share.ConfirmPeer] before using it.
func (s Share) Refreshed(mine, theirs Delta) (Share, error) {
	g, err := s.curve.group()
	if err != nil {
		return Share{}, err
	}
	if mine.curve != s.curve || theirs.curve != s.curve {
		return Share{}, fmt.Errorf("%w: a delta is for another curve", ErrInvalid)
	}
	change, err := g.subtract(mine.scalar, theirs.scalar)
	if err != nil {
		return Share{}, err
	}
	opposite, err := g.subtract(theirs.scalar, mine.scalar)
	if err != nil {
		return Share{}, err
	}
	secret, err := g.add(s.secret, change)
	if err != nil {
		return Share{}, err
	}
	shift, err := g.mulBase(opposite)
	if err != nil {
		return Share{}, fmt.Errorf("refreshing with equal deltas: %w", err)
	}
	peer, err := g.addPoints(s.peer, shift)
	if err != nil {
		return Share{}, err
	}
	next, err := newShare(s.curve, secret, peer, s.NextKeygenID(mine))
	if err != nil {
		return Share{}, err
	}
	if !bytes.Equal(next.joint, s.joint) {
		return Share{}, fmt.Errorf("%w: the refresh would change the public key", ErrInvalid)
	}
	return next, nil
}

// ConfirmPeer checks that the point the other party says it has now (its
// [Share.PointHex]) is the one this share expects. A party that refreshed with
// something else than it sent is found out here.
func (s Share) ConfirmPeer(pointHex string) error {
	if pointHex != hex.EncodeToString(s.peer) {
		return fmt.Errorf("%w: the other party's share is not of this key", ErrInvalid)
	}
	return nil
}

// IsZero says that there is no share.
func (s Share) IsZero() bool { return len(s.secret) == 0 }

// Curve of the key.
func (s Share) Curve() Curve { return s.curve }

// Chain is the vendor's name of the wallet's chain.
func (s Share) Chain() string { return s.curve.Chain() }

// PublicKeyHex is the joint public key as standard verifiers take it: 32 bytes
// in lower-case hex, x-only for BIP-340.
func (s Share) PublicKeyHex() string {
	g, err := s.curve.group()
	if err != nil {
		return ""
	}
	return hex.EncodeToString(g.publicKey(s.joint))
}

// Address of the wallet, derived from the joint public key.
func (s Share) Address() string {
	g, err := s.curve.group()
	if err != nil {
		return ""
	}
	return g.address(g.publicKey(s.joint))
}

// PointHex is this party's public point, secret·G. The other party needs it.
func (s Share) PointHex() string { return hex.EncodeToString(s.own) }

// KeygenID is the public name of this party's share: 44 characters of base58.
func (s Share) KeygenID() string { return s.keygen }

// NextKeygenID is the name this share will have after a refresh with mine. It
// is known before the other's delta is, so a room can be announced with it.
func (s Share) NextKeygenID(mine Delta) string {
	return keygenID([]byte(s.keygen), mine.point())
}

// Fingerprint names this very share without telling it: SHA-256 over its
// public point, in lower-case hex.
func (s Share) Fingerprint() string {
	sum := sha256.Sum256(append([]byte(s.curve+"\x00"), s.own...))
	return hex.EncodeToString(sum[:])
}

// String shows the fingerprint, never the secret.
func (s Share) String() string {
	if s.IsZero() {
		return "mpc.Share(none)"
	}
	return "mpc.Share(" + s.Fingerprint() + ")"
}

// GoString keeps the secret out of %#v.
func (s Share) GoString() string { return s.String() }

// Format keeps the secret out of every other verb.
func (s Share) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue keeps the secret out of logs.
func (s Share) LogValue() slog.Value { return slog.StringValue(s.String()) }

// keygenID hashes its parts until the base58 of the hash has the 44 characters
// that the vendor's keygen ids have; most 32-byte values do.
func keygenID(parts ...[]byte) string {
	hash := sha256.New()
	for _, part := range parts {
		hash.Write(part)
	}
	sum := hash.Sum(nil)
	for {
		if id := Base58(sum); len(id) == 44 {
			return id
		}
		again := sha256.Sum256(sum)
		sum = again[:]
	}
}
