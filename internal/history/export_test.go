package history

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestCSV has a column for each field of a line, and the trailer as a comment.
func TestCSV(t *testing.T) {
	f := newFleet(t)
	f.enrol(1)
	f.grow(1, 2)
	var out bytes.Buffer
	if _, err := (Export{Source: f, Scope: All(), Format: CSV}).Run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(&out)
	r.Comment = '#'
	table, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(f.export(), []byte("\n"))
	fields := map[string]any{}
	if err := json.Unmarshal(first, &fields); err != nil {
		t.Fatal(err)
	}
	if len(table) != 3 || len(table[0]) != len(fields)+1 { // and odd
		t.Fatalf("%d lines of %d columns, %d fields", len(table), len(table[0]), len(fields))
	}
	for i, name := range table[0] {
		want := ""
		if v := fields[name]; v != nil {
			want = fmt.Sprint(v)
		}
		if table[1][i] != want {
			t.Errorf("%s is %q, want %q", name, table[1][i], want)
		}
	}
	if said := table[2][slices.Index(table[0], "vendor_said")]; said != "it is <done>, \"zoë\"\n" {
		t.Errorf("vendor_said is %q", said)
	}
}

// full is a disk without room.
type full struct{ room int }

func (w *full) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

func TestExportWithoutRoom(t *testing.T) {
	f := newFleet(t)
	f.enrol(1)
	f.grow(1, 3)
	for _, format := range []Format{JSONL, CSV} {
		r, err := Export{Source: f, Scope: All(), Format: format}.Run(t.Context(), &full{room: 500})
		if err == nil || !strings.Contains(err.Error(), "writing the copy: no space") || r.Complete {
			t.Errorf("%s: %+v, %v", format, r, err)
		}
	}
}
