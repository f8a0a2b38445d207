package history

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedEncoding: the example in docs/history.md verifies, and its table
// has the fields of a line in their order.
func TestDocumentedEncoding(t *testing.T) {
	doc, err := os.ReadFile("../../docs/history.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := bytes.Cut(doc, []byte("```json\n"))
	example, _, closed := bytes.Cut(after, []byte("```\n"))
	if !found || !closed {
		t.Fatal("there is no example")
	}
	if trailer := wholeCopy(t, example); trailer.Rows != 2 || trailer.Format != copyFormat {
		t.Errorf("the example: %+v", trailer)
	}
	_, after, _ = bytes.Cut(doc, []byte("## The hash of a row"))
	table, _, _ := bytes.Cut(after, []byte("\n## "))
	var documented, fields []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllSubmatch(table, -1) {
		documented = append(documented, string(m[1]))
	}
	for i := range reflect.TypeFor[line]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[line]().Field(i).Tag.Get("json"), ",")
		if name != "hash" && name != "odd" && name != "trailer" {
			fields = append(fields, name)
		}
	}
	if !slices.Equal(documented, fields) {
		t.Errorf("docs/history.md has %v, a line %v", documented, fields)
	}
	_, after, _ = bytes.Cut(doc, []byte("| in the trailer | |"))
	table, _, _ = bytes.Cut(after, []byte("\nThe digest"))
	for i := range reflect.TypeFor[Trailer]().NumField() {
		f := reflect.TypeFor[Trailer]().Field(i)
		names := []string{strings.Split(f.Tag.Get("json"), ",")[0]}
		if f.Anonymous {
			names = []string{"wallets", "rows", "digest"}
		}
		for _, name := range names {
			if !bytes.Contains(table, []byte("`"+name+"`")) {
				t.Errorf("docs/history.md does not explain %s of the trailer", name)
			}
		}
	}
}
