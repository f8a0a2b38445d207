package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// chainVersion is the first byte of everything that is hashed. A change of
// the encoding takes the next number; old rows keep theirs and stay valid.
const chainVersion = 1

// Head is the end of a wallet's history, as wallet_state holds it.
type Head struct {
	Seq            int32
	Hash           []byte // empty before the first row
	Generation     int32
	ActiveShareSet string // empty before the baseline
	PublicKey      string // empty before the baseline
	CycleAt        time.Time
}

// HistoryRow is one decided share set. Zero values are stored as null.
type HistoryRow struct {
	WalletID       int64
	Seq            int32
	Generation     int32
	PolicyID       int32
	Outcome        Outcome
	Trigger        Trigger
	Tick           time.Time
	OpenedAt       time.Time
	DecidedAt      time.Time
	RotationID     uuid.UUID
	AttemptID      uuid.UUID
	ShareSet       string // never null; empty when the vendor never told it
	Replaced       string
	KeyFingerprint []byte
	Actor          string
	VendorSaid     string
}

// KeyFingerprint names a public key in the history: the first 16 bytes of its
// SHA-256. Enough to compare, and half the size.
func KeyFingerprint(publicKey string) []byte {
	if publicKey == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(publicKey))
	return sum[:16]
}

// Hash is the row's link in the chain: SHA-256 over a version byte, the hash
// of the row before (empty for the first), and every field with its length
// before it. Lengths make the encoding unambiguous; null has a length of its
// own (2³²−1); times are microseconds since 1970 UTC.
func (r HistoryRow) Hash(previous []byte) []byte {
	var e encoder
	e.buf.WriteByte(chainVersion)
	e.bytes(previous)
	e.int(r.WalletID)
	e.int(int64(r.Seq))
	e.int(int64(r.Generation))
	e.int(int64(r.PolicyID))
	e.text(string(r.Outcome))
	e.text(string(r.Trigger))
	e.time(r.Tick)
	e.time(r.OpenedAt)
	e.time(r.DecidedAt)
	e.uuid(r.RotationID)
	e.uuid(r.AttemptID)
	e.text(r.ShareSet)
	e.text(r.Replaced)
	e.bytes(r.KeyFingerprint)
	e.text(r.Actor)
	e.text(r.VendorSaid)
	sum := sha256.Sum256(e.buf.Bytes())
	return sum[:]
}

type encoder struct{ buf bytes.Buffer }

func (e *encoder) length(n uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	e.buf.Write(b[:])
}

func (e *encoder) bytes(b []byte) {
	e.length(uint32(len(b)))
	e.buf.Write(b)
}

func (e *encoder) text(s string) { e.bytes([]byte(s)) }

func (e *encoder) int(n int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	e.bytes(b[:])
}

const nullLength = 1<<32 - 1

func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.length(nullLength)
		return
	}
	e.int(t.UnixMicro())
}

func (e *encoder) uuid(u uuid.UUID) {
	if u == uuid.Nil {
		e.length(nullLength)
		return
	}
	e.bytes(u[:])
}
