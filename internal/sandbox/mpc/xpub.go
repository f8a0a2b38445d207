package mpc

import (
	"bytes"
	"crypto/sha256"
	"fmt"
)

// The layout of an extended public key (BIP-32): version, depth, parent's
// fingerprint, child number, chain code, key.
const (
	xpubLength     = 78
	xpubChainCode  = 13
	xpubKey        = 45
	checksumLength = 4
)

// xpubVersion makes the text begin with "xpub".
var xpubVersion = []byte{0x04, 0x88, 0xb2, 0x1e}

// EncodeRootPubkey writes a compressed public key as the extended public key of
// a root: base58 with checksum, depth 0. A 32-byte Ed25519 key is padded with a
// zero byte in front, as SLIP-10 does. The chain code is derived from the key,
// so the same key always has the same text.
func EncodeRootPubkey(curve Curve, key []byte) string {
	chainCode := sha256.Sum256(append([]byte("rotatord sandbox chain code\x00"+string(curve)+"\x00"), key...))
	raw := make([]byte, 0, xpubLength+checksumLength)
	raw = append(raw, xpubVersion...)
	raw = append(raw, make([]byte, xpubChainCode-len(xpubVersion))...)
	raw = append(raw, chainCode[:]...)
	raw = append(raw, make([]byte, xpubLength-len(raw)-len(key))...)
	raw = append(raw, key...)
	return Base58(append(raw, checksum(raw)...))
}

// DecodeRootPubkey reads the curve and the compressed public key out of what
// EncodeRootPubkey wrote. Anything that is not a well-formed root key of a
// valid point is refused. It takes any chain code.
func DecodeRootPubkey(text string) (Curve, []byte, error) {
	if len(text) > 2*xpubLength { // base58 needs 111 characters for this
		return "", nil, fmt.Errorf("%w: an extended public key of %d characters", ErrInvalid, len(text))
	}
	raw, err := fromBase58(text)
	if err != nil {
		return "", nil, err
	}
	if len(raw) != xpubLength+checksumLength {
		return "", nil, fmt.Errorf("%w: an extended public key of %d bytes", ErrInvalid, len(raw))
	}
	raw, sum := raw[:xpubLength], raw[xpubLength:]
	switch {
	case !bytes.Equal(sum, checksum(raw)):
		return "", nil, fmt.Errorf("%w: wrong checksum of an extended public key", ErrInvalid)
	case !bytes.HasPrefix(raw, xpubVersion):
		return "", nil, fmt.Errorf("%w: not an xpub", ErrInvalid)
	case !bytes.Equal(raw[len(xpubVersion):xpubChainCode], make([]byte, xpubChainCode-len(xpubVersion))):
		return "", nil, fmt.Errorf("%w: not a root key", ErrInvalid)
	}
	curve, key := BIP340, raw[xpubKey:]
	if key[0] == 0 {
		curve, key = Ed25519, key[1:]
	}
	g, err := curve.group()
	if err != nil {
		return "", nil, err
	}
	// One times a point is the point, if it is one.
	if _, err := g.mulPoint(g.small(1), key); err != nil {
		return "", nil, err
	}
	return curve, key, nil
}

// checksum is base58check's.
func checksum(raw []byte) []byte {
	once := sha256.Sum256(raw)
	twice := sha256.Sum256(once[:])
	return twice[:checksumLength]
}
