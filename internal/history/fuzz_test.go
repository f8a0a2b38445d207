package history

import (
	"bytes"
	"context"
	"io"
	"testing"
)

// FuzzCopy feeds anything for a copy. What is read is read the same way again,
// and what is taken for whole can be compared with.
func FuzzCopy(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"trailer":{"format":1,"schema":7,"exported_at":"2026-03-02T00:00:00.000000Z","wallets":0,"rows":0,"digest":"0000000000000000000000000000000000000000000000000000000000000000","last":{"wallet_id":0,"seq":0},"broken":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := NewCopyReader(bytes.NewReader(data))
		for {
			r, err := c.Next()
			if err != nil {
				if err == io.EOF != (c.Trailer() != nil) {
					t.Fatalf("%v with trailer %+v", err, c.Trailer())
				}
				break
			}
			text, err := encode(nil, lineOf(r.StoredRow, r.Previous))
			if err != nil {
				t.Fatal(err)
			}
			again := NewCopyReader(bytes.NewReader(text))
			same, err := again.Next()
			if err != nil || same.Odd != r.Odd || !bytes.Equal(same.HistoryRow.Hash(same.Previous), r.HistoryRow.Hash(r.Previous)) {
				t.Fatalf("%v: %+v is written as %s", err, r, text)
			}
		}
		breaks := 0
		if _, err := CheckCopy(bytes.NewReader(data), func(Break) { breaks++ }); err != nil {
			return
		}
		if r, err := (Verification{Source: &memory{size: small{heads: 1, rows: 1}}, Scope: All(), Copy: bytes.NewReader(data)}).Run(context.Background()); err == nil && r.Whole() != (c.Trailer().Rows == 0) {
			t.Fatalf("against nothing: %+v", r)
		}
	})
}
