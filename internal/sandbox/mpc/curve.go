package mpc

import (
	"errors"
	"fmt"
	"io"
)

// Curve names a signature scheme over its curve.
type Curve string

const (
	// Ed25519 wallets are SVM ones; their verifier is crypto/ed25519.
	Ed25519 Curve = "ed25519"
	// BIP340 wallets are Schnorr over secp256k1, BTC taproot ones; their
	// verifier is btcec/v2/schnorr.
	BIP340 Curve = "bip340"
)

// Curves lists what the sandbox can do.
func Curves() []Curve { return []Curve{Ed25519, BIP340} }

// Chain is the vendor's name of the chain whose wallets use this curve.
func (c Curve) Chain() string {
	switch c {
	case Ed25519:
		return "SVM"
	case BIP340:
		return "BTC"
	}
	return ""
}

// ErrInvalid is wrapped by every error about a scalar, point or share that is
// not what it claims to be.
var ErrInvalid = errors.New("invalid key share")

// group is the arithmetic of one curve. Scalars are 32 bytes in the curve's
// own order, points in its own compressed encoding; both are checked to be
// canonical wherever they come in.
type group interface {
	randomScalar(random io.Reader) ([]byte, error)
	add(a, b []byte) ([]byte, error)      // scalars
	subtract(a, b []byte) ([]byte, error) // scalars
	multiply(a, b []byte) ([]byte, error) // scalars
	invert(a []byte) ([]byte, error)      // refuses zero
	small(n int) []byte                   // the scalar of a small positive number
	mulBase(scalar []byte) ([]byte, error)
	mulPoint(scalar, point []byte) ([]byte, error)
	addPoints(a, b []byte) ([]byte, error) // refuses the identity
	// publicKey is the encoding of a joint point that standard verifiers take.
	publicKey(joint []byte) []byte
	// sign makes one signature of several parties whose secrets add up to the
	// key: their nonces and partial signatures, added up.
	sign(secrets [][]byte, joint, message []byte, random io.Reader) ([]byte, error)
	verify(publicKey, message, signature []byte) bool
	address(publicKey []byte) string
}

func (c Curve) group() (group, error) {
	switch c {
	case Ed25519:
		return edwardsGroup{}, nil
	case BIP340:
		return secpGroup{}, nil
	}
	return nil, fmt.Errorf("%w: unknown curve %q", ErrInvalid, string(c))
}
