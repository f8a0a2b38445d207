package mpc

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

type secpGroup struct{}

func (secpGroup) scalar(b []byte) (*secp256k1.ModNScalar, error) {
	if len(b) != 32 {
		return nil, fmt.Errorf("%w: secp256k1 scalar has %d bytes", ErrInvalid, len(b))
	}
	s := new(secp256k1.ModNScalar)
	if overflow := s.SetByteSlice(b); overflow {
		return nil, fmt.Errorf("%w: secp256k1 scalar is not canonical", ErrInvalid)
	}
	return s, nil
}

// point takes the 33-byte compressed encoding only.
func (secpGroup) point(b []byte) (*secp256k1.PublicKey, error) {
	if len(b) != secp256k1.PubKeyBytesLenCompressed {
		return nil, fmt.Errorf("%w: secp256k1 point has %d bytes", ErrInvalid, len(b))
	}
	p, err := secp256k1.ParsePubKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: secp256k1 point: %w", ErrInvalid, err)
	}
	return p, nil
}

func (secpGroup) encode(s *secp256k1.ModNScalar) []byte {
	b := s.Bytes()
	return b[:]
}

func (secpGroup) compress(p *secp256k1.JacobianPoint) ([]byte, error) {
	if (p.X.IsZero() && p.Y.IsZero()) || p.Z.IsZero() {
		return nil, fmt.Errorf("%w: the shares add up to nothing", ErrInvalid)
	}
	p.ToAffine()
	return secp256k1.NewPublicKey(&p.X, &p.Y).SerializeCompressed(), nil
}

func (g secpGroup) randomScalar(random io.Reader) ([]byte, error) {
	for {
		var b [32]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return nil, fmt.Errorf("drawing a scalar: %w", err)
		}
		s := new(secp256k1.ModNScalar)
		if overflow := s.SetByteSlice(b[:]); !overflow && !s.IsZero() {
			return g.encode(s), nil
		}
	}
}

func (g secpGroup) add(a, b []byte) ([]byte, error) {
	x, err := g.scalar(a)
	if err != nil {
		return nil, err
	}
	y, err := g.scalar(b)
	if err != nil {
		return nil, err
	}
	return g.encode(x.Add(y)), nil
}

func (g secpGroup) subtract(a, b []byte) ([]byte, error) {
	x, err := g.scalar(a)
	if err != nil {
		return nil, err
	}
	y, err := g.scalar(b)
	if err != nil {
		return nil, err
	}
	return g.encode(x.Add(y.Negate())), nil
}

func (g secpGroup) multiply(a, b []byte) ([]byte, error) {
	x, err := g.scalar(a)
	if err != nil {
		return nil, err
	}
	y, err := g.scalar(b)
	if err != nil {
		return nil, err
	}
	return g.encode(x.Mul(y)), nil
}

func (g secpGroup) invert(a []byte) ([]byte, error) {
	x, err := g.scalar(a)
	if err != nil {
		return nil, err
	}
	if x.IsZero() {
		return nil, fmt.Errorf("%w: zero has no inverse", ErrInvalid)
	}
	return g.encode(x.InverseNonConst()), nil
}

func (g secpGroup) small(n int) []byte {
	return g.encode(new(secp256k1.ModNScalar).SetInt(uint32(n)))
}

func (g secpGroup) mulBase(scalar []byte) ([]byte, error) {
	s, err := g.scalar(scalar)
	if err != nil {
		return nil, err
	}
	var p secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(s, &p)
	return g.compress(&p)
}

func (g secpGroup) mulPoint(scalar, point []byte) ([]byte, error) {
	s, err := g.scalar(scalar)
	if err != nil {
		return nil, err
	}
	p, err := g.point(point)
	if err != nil {
		return nil, err
	}
	var at, product secp256k1.JacobianPoint
	p.AsJacobian(&at)
	secp256k1.ScalarMultNonConst(s, &at, &product)
	return g.compress(&product)
}

func (g secpGroup) addPoints(a, b []byte) ([]byte, error) {
	p, err := g.point(a)
	if err != nil {
		return nil, err
	}
	q, err := g.point(b)
	if err != nil {
		return nil, err
	}
	var pj, qj, sum secp256k1.JacobianPoint
	p.AsJacobian(&pj)
	q.AsJacobian(&qj)
	secp256k1.AddNonConst(&pj, &qj, &sum)
	return g.compress(&sum)
}

// publicKey is x-only (BIP-340); the sign of y is settled while signing.
func (secpGroup) publicKey(joint []byte) []byte { return joint[1:] }

// sign follows BIP-340 with both the nonce and the key as a sum. When a joint
// point has an odd y, every party negates its own part of it.
func (g secpGroup) sign(parts [][]byte, joint, message []byte, random io.Reader) ([]byte, error) {
	negateKeys := joint[0] == secp256k1.PubKeyFormatCompressedOdd
	nonce := new(secp256k1.ModNScalar)
	var secrets, nonces []*secp256k1.ModNScalar
	for _, secret := range parts {
		x, err := g.scalar(secret)
		if err != nil {
			return nil, err
		}
		if negateKeys {
			x.Negate()
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
		nonce.Add(k)
	}
	commitment, err := g.mulBase(g.encode(nonce))
	if err != nil {
		return nil, err
	}
	if commitment[0] == secp256k1.PubKeyFormatCompressedOdd {
		for _, k := range nonces {
			k.Negate()
		}
	}

	digest := challengeHash(commitment[1:], joint[1:], message)
	challenge := new(secp256k1.ModNScalar)
	challenge.SetByteSlice(digest[:]) // BIP-340 reduces it, too
	sum := new(secp256k1.ModNScalar)
	for i := range secrets {
		partial := new(secp256k1.ModNScalar).Mul2(challenge, secrets[i])
		sum.Add(partial.Add(nonces[i]))
	}
	return append(append([]byte{}, commitment[1:]...), g.encode(sum)...), nil
}

// challengeHash is BIP-340's tagged hash "BIP0340/challenge".
func challengeHash(commitment, publicKey, message []byte) [32]byte {
	tag := sha256.Sum256([]byte("BIP0340/challenge"))
	hash := sha256.New()
	for _, part := range [][]byte{tag[:], tag[:], commitment, publicKey, message} {
		hash.Write(part)
	}
	return [32]byte(hash.Sum(nil))
}

// verify takes a 32-byte message, as the standard verifier does.
func (secpGroup) verify(publicKey, message, signature []byte) bool {
	key, err := schnorr.ParsePubKey(publicKey)
	if err != nil {
		return false
	}
	parsed, err := schnorr.ParseSignature(signature)
	if err != nil {
		return false
	}
	return parsed.Verify(message, key)
}

// address is the taproot one of the x-only key. A real wallet would tweak the
// key first (BIP-341); the sandbox keeps key and address one step apart.
func (secpGroup) address(publicKey []byte) string { return taprootAddress(publicKey) }
