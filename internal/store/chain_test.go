package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestEncodingIsFixed compares with hashes that were computed once. A change
// of the encoding must take the next chainVersion instead: the histories that
// exist must verify for ever.
func TestEncodingIsFixed(t *testing.T) {
	type vector struct {
		Name     string     `json:"name"`
		Previous string     `json:"previous"`
		Row      HistoryRow `json:"row"`
		Hash     string     `json:"hash"`
	}
	full := HistoryRow{WalletID: 42, Seq: 2, Generation: 7, PolicyID: 3, Outcome: Activated, Trigger: Schedule,
		Tick: time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC), OpenedAt: time.Date(2026, 3, 1, 3, 0, 1, 500_000, time.UTC),
		DecidedAt:  time.Date(2026, 3, 1, 3, 0, 2, 123_456_000, time.UTC),
		RotationID: uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"), AttemptID: uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058"),
		ShareSet: "set-1", Replaced: "set-0", KeyFingerprint: KeyFingerprint("02a1b2c3"), Actor: "alice", VendorSaid: "ok, zoë"}
	vectors := []vector{
		{Name: "first row, nothing else given", Row: HistoryRow{WalletID: 1, Seq: 1, Outcome: Baseline, DecidedAt: time.Unix(0, 0).UTC(), ShareSet: "s"}},
		{Name: "every field", Previous: "00112233", Row: full},
		{Name: "before 1970", Row: HistoryRow{WalletID: -1, Seq: 1, DecidedAt: time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC)}},
	}
	for i, v := range vectors {
		previous, err := hex.DecodeString(v.Previous)
		if err != nil {
			t.Fatal(err)
		}
		vectors[i].Hash = hex.EncodeToString(v.Row.Hash(previous))
	}
	got, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/chain.golden.json"
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(got, '\n'), want) {
		t.Fatalf("the encoding of the history chain has changed:\n%s", got)
	}
}

// What is equal on record hashes equally: time zones, fractions of a
// microsecond, a nil and an empty fingerprint.
func TestHashIgnoresWhatIsNotStored(t *testing.T) {
	row := HistoryRow{WalletID: 1, Seq: 1, Outcome: Baseline, DecidedAt: time.Date(2026, 1, 1, 0, 0, 0, 5_000, time.UTC), ShareSet: "s"}
	same := row
	same.DecidedAt = row.DecidedAt.Add(999).In(time.FixedZone("x", 3600))
	same.KeyFingerprint = []byte{}
	if !bytes.Equal(row.Hash(nil), same.Hash([]byte{})) {
		t.Fatal("the same row hashes differently")
	}
}

func anyRow(t *rapid.T, walletID int64) HistoryRow {
	text := func(label string) string {
		return rapid.SampledFrom([]string{"", "a", "b", "ab", "\x00", "set-1", "zoë"}).Draw(t, label)
	}
	when := func(label string) time.Time {
		if rapid.Bool().Draw(t, label+" given") {
			return time.UnixMicro(rapid.Int64Range(-1e15, 4e15).Draw(t, label)).UTC()
		}
		return time.Time{}
	}
	id := func(label string) (u uuid.UUID) {
		u[15] = rapid.Byte().Draw(t, label)
		return u
	}
	return HistoryRow{WalletID: walletID, Generation: rapid.Int32Range(0, 3).Draw(t, "generation"), PolicyID: rapid.Int32Range(0, 3).Draw(t, "policy"),
		Outcome: rapid.SampledFrom([]Outcome{Baseline, Activated, Abandoned, Rejected, FailedSet, Retired, Reconciled}).Draw(t, "outcome"),
		Trigger: Trigger(text("trigger")), Tick: when("tick"), OpenedAt: when("opened"), DecidedAt: when("decided"), RotationID: id("rotation"),
		AttemptID: id("attempt"), ShareSet: text("set"), Replaced: text("replaced"), KeyFingerprint: KeyFingerprint(text("key")), Actor: text("actor"), VendorSaid: text("said")}
}

// anyChain is a chain as it would be on record.
func anyChain(t *rapid.T, n int) (rows []HistoryRow, hashes [][]byte) {
	var head Head
	for range n {
		e := Follow(head, anyRow(t, 7))
		rows, hashes = append(rows, e.Row), append(hashes, e.hash)
		head = e.Head(head)
	}
	return rows, hashes
}

// fields are all columns of a history row, each with a way to change it into
// something that is stored differently.
var fields = map[string]func(*HistoryRow){
	"wallet_id":       func(r *HistoryRow) { r.WalletID++ },
	"seq":             func(r *HistoryRow) { r.Seq++ },
	"generation":      func(r *HistoryRow) { r.Generation++ },
	"policy_id":       func(r *HistoryRow) { r.PolicyID++ },
	"outcome":         func(r *HistoryRow) { r.Outcome += "x" },
	"trigger":         func(r *HistoryRow) { r.Trigger += "x" },
	"tick":            func(r *HistoryRow) { r.Tick = other(r.Tick) },
	"opened_at":       func(r *HistoryRow) { r.OpenedAt = other(r.OpenedAt) },
	"decided_at":      func(r *HistoryRow) { r.DecidedAt = other(r.DecidedAt) },
	"rotation_id":     func(r *HistoryRow) { r.RotationID[0]++ },
	"attempt_id":      func(r *HistoryRow) { r.AttemptID[0]++ },
	"share_set":       func(r *HistoryRow) { r.ShareSet += "x" },
	"replaced":        func(r *HistoryRow) { r.Replaced += "x" },
	"key_fingerprint": func(r *HistoryRow) { r.KeyFingerprint = append(slices.Clone(r.KeyFingerprint), 1) },
	"actor":           func(r *HistoryRow) { r.Actor += "x" },
	"vendor_said":     func(r *HistoryRow) { r.VendorSaid += "x" },
	// From one field to its neighbour: lengths tell them apart.
	"share_set and replaced": func(r *HistoryRow) { r.ShareSet, r.Replaced = r.ShareSet+"x"+r.Replaced, "" },
}

func other(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return t.Add(time.Microsecond)
}

func TestEveryChangeIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "rows")
		rows, hashes := anyChain(t, n)
		if err := VerifyChain(rows, hashes); err != nil {
			t.Fatalf("an untouched chain: %v", err)
		}
		tampered := func(what string, rows []HistoryRow, hashes [][]byte) {
			if err := VerifyChain(rows, hashes); !errors.Is(err, ErrTampered) {
				t.Fatalf("%s: %v", what, err)
			}
		}
		at := rapid.IntRange(0, n-1).Draw(t, "at")
		for name, change := range fields {
			changed := slices.Clone(rows)
			change(&changed[at])
			tampered(name, changed, hashes)
		}
		bent := slices.Clone(hashes)
		bent[at] = slices.Clone(bent[at])
		bent[at][rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
		tampered("a hash", rows, bent)
		tampered("a hash cut short", rows, hashes[:n-1])
		if at < n-1 { // the end is compared with the head
			tampered("a row removed", slices.Delete(slices.Clone(rows), at, at+1), slices.Delete(slices.Clone(hashes), at, at+1))
		}
		tampered("a row doubled", slices.Insert(slices.Clone(rows), at, rows[at]), slices.Insert(slices.Clone(hashes), at, hashes[at]))
		forged := anyRow(t, 7)
		forged.Seq = int32(at + 1)
		var before []byte
		if at > 0 {
			before = hashes[at-1]
		}
		tampered("a row inserted", slices.Insert(slices.Clone(rows), at, forged), slices.Insert(slices.Clone(hashes), at, forged.Hash(before)))
		if to := rapid.IntRange(0, n-1).Draw(t, "to"); to != at {
			moved, with := slices.Clone(rows), slices.Clone(hashes)
			moved[at], moved[to] = moved[to], moved[at]
			with[at], with[to] = with[to], with[at]
			tampered("rows swapped", moved, with)
		}
	})
}

// TestFieldsOfTheChain fails when HistoryRow gets a field that nobody tries to
// change.
func TestFieldsOfTheChain(t *testing.T) {
	for _, column := range historyColumns {
		if _, ok := fields[column]; !ok && column != "hash" {
			t.Errorf("nobody changes %s", column)
		}
	}
}

// TestStoredChainVerifies: whatever a vendor says, what comes back from the
// database hashes to what was stored.
func TestStoredChainVerifies(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Ceremony)
	step := abandonStep(w.Store, r)
	row := step.Entry.Row
	row.VendorSaid, row.Actor = "a\x00b\xff\u00e9'\"\\\n", "\x00"
	row.DecidedAt = row.DecidedAt.Add(987) // no whole microsecond
	row.KeyFingerprint = []byte{}
	step.Entry, step.Error = Follow(r.Head, row), "\x00\xff"
	got, err := w.Abandon(t.Context(), w.epoch, []AbandonStep{step})
	w.taken(r, got, err)
	w.ok(w.VerifyWallet(t.Context(), r.Wallet.ID))
}

func TestVerifyWallet(t *testing.T) {
	w, r := claimed(t)
	ctx := t.Context()
	id := r.Wallet.ID
	w.ok(w.VerifyWallet(ctx, id)) // no history, and none expected
	w.rotate(r)
	w.ok(w.VerifyWallet(ctx, id))

	// Somebody with all rights on the database.
	w.exec(`ALTER TABLE share_set_history DISABLE TRIGGER share_set_history_append_only`)
	keep := `CREATE TEMP TABLE kept_history AS SELECT * FROM share_set_history; CREATE TEMP TABLE kept_state AS SELECT * FROM wallet_state`
	w.exec(keep)
	restore := func() {
		w.exec(`DELETE FROM share_set_history; INSERT INTO share_set_history SELECT * FROM kept_history;
			DELETE FROM wallet_state; INSERT INTO wallet_state SELECT * FROM kept_state`)
		w.ok(w.VerifyWallet(ctx, id))
	}
	for _, sql := range []string{
		`UPDATE share_set_history SET share_set = 'other' WHERE seq = 1`,
		`UPDATE share_set_history SET decided_at = decided_at + interval '1 microsecond' WHERE seq = 2`,
		`UPDATE share_set_history SET actor = 'mallory' WHERE seq = 2`,
		`UPDATE share_set_history SET tick = NULL WHERE seq = 2`,
		`DELETE FROM share_set_history WHERE seq = 1`,
		`DELETE FROM share_set_history WHERE seq = 2`, // the last one: only the head tells
		`DELETE FROM share_set_history`,
		`UPDATE share_set_history SET seq = 3 WHERE seq = 2`,
		`INSERT INTO share_set_history SELECT wallet_id, 3, generation, policy_id, outcome, trigger, tick, opened_at, decided_at, rotation_id,
			attempt_id, share_set, replaced, key_fingerprint, actor, vendor_said, hash FROM share_set_history WHERE seq = 2`,
		`UPDATE wallet_state SET seq = 1`,
		`UPDATE wallet_state SET hash = sha256('x')`,
		`DELETE FROM wallet_state`,
	} {
		w.exec(sql)
		if err := w.VerifyWallet(ctx, id); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", sql, err)
		}
		restore()
	}
	// A deleted wallet's history is checked against the head it had.
	w.exec(`DELETE FROM wallets`)
	w.ok(w.VerifyWallet(ctx, id))
	w.exec(`DELETE FROM share_set_history WHERE seq = 2`)
	if err := w.VerifyWallet(ctx, id); !errors.Is(err, ErrTampered) {
		t.Errorf("a deleted wallet's last row removed: %v", err)
	}
}
