package app

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestTheMiddleKnowsNoVendor: a vendor is added beside the others, and nothing
// in the middle has heard of it. The second one is the proof; the first is
// named in tests, as the vendor at hand.
func TestTheMiddleKnowsNoVendor(t *testing.T) {
	files := 0
	for _, folder := range []string{"scheduler", "rotation", "store"} {
		err := filepath.WalkDir(filepath.Join("..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			if bytes.Contains(bytes.ToLower(text), []byte("cobo")) {
				t.Errorf("%s names a vendor", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 60 {
		t.Errorf("only %d files were read", files)
	}
}
