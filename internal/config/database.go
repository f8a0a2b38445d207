package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/goccy/go-yaml/ast"
)

// LoadDatabase reads database.url of the file at path, and looks at nothing but
// the section database: those who steer by it need not be able to read the
// secrets of vendors and co-signers. A secret that is not set was not given.
func LoadDatabase(path string) (Secret, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, fmt.Errorf("reading config: %w", err)
	}
	d := &decoder{
		file: path, dir: filepath.Dir(path), env: os.LookupEnv, lines: map[string]int{},
		failed: map[string]bool{"database.migrate_url_file": true}, // nor that of the schema's owner
	}
	var database Database
	if mapping, ok := d.parse(data).(ast.MapNode); ok {
		for pairs := mapping.MapRange(); pairs.Next(); {
			if keyText(pairs.KeyValue().Key) == "database" {
				d.value(pairs.Value(), reflect.ValueOf(&database).Elem(), "database")
			}
		}
	}
	if len(d.errs) > 0 {
		return Secret{}, Errors(d.errs)
	}
	return database.URL, nil
}
