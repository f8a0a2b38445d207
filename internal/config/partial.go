package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// LoadMinInterval reads scheduler.min_interval of the file at path, or its
// default, and looks at nothing but the section scheduler: who plans a policy
// need not be able to read the secrets of vendors.
func LoadMinInterval(path string) (time.Duration, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("reading config: %w", err)
	}
	d := &decoder{file: path, dir: filepath.Dir(path), env: os.LookupEnv, lines: map[string]int{}, failed: map[string]bool{}}
	s := Default().Scheduler
	if mapping, ok := d.parse(data).(ast.MapNode); ok {
		for pairs := mapping.MapRange(); pairs.Next(); {
			if keyText(pairs.KeyValue().Key) == "scheduler" {
				d.value(pairs.Value(), reflect.ValueOf(&s).Elem(), "scheduler")
			}
		}
	}
	if len(d.errs) > 0 {
		return 0, Errors(d.errs)
	}
	return s.MinInterval, nil
}

// ParseDuration reads a time as the file writes it, such as 90s or 30d. What it
// refuses it says in a sentence.
func ParseDuration(text string) (time.Duration, error) {
	d, ok := parseDuration(text)
	if !ok {
		return 0, errors.New("write a time such as 90s, 15m, 24h or 30d")
	}
	return d, nil
}
