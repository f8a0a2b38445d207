package history

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Digest stands for the heads of all wallets that were walked over: two walks
// with the same digest have seen the same histories, up to their last rows.
type Digest [sha256.Size]byte

// String is the digest in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText and UnmarshalText are the digest in hex.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error { return decodeHex(d[:], text) }

// Head pins the state of the histories of a walk. Wallets without any row are
// no part of it: nothing has been decided for them.
type Head struct {
	Wallets int64  `json:"wallets"`
	Rows    int64  `json:"rows"`
	Digest  Digest `json:"digest"`
}

// add puts the end of a wallet's history behind those before it. Wallets come in
// ascending order. The digest is SHA-256 over the digest before (zeros at
// first), the wallet's id and its last number as 64-bit integers, big-endian,
// and its last hash: so it can be carried on from the digest alone.
func (h *Head) add(walletID int64, seq int32, hash []byte, rows int64) {
	b := append(make([]byte, 0, 80), h.Digest[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(walletID))
	b = binary.BigEndian.AppendUint64(b, uint64(int64(seq)))
	h.Digest = sha256.Sum256(append(b, hash...))
	h.Wallets++
	h.Rows += rows
}
