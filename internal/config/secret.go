package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// hidden is what every way of printing a Secret shows.
const hidden = "<secret>"

// maxSecret is far above any token or connection string, and keeps a wrong
// path, such as that of a log file, from being sent to a vendor as a header.
const maxSecret = 64 << 10

// Secret is a value that must not reach a log, an error or a page. Only Reveal
// gives it. The value is behind a pointer, because fmt prints the fields of a
// type without asking it where it may not call its methods.
type Secret struct {
	value *string
	file  string // where it was read from; empty when it stood in the file or the environment
}

// NewSecret hides value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal gives the value, or an empty string when none is set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet says whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// Current gives the value as it is now: a secret that came from a file is read
// again, so that one that was replaced on disk takes effect without a restart.
func (s Secret) Current() (string, error) {
	if s.file == "" {
		return s.Reveal(), nil
	}
	now, err := readSecret(s.file)
	if err != nil {
		return "", fmt.Errorf("reading secret %s again: %w", s.file, err)
	}
	return now.Reveal(), nil
}

// String hides the value.
func (Secret) String() string { return hidden }

// Format hides the value from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// GoString hides the value from %#v.
func (Secret) GoString() string { return hidden }

// MarshalText hides the value from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON hides the value from encoding/json.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalYAML hides the value from YAML encoders.
func (Secret) MarshalYAML() (any, error) { return hidden, nil }

// LogValue hides the value from log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// readSecret reads a secret from a file, without the line end that editors
// leave behind. The error does not name the file.
func readSecret(path string) (Secret, error) {
	if err := regularFile(path); err != nil {
		return Secret{}, err
	}
	file, err := os.Open(path)
	if err != nil {
		return Secret{}, bare(err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	switch {
	case err != nil:
		return Secret{}, bare(err)
	case len(data) > maxSecret:
		return Secret{}, fmt.Errorf("larger than %d KiB", maxSecret>>10)
	case bytes.ContainsRune(data, 0):
		return Secret{}, errors.New("not a text file")
	}
	value := strings.TrimRight(string(data), "\r\n")
	switch {
	case value == "":
		return Secret{}, errors.New("empty")
	case strings.ContainsAny(value, "\r\n"):
		return Secret{}, errors.New("more than one line")
	}
	return Secret{value: &value, file: path}, nil
}

// regularFile refuses what would block or never end when read.
func regularFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return bare(err)
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	}
	return nil
}

// bare takes the operation and path off an error of package os; callers name
// the path themselves.
func bare(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
