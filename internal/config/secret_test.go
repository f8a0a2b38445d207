package config

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestSecretNeverPrints tries every way in which a value gets out by accident.
func TestSecretNeverPrints(t *testing.T) {
	const value = "hunter2-0123456789"
	secret := NewSecret(value)
	unexported := struct{ s Secret }{secret} // fmt cannot call its methods here
	nested := struct {
		Database Database
		Map      map[string]Secret
		List     []*Secret
	}{Database{URL: secret}, map[string]Secret{"a": secret}, []*Secret{&secret}}
	out := map[string]string{"String": secret.String(), "GoString": secret.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%w", "%10.3s", "%!"} {
		for name, v := range map[string]any{"value": secret, "pointer": &secret, "nested": nested, "unexported": unexported} {
			out[verb+" "+name] = fmt.Sprintf(verb, v)
		}
	}
	out["Errorf"] = fmt.Errorf("connecting to %v: %w", secret, errors.New("refused")).Error()
	out["Sprint"] = fmt.Sprint(secret, nested)
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal, "xml": xml.Marshal} {
		type wrapper struct{ S Secret } // encoding/xml wants a name
		data, err := marshal(wrapper{secret})
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(data)
		if !strings.Contains(strings.NewReplacer("&lt;", "<", "&gt;", ">", `\u003c`, "<", `\u003e`, ">").Replace(string(data)), hidden) {
			t.Errorf("%s shows %s", name, data)
		}
	}
	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).With("with", secret).Info("message", "secret", secret, "pointer", &secret, "config", nested, "unexported", unexported)
	}
	out["slog"] = logged.String()
	for how, text := range out {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("%s shows it: %s", how, text)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, secret); got != "<secret>" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if secret.Reveal() != value {
		t.Errorf("Reveal gives %q", secret.Reveal())
	}
}

func TestNoSecret(t *testing.T) {
	var none Secret
	if none.IsSet() || none.Reveal() != "" || none.String() != hidden {
		t.Errorf("IsSet %v, Reveal %q, prints %s", none.IsSet(), none.Reveal(), none)
	}
	if value, err := none.Current(); value != "" || err != nil {
		t.Errorf("Current: %q, %v", value, err)
	}
	if !NewSecret("").IsSet() {
		t.Error("an empty secret is one that was given")
	}
}

// TestCurrentFollowsTheFile: a token that is replaced on disk takes effect.
func TestCurrentFollowsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	secret, err := readSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	write("second\n")
	if now, err := secret.Current(); now != "second" || err != nil {
		t.Errorf("Current: %q, %v", now, err)
	}
	if secret.Reveal() != "first" {
		t.Errorf("Reveal: %q", secret.Reveal())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.Current(); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "reading secret "+path+" again: ") {
		t.Errorf("error %v", err)
	}
	if now, err := NewSecret("fixed").Current(); now != "fixed" || err != nil {
		t.Errorf("Current of a fixed one: %q, %v", now, err)
	}
}

func TestSecretFileTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), maxSecret+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSecret(path); err == nil || err.Error() != "larger than 64 KiB" {
		t.Errorf("error %v", err)
	}
}
