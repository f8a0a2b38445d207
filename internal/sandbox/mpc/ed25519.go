package mpc

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"

	"filippo.io/edwards25519"
)

type edwardsGroup struct{}

func (edwardsGroup) scalar(b []byte) (*edwards25519.Scalar, error) {
	s, err := edwards25519.NewScalar().SetCanonicalBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%w: ed25519 scalar: %w", ErrInvalid, err)
	}
	return s, nil
}

func (edwardsGroup) point(b []byte) (*edwards25519.Point, error) {
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%w: ed25519 point: %w", ErrInvalid, err)
	}
	// SetBytes follows RFC 8032 loosely; two encodings of one point would give
	// one share two fingerprints.
	if !bytes.Equal(p.Bytes(), b) {
		return nil, fmt.Errorf("%w: ed25519 point is not canonical", ErrInvalid)
	}
	return p, nil
}

func (edwardsGroup) randomScalar(random io.Reader) ([]byte, error) {
	var wide [64]byte
	if _, err := io.ReadFull(random, wide[:]); err != nil {
		return nil, fmt.Errorf("drawing a scalar: %w", err)
	}
	s, err := edwards25519.NewScalar().SetUniformBytes(wide[:])
	if err != nil {
		return nil, fmt.Errorf("drawing a scalar: %w", err)
	}
	return s.Bytes(), nil
}

func (g edwardsGroup) add(a, b []byte) ([]byte, error) {
	x, err := g.scalar(a)
	if err != nil {
		return nil, err
	}
	y, err := g.scalar(b)
	if err != nil {
		return nil, err
	}
	return x.Add(x, y).Bytes(), nil
}

func (g edwardsGroup) subtract(a, b []byte) ([]byte, error) {
	x, err := g.scalar(a)
	if err != nil {
		return nil, err
	}
	y, err := g.scalar(b)
	if err != nil {
		return nil, err
	}
	return x.Subtract(x, y).Bytes(), nil
}

func (g edwardsGroup) multiply(a, b []byte) ([]byte, error) {
	x, err := g.scalar(a)
	if err != nil {
		return nil, err
	}
	y, err := g.scalar(b)
	if err != nil {
		return nil, err
	}
	return x.Multiply(x, y).Bytes(), nil
}

func (g edwardsGroup) invert(a []byte) ([]byte, error) {
	x, err := g.scalar(a)
	if err != nil {
		return nil, err
	}
	if x.Equal(edwards25519.NewScalar()) == 1 {
		return nil, fmt.Errorf("%w: zero has no inverse", ErrInvalid)
	}
	return x.Invert(x).Bytes(), nil
}

func (edwardsGroup) small(n int) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(n)), make([]byte, 24)...)
}

func (g edwardsGroup) mulBase(scalar []byte) ([]byte, error) {
	s, err := g.scalar(scalar)
	if err != nil {
		return nil, err
	}
	return new(edwards25519.Point).ScalarBaseMult(s).Bytes(), nil
}

func (g edwardsGroup) mulPoint(scalar, point []byte) ([]byte, error) {
	s, err := g.scalar(scalar)
	if err != nil {
		return nil, err
	}
	p, err := g.point(point)
	if err != nil {
		return nil, err
	}
	return p.ScalarMult(s, p).Bytes(), nil
}

func (g edwardsGroup) addPoints(a, b []byte) ([]byte, error) {
	p, err := g.point(a)
	if err != nil {
		return nil, err
	}
	q, err := g.point(b)
	if err != nil {
		return nil, err
	}
	p.Add(p, q)
	if p.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, fmt.Errorf("%w: the shares add up to nothing", ErrInvalid)
	}
	return p.Bytes(), nil
}

func (edwardsGroup) publicKey(joint []byte) []byte { return joint }

// sign follows RFC 8032 with both the nonce and the key as a sum: R = (ka+kb+…)·G,
// e = H(R, X, m), S = (ka + e·a) + (kb + e·b) + ….
func (g edwardsGroup) sign(parts [][]byte, joint, message []byte, random io.Reader) ([]byte, error) {
	sum := edwards25519.NewScalar()
	nonce := edwards25519.NewScalar()
	var secrets, nonces []*edwards25519.Scalar
	for _, secret := range parts {
		x, err := g.scalar(secret)
		if err != nil {
			return nil, err
		}
		drawn, err := g.randomScalar(random)
		if err != nil {
			return nil, err
		}
		k, err := g.scalar(drawn)
		if err != nil {
			return nil, err
		}
		secrets, nonces = append(secrets, x), append(nonces, k)
		nonce.Add(nonce, k)
	}
	commitment := new(edwards25519.Point).ScalarBaseMult(nonce).Bytes()

	hash := sha512.New()
	hash.Write(commitment)
	hash.Write(joint)
	hash.Write(message)
	challenge, err := edwards25519.NewScalar().SetUniformBytes(hash.Sum(nil))
	if err != nil {
		return nil, fmt.Errorf("hashing the challenge: %w", err)
	}
	for i := range secrets {
		partial := edwards25519.NewScalar().MultiplyAdd(challenge, secrets[i], nonces[i])
		sum.Add(sum, partial)
	}
	return append(commitment, sum.Bytes()...), nil
}

func (edwardsGroup) verify(publicKey, message, signature []byte) bool {
	return len(publicKey) == ed25519.PublicKeySize && ed25519.Verify(publicKey, message, signature)
}

func (edwardsGroup) address(publicKey []byte) string { return Base58(publicKey) }
