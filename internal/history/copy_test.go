package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// wholeCopy checks a copy by itself.
func wholeCopy(t *testing.T, data []byte) *Trailer {
	t.Helper()
	trailer, err := CheckCopy(bytes.NewReader(data), func(b Break) { t.Errorf("the copy: %v", b) })
	if err != nil {
		t.Fatal(err)
	}
	return trailer
}

// TestExportAndVerify: what is written is read back row for row, pins what a
// verification of the database comes to, and goes on being true while
// histories grow and wallets are deleted.
func TestExportAndVerify(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, 2, 3, 4)
	f.grow(1, 4)
	f.grow(2, 1)
	f.grow(4, 2)
	data := f.export()
	for _, s := range sizes {
		s.Source = f
		var again bytes.Buffer
		if _, err := (Export{Source: s, Scope: All(), Format: JSONL, Schema: 7, Now: exportedAt}).Run(t.Context(), &again); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Bytes(), data) {
			t.Errorf("pages of %d and %d make another copy", s.heads, s.rows)
		}
	}
	trailer := wholeCopy(t, data)
	report, _ := f.verify(f, nil)
	if trailer.Head != report.Head || trailer.Wallets != 3 || trailer.Rows != 7 || trailer.Last != (Position{4, 2}) || trailer.Schema != 7 || trailer.Broken != 0 ||
		trailer.ExportedAt.String() != "2026-03-02T00:00:00.000000Z" {
		t.Errorf("the trailer says %+v, the verification %+v", trailer, report)
	}
	if strings.Count(string(data), "\n") != 8 || !strings.Contains(string(data), `"vendor_said":"it is <done>, \"zoë\"\n"`) {
		t.Errorf("the copy:\n%s", data)
	}
	// Row for row.
	file := NewCopyReader(bytes.NewReader(data))
	for id, head := range map[int64]int{1: 4, 2: 1, 4: 2} {
		if n := ask[int](f, `SELECT count(*) FROM share_set_history WHERE wallet_id = $1`, id); n != head {
			t.Fatalf("%d rows of wallet %d", n, id)
		}
	}
	page, err := f.HistoryPage(t.Context(), store.WholeHistory())
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		r, err := file.Next()
		if err == io.EOF {
			if i != len(page.Rows) {
				t.Errorf("%d rows", i)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprintf("%+v", r.StoredRow), fmt.Sprintf("%+v", page.Rows[i]); got != want {
			t.Errorf("row %d is\n%s\nwant\n%s", i, got, want)
		}
	}
	// The database goes on.
	f.grow(1, 3)
	f.grow(3, 2)
	f.exec(`DELETE FROM wallets WHERE id = 4`)
	for _, s := range sizes {
		s.Source = f
		if r, breaks := f.verify(s, data); len(breaks) > 0 || !r.Whole() {
			t.Errorf("pages of %d and %d: %v", s.heads, s.rows, breaks)
		}
	}
}

// recompute writes a wallet's chain anew after its rows were changed by change,
// and sets the head: what somebody who owns the database can do.
func (f *fleet) recompute(walletID int64, change func(rows []store.HistoryRow) []store.HistoryRow) {
	f.t.Helper()
	page, err := f.HistoryPage(f.t.Context(), store.HistorySpan{Wallet: walletID, Seq: store.BeforeFirst, To: walletID, Heads: 9, Rows: 1000})
	if err != nil {
		f.t.Fatal(err)
	}
	var rows []store.HistoryRow
	for _, r := range page.Rows {
		rows = append(rows, r.HistoryRow)
	}
	f.exec(`DELETE FROM share_set_history WHERE wallet_id = $1`, walletID)
	f.heads[walletID] = store.Head{}
	for _, r := range change(rows) {
		f.append(f.heads[walletID], r)
	}
}

// TestTheCopyFindsWhatTheDatabaseCannotKnow: chains that were computed anew, or
// cut together with their heads, verify by themselves, and not against a copy.
func TestTheCopyFindsWhatTheDatabaseCannotKnow(t *testing.T) {
	f := newFleet(t)
	f.enrol(10, 20, 30)
	f.grow(10, 2)
	f.grow(20, 4)
	f.grow(30, 1)
	data := f.export()
	restore := f.meddle()
	heads := map[int64]store.Head{10: f.heads[10], 20: f.heads[20], 30: f.heads[30]}
	for name, c := range map[string]struct {
		do    func()
		words string
	}{
		"a row changed": {func() {
			f.recompute(20, func(rows []store.HistoryRow) []store.HistoryRow { rows[1].Actor = "mallory"; return rows })
		}, "wallet 20, row 2: it is not the row that the copy has\nwallet 20, row 3: it is not the row that the copy has\nwallet 20, row 4: it is not the row that the copy has"},
		"the first row changed": {func() {
			f.recompute(20, func(rows []store.HistoryRow) []store.HistoryRow { rows[0].ShareSet = "mine"; return rows })
		}, "row 1: it is not"},
		"the last row changed": {func() {
			f.recompute(20, func(rows []store.HistoryRow) []store.HistoryRow { rows[3].VendorSaid = ""; return rows })
		}, "wallet 20, row 4: it is not the row that the copy has"},
		"a row removed": {func() {
			f.recompute(20, func(rows []store.HistoryRow) []store.HistoryRow { return slices.Delete(rows, 1, 2) })
		}, "wallet 20: row 4 is in the copy and not in the database"},
		"a row added": {func() {
			f.recompute(20, func(rows []store.HistoryRow) []store.HistoryRow { return slices.Insert(rows, 1, rows[1]) })
		}, "wallet 20, row 3: it is not"},
		"two rows swapped": {func() {
			f.recompute(20, func(rows []store.HistoryRow) []store.HistoryRow { rows[1], rows[2] = rows[2], rows[1]; return rows })
		}, "row 2: it is not"},
		"cut at the end, with the head": {func() {
			f.recompute(20, func(rows []store.HistoryRow) []store.HistoryRow { return rows[:2] })
		}, "wallet 20: rows 3 to 4 are in the copy and not in the database"},
		"cut and grown again": {func() {
			f.recompute(20, func(rows []store.HistoryRow) []store.HistoryRow { return rows[:3] })
			f.grow(20, 3)
		}, "wallet 20, row 4: it is not the row that the copy has"},
		"begun anew": {func() {
			f.recompute(20, func([]store.HistoryRow) []store.HistoryRow { return nil })
			f.exec(`UPDATE wallet_state SET seq = 0, hash = '', generation = 0, active_share_set = NULL, public_key = NULL WHERE wallet_id = 20`)
		}, "wallet 20: rows 1 to 4 are in the copy and not in the database"},
		"without a trace": {func() {
			f.exec(`SET session_replication_role = replica; DELETE FROM share_set_history WHERE wallet_id = 20; DELETE FROM wallet_state WHERE wallet_id = 20;
				DELETE FROM wallets WHERE id = 20; SET session_replication_role = DEFAULT`)
		}, "wallet 20: rows 1 to 4 are in the copy and not in the database"},
	} {
		t.Run(name, func(t *testing.T) {
			c.do()
			for _, s := range sizes {
				s.Source = f
				if _, breaks := f.verify(s, nil); len(breaks) > 0 {
					t.Fatalf("without the copy: %v", breaks)
				}
				r, breaks := f.verify(s, data)
				wantOnly(t, name, 20, breaks)
				if r.Differing != 1 || r.Broken != 0 || r.Whole() {
					t.Errorf("the report: %+v", r)
				}
				if text := fmt.Sprintln(breaks); !strings.Contains(strings.ReplaceAll(text, " wallet", "\nwallet"), c.words) {
					t.Errorf("got %s, want %s", text, c.words)
				}
			}
		})
		restore()
		for id, head := range heads {
			f.heads[id] = head
		}
	}
}

// TestExportOfBrokenHistory: it is written as it stands, and comparing with it
// later tells what has changed since.
func TestExportOfBrokenHistory(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, 2)
	f.grow(1, 3)
	f.grow(2, 2)
	f.meddle()
	f.exec(`UPDATE share_set_history SET tick = 'infinity', actor = 'x' WHERE wallet_id = 1 AND seq = 2`)
	var out bytes.Buffer
	said := 0
	r, err := Export{Source: f, Scope: All(), Format: JSONL, Now: exportedAt, Broken: func(Break) { said++ }}.Run(t.Context(), &out)
	if err != nil || r.Broken != 1 || said == 0 || !r.Complete {
		t.Fatalf("%+v, %d breaks, %v", r, said, err)
	}
	broken := 0
	trailer, err := CheckCopy(bytes.NewReader(out.Bytes()), func(Break) { broken++ })
	if err != nil || trailer.Broken != 1 || broken == 0 {
		t.Fatalf("%+v, %d breaks, %v", trailer, broken, err)
	}
	// Where breaks are expected, the checksum alone tells that it is what was written.
	forged := bytes.Replace(out.Bytes(), []byte(`"actor":"x"`), []byte(`"actor":"y"`), 1)
	if _, err := CheckCopy(bytes.NewReader(forged), func(Break) {}); !errors.Is(err, ErrCopy) {
		t.Errorf("a changed copy of a broken history: %v", err)
	}
	if r, breaks := f.verify(f, out.Bytes()); r.Differing != 0 || r.Broken != 1 {
		t.Errorf("against itself: %+v, %v", r, breaks)
	}
	f.exec(`UPDATE share_set_history SET tick = NULL WHERE wallet_id = 1 AND seq = 2`)
	if r, breaks := f.verify(f, out.Bytes()); r.Differing != 1 {
		t.Errorf("after a second change: %+v, %v", r, breaks)
	}
}

// TestExportScope: some wallets, or what was decided since.
func TestExportScope(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, 2, 3)
	f.grow(1, 4)
	f.grow(2, 2)
	f.grow(3, 1)
	export := func(e Export) ([]byte, *Trailer) {
		t.Helper()
		var out bytes.Buffer
		e.Source, e.Format, e.Now = f, JSONL, exportedAt
		if _, err := e.Run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		return out.Bytes(), wholeCopy(t, out.Bytes())
	}
	some, trailer := export(Export{Scope: Scope{Wallets: []int64{1, 3}, From: 1}})
	if trailer.Wallets != 2 || trailer.Rows != 5 || !slices.Equal(trailer.OnlyWallets, []int64{1, 3}) {
		t.Errorf("some wallets: %+v", trailer)
	}
	since := time.Date(2026, 3, 1, 3, 0, 1, 0, time.UTC) // the second row is later
	recent, trailer := export(Export{Scope: All(), Since: since})
	if trailer.Wallets != 2 || trailer.Rows != 4 || trailer.Since == nil || trailer.Since.String() != "2026-03-01T03:00:01.000000Z" {
		t.Errorf("since: %+v", trailer)
	}
	for _, data := range [][]byte{some, recent} {
		if _, breaks := f.verify(f, data); len(breaks) > 0 {
			t.Errorf("against a part: %v", breaks)
		}
	}
	// Only what is in the scope of the verification is compared.
	f.meddle()
	f.exec(`DELETE FROM share_set_history WHERE wallet_id = 1 AND seq = 4`)
	for _, c := range []struct {
		Scope
		differing int64
	}{{Scope{Wallets: []int64{1}, From: 1}, 1}, {Scope{Wallets: []int64{3}, From: 1}, 0}, {Scope{From: 2}, 0}, {All(), 1}} {
		r, err := Verification{Source: f, Scope: c.Scope, Copy: bytes.NewReader(some)}.Run(t.Context())
		if err != nil || r.Differing != c.differing || r.Broken != c.differing {
			t.Errorf("scope %+v: %+v, %v", c.Scope, r, err)
		}
	}
}

// TestCutOrChangedCopy: a copy that is not what was written is not relied on.
// Each cut and each changed byte is found by the copy alone.
func TestCutOrChangedCopy(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, 2)
	f.grow(1, 2)
	f.grow(2, 1)
	data := f.export()
	wholeCopy(t, data)
	found := func(what string, data []byte) {
		t.Helper()
		breaks := 0
		if _, err := CheckCopy(bytes.NewReader(data), func(Break) { breaks++ }); err == nil && breaks == 0 {
			t.Errorf("%s is taken for whole", what)
		} else if err != nil && !errors.Is(err, ErrCopy) {
			t.Errorf("%s: %v", what, err)
		}
		r, err := Verification{Source: f, Scope: All(), Copy: bytes.NewReader(data)}.Run(t.Context())
		if !errors.Is(err, ErrCopy) || r.Complete || r.Looked > 0 {
			t.Errorf("comparing with %s: %v, %+v", what, err, r)
		}
	}
	for n := range data {
		if n%13 == 0 || n > len(data)-3 {
			found(fmt.Sprintf("the first %d bytes", n), data[:n])
		}
	}
	end := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
	for i := 0; i < end; i += 7 {
		changed := bytes.Clone(data)
		changed[i] ^= 1
		found(fmt.Sprintf("byte %d changed", i), changed)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	found("a line left out", bytes.Join(slices.Delete(slices.Clone(lines), 1, 2), nil))
	found("a line twice", bytes.Join(slices.Insert(slices.Clone(lines), 1, lines[0]), nil))
	found("lines swapped", bytes.Join([][]byte{lines[2], lines[0], lines[1], lines[3]}, nil))
	found("something behind the trailer", append(bytes.Clone(data), '\n'))
	found("two copies", append(bytes.Clone(data), data...))
	found("another format", bytes.Replace(data, []byte(`"format":1`), []byte(`"format":2`), 1))
	found("a line of two", bytes.Replace(data, []byte("}\n"), []byte("} {}\n"), 1))
	found("nothing", nil)

	// Somebody who counts and sums up anew still has to compute the chain.
	forged := reseal(t, bytes.Replace(data, []byte(`"actor":"alice"`), []byte(`"actor":"malice"`), 1))
	found("a forged row under a new seal", forged)
	found("a beginning left out under a new seal", reseal(t, bytes.Join(lines[1:], nil)))
}

// reseal writes the trailer that fits changed lines.
func reseal(t *testing.T, data []byte) []byte {
	t.Helper()
	end := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
	c := NewCopyReader(bytes.NewReader(data))
	for {
		if _, err := c.Next(); err != nil {
			break // the trailer does not fit
		}
	}
	var l line
	if err := json.Unmarshal(data[end:], &l); err != nil {
		t.Fatal(err)
	}
	l.Trailer.Head, l.Trailer.Last = c.tally.end()
	c.sum.Sum(l.Trailer.SHA256[:0])
	out, err := encode(bytes.Clone(data[:end]), map[string]any{"trailer": l.Trailer})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
