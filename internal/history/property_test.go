package history

import (
	"bytes"
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/rotatord/rotatord/internal/store"
)

// memory is a source of rows and heads; what it pages is what PostgreSQL would.
type memory struct {
	heads []store.ChainHead
	rows  []store.StoredRow
	size  small
}

func (m *memory) HistoryPage(_ context.Context, span store.HistorySpan) (*store.HistoryPage, error) {
	page := &store.HistoryPage{To: span.To}
	for _, h := range m.heads {
		if h.WalletID >= span.Wallet && h.WalletID <= page.To {
			page.Heads = append(page.Heads, h)
			if len(page.Heads) == m.size.heads {
				page.To = h.WalletID
			}
		}
	}
	for _, r := range m.rows {
		if (r.WalletID > span.Wallet || r.WalletID == span.Wallet && int64(r.Seq) > span.Seq) && r.WalletID <= page.To {
			page.Rows = append(page.Rows, r)
			if len(page.Rows) == m.size.rows {
				page.Cut = true
				break
			}
		}
	}
	return page, nil
}

func anyRow(t *rapid.T, walletID int64) store.HistoryRow {
	text := func(label string) string {
		return rapid.SampledFrom([]string{"", "a", "b", "ab", "<>&\u2028", "\n\",", "zoë", "\U0010FFFD"}).Draw(t, label)
	}
	when := func(label string) time.Time {
		if rapid.Bool().Draw(t, label+" given") {
			return time.UnixMicro(rapid.Int64Range(-62135596799e6, 253402300799e6).Draw(t, label)).UTC()
		}
		return time.Time{}
	}
	id := func(label string) (u uuid.UUID) {
		u[15] = rapid.Byte().Draw(t, label)
		return u
	}
	return store.HistoryRow{WalletID: walletID, Generation: rapid.Int32().Draw(t, "generation"), PolicyID: rapid.Int32Range(0, 3).Draw(t, "policy"),
		Outcome: rapid.SampledFrom([]store.Outcome{store.Baseline, store.Activated, store.Abandoned, store.Retired}).Draw(t, "outcome"),
		Trigger: store.Trigger(text("trigger")), Tick: when("tick"), OpenedAt: when("opened"), DecidedAt: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "decided")).UTC(),
		RotationID: id("rotation"), AttemptID: id("attempt"), ShareSet: text("set"), Replaced: text("replaced"),
		KeyFingerprint: store.KeyFingerprint(publicKey), Actor: text("actor"), VendorSaid: text("said")}
}

func anyFleet(t *rapid.T) *memory {
	m := &memory{size: small{heads: rapid.IntRange(1, 5).Draw(t, "heads"), rows: rapid.IntRange(1, 5).Draw(t, "rows")}}
	id := rapid.Int64Range(math.MinInt64, 3).Draw(t, "first wallet")
	for range rapid.IntRange(0, 4).Draw(t, "wallets") {
		var head store.Head
		for range rapid.IntRange(0, 4).Draw(t, "history") {
			e := store.Follow(head, anyRow(t, id))
			head = e.Head(head)
			m.rows = append(m.rows, store.StoredRow{HistoryRow: e.Row, Hash: head.Hash})
		}
		h := store.ChainHead{WalletID: id, Seq: head.Seq, Hash: head.Hash, Generation: head.Generation, ActiveShareSet: head.ActiveShareSet, PublicKey: publicKey}
		if rapid.Bool().Draw(t, "deleted") {
			h = store.ChainHead{WalletID: id, Seq: head.Seq, Hash: head.Hash, Deleted: true}
		}
		m.heads = append(m.heads, h)
		id += rapid.Int64Range(1, 3).Draw(t, "gap")
	}
	return m
}

func (m *memory) verify(t *rapid.T, outside []byte) *Report {
	v := Verification{Source: m, Scope: All()}
	if outside != nil {
		v.Copy = bytes.NewReader(outside)
	}
	r, err := v.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAnyHistory: whatever is in them, whole histories verify, survive an export
// and a look at the copy, and pages of any size come to the same. One thing
// meddled with, anywhere, and they do not; and what was computed anew is found
// by the copy.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyFleet(t)
		r := m.verify(t, nil)
		if !r.Whole() || r.Rows != int64(len(m.rows)) || r.Looked != int64(len(m.heads)) {
			t.Fatalf("an untouched fleet: %+v", r)
		}
		var out bytes.Buffer
		if _, err := (Export{Source: m, Scope: All(), Format: JSONL, Now: exportedAt}).Run(context.Background(), &out); err != nil {
			t.Fatal(err)
		}
		trailer, err := CheckCopy(bytes.NewReader(out.Bytes()), func(b Break) { t.Fatalf("the copy: %v", b) })
		if err != nil || trailer.Head != r.Head {
			t.Fatalf("the copy: %v, %+v, want %+v", err, trailer, r.Head)
		}
		if r := m.verify(t, out.Bytes()); !r.Whole() {
			t.Fatalf("against its own copy: %+v", r)
		}
		if len(m.rows) == 0 {
			return
		}
		at := rapid.IntRange(0, len(m.rows)-1).Draw(t, "at")
		kept := slices.Clone(m.rows)
		switch what := rapid.SampledFrom([]string{"changed", "removed", "doubled", "renumbered", "moved", "rehashed"}).Draw(t, "meddling"); what {
		case "changed":
			m.rows[at].VendorSaid += "x"
		case "removed":
			m.rows = slices.Delete(m.rows, at, at+1)
		case "doubled":
			m.rows = slices.Insert(m.rows, at, m.rows[at])
			m.size.rows = len(m.rows) + 1 // PostgreSQL ends a page with all rows of a number; this does not
		case "renumbered":
			m.rows[at].Seq += 100
			m.sort()
		case "moved":
			m.rows[at].WalletID += 2
			m.sort()
		case "rehashed": // by somebody who also owns the head of a wallet that is there no more
			m.rehash(m.rows[at].WalletID)
			if r := m.verify(t, nil); !r.Whole() {
				t.Fatalf("a chain that was computed anew: %+v", r)
			}
			if r := m.verify(t, out.Bytes()); r.Differing != 1 {
				t.Fatalf("against the copy: %+v", r)
			}
			return
		}
		if r := m.verify(t, nil); r.Whole() {
			t.Fatalf("not found; the rows were %+v and are %+v", kept, m.rows)
		}
		if r := m.verify(t, out.Bytes()); r.Whole() {
			t.Fatal("not found against the copy")
		}
	})
}

func (m *memory) sort() {
	slices.SortStableFunc(m.rows, func(a, b store.StoredRow) int {
		if before(Row{StoredRow: a}, b) {
			return -1
		}
		if before(Row{StoredRow: b}, a) {
			return 1
		}
		return 0
	})
}

// rehash changes all rows of a wallet and computes its chain and its head anew.
func (m *memory) rehash(walletID int64) {
	var head store.Head
	for i := range m.rows {
		if r := &m.rows[i]; r.WalletID == walletID {
			row := r.HistoryRow
			row.Actor += "x"
			e := store.Follow(head, row)
			head = e.Head(head)
			*r = store.StoredRow{HistoryRow: e.Row, Hash: head.Hash}
		}
	}
	i := slices.IndexFunc(m.heads, func(h store.ChainHead) bool { return h.WalletID == walletID })
	m.heads[i].Hash = head.Hash
}
