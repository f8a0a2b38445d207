package history

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/store"
)

// Row is a row of an exported copy: what is stored, and the hash of the row
// before it, which is part of what its own hash was made of.
type Row struct {
	store.StoredRow
	Previous []byte // empty before the first
}

// line is a row as JSON, in the order of what is hashed. Every field is there;
// what is null in the table is null here.
type line struct {
	Previous       hexBytes   `json:"previous"`
	WalletID       int64      `json:"wallet_id"`
	Seq            int32      `json:"seq"`
	Generation     int32      `json:"generation"`
	PolicyID       *int32     `json:"policy_id"`
	Outcome        string     `json:"outcome"`
	Trigger        *string    `json:"trigger"`
	Tick           *micros    `json:"tick"`
	OpenedAt       *micros    `json:"opened_at"`
	DecidedAt      *micros    `json:"decided_at"`
	RotationID     *uuid.UUID `json:"rotation_id"`
	AttemptID      *uuid.UUID `json:"attempt_id"`
	ShareSet       string     `json:"share_set"`
	Replaced       *string    `json:"replaced"`
	KeyFingerprint *hexBytes  `json:"key_fingerprint"`
	Actor          *string    `json:"actor"`
	VendorSaid     *string    `json:"vendor_said"`
	Hash           hexBytes   `json:"hash"`
	// Odd is only written when it is so: see [store.StoredRow].
	Odd bool `json:"odd,omitempty"`
	// Trailer is only there in the last line, and alone.
	Trailer *Trailer `json:"trailer,omitempty"`
}

func lineOf(r store.StoredRow, previous []byte) line {
	return line{Previous: previous, WalletID: r.WalletID, Seq: r.Seq, Generation: r.Generation, PolicyID: null(r.PolicyID),
		Outcome: string(r.Outcome), Trigger: null(string(r.Trigger)), Tick: nullTime(r.Tick), OpenedAt: nullTime(r.OpenedAt),
		DecidedAt: nullTime(r.DecidedAt), RotationID: null(r.RotationID), AttemptID: null(r.AttemptID), ShareSet: r.ShareSet,
		Replaced: null(r.Replaced), KeyFingerprint: nullBytes(r.KeyFingerprint), Actor: null(r.Actor), VendorSaid: null(r.VendorSaid),
		Hash: r.Hash, Odd: r.Odd}
}

func (l line) row() Row {
	r := store.HistoryRow{WalletID: l.WalletID, Seq: l.Seq, Generation: l.Generation, PolicyID: value(l.PolicyID),
		Outcome: store.Outcome(l.Outcome), Trigger: store.Trigger(value(l.Trigger)), Tick: time.Time(value(l.Tick)), OpenedAt: time.Time(value(l.OpenedAt)),
		DecidedAt: time.Time(value(l.DecidedAt)), RotationID: value(l.RotationID), AttemptID: value(l.AttemptID), ShareSet: l.ShareSet,
		Replaced: value(l.Replaced), Actor: value(l.Actor), VendorSaid: value(l.VendorSaid)}
	if l.KeyFingerprint != nil {
		r.KeyFingerprint = *l.KeyFingerprint
	}
	return Row{store.StoredRow{HistoryRow: r, Hash: l.Hash, Odd: l.Odd || l.DecidedAt == nil}, l.Previous}
}

// null is a field that holds nothing as the table has it.
func null[V comparable](v V) *V {
	var zero V
	if v == zero {
		return nil
	}
	return &v
}

func nullTime(t time.Time) *micros {
	if t.IsZero() {
		return nil
	}
	m := micros(t)
	return &m
}

func nullBytes(b []byte) *hexBytes {
	if len(b) == 0 {
		return nil
	}
	h := hexBytes(b)
	return &h
}

func value[V any](v *V) (out V) {
	if v != nil {
		out = *v
	}
	return out
}

// hexBytes are written in hex.
type hexBytes []byte

// MarshalText implements encoding.TextMarshaler.
func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexBytes) UnmarshalText(text []byte) error {
	*h = make([]byte, hex.DecodedLen(len(text)))
	_, err := hex.Decode(*h, text)
	return err
}

// decodeHex fills all of to.
func decodeHex(to, text []byte) error {
	if hex.EncodedLen(len(to)) != len(text) {
		return fmt.Errorf("%d hex digits where %d belong", len(text), hex.EncodedLen(len(to)))
	}
	_, err := hex.Decode(to, text)
	return err
}

// micros is a time in UTC with six digits behind the second, which is what is
// hashed, and no other way to write it.
type micros time.Time

// String is the time as it is written.
func (m micros) String() string { return time.Time(m).UTC().Format(microsFormat) }

const microsFormat = "2006-01-02T15:04:05.000000Z"

var errNoTime = errors.New("a time must look like " + microsFormat)

// MarshalText implements encoding.TextMarshaler.
func (m micros) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *micros) UnmarshalText(text []byte) error {
	t, err := time.Parse(microsFormat, string(text))
	if err != nil || t.Format(microsFormat) != string(text) || t.IsZero() {
		return errNoTime
	}
	*m = micros(t)
	return nil
}

// encode is v as JSON in a line of its own. What a vendor said stays readable:
// nothing is escaped for the sake of HTML.
func encode(buf []byte, v any) ([]byte, error) {
	out := lineBuffer(buf)
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return out, err
}

type lineBuffer []byte

// Write implements io.Writer.
func (b *lineBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}
