package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzAccepted: what Parse takes keeps the rules that the rest of the daemon
// relies on without asking, and an error never shows what a variable holds.
func FuzzAccepted(f *testing.F) {
	files, err := filepath.Glob("testdata/valid_*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("rotation:\n  call_timeout: 25s\nscheduler:\n  workers: 10000\n"))
	f.Add([]byte("database:\n  url: ${PASSWORD}\n  max_connections: ${PASSWORD}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("testdata/fuzz.yaml", data, environment)
		if err != nil {
			wantNoSecret(t, data, err.Error())
			return
		}
		s, r := c.Scheduler, c.Rotation
		switch {
		case c.Database.MaxConnections < 5 || s.Workers < 1 || s.LookAhead < 1:
			t.Fatal("a pool, a reader or nobody to work", c.Database.MaxConnections, s.Workers, s.LookAhead)
		case r.CallTimeout+s.HeartbeatInterval > s.HeartbeatTimeout:
			t.Fatalf("a call of %s outlives a lease of %s", r.CallTimeout, s.HeartbeatTimeout)
		case 3*s.HeartbeatInterval > s.HeartbeatTimeout || s.HeartbeatInterval <= 0:
			t.Fatalf("heartbeats every %s within %s", s.HeartbeatInterval, s.HeartbeatTimeout)
		case r.QuietTime < r.CallTimeout:
			t.Fatalf("a lost call of %s outlives the quiet time, %s", r.CallTimeout, r.QuietTime)
		case r.Backoff.Initial <= 0 || r.Backoff.Max < r.Backoff.Initial:
			t.Fatalf("no backoff: %+v", r.Backoff)
		case s.PollInterval <= 0 || s.PollInterval > 30*time.Second || s.MinInterval < time.Second || s.ShutdownGrace < 0:
			t.Fatalf("times of the scheduler: %+v", s)
		case r.CeremonyTimeout <= 0 || r.CommitAttentionAfter <= 0 || r.ApprovalTimeout <= 0:
			t.Fatalf("times of a rotation: %+v", r)
		}
		if c.HTTP.WebConfigFile == "" && c.HTTP.Listen[0] == ':' {
			t.Fatalf("anybody can reach %q", c.HTTP.Listen)
		}
		names := map[string]bool{}
		for _, p := range c.Providers {
			if names[p.Name] || !plainName.MatchString(p.Name) || (p.Dynamic == nil) == (p.Cobo == nil) {
				t.Fatalf("provider %+v", p)
			}
			names[p.Name] = true
		}
	})
}

// wantNoSecret: an error may quote what stands in the file, never what a
// variable made of it.
func wantNoSecret(t *testing.T, file []byte, text string) {
	t.Helper()
	secret, _ := environment("PASSWORD")
	if strings.Contains(text, secret) && !strings.Contains(string(file), secret) {
		t.Fatalf("the error shows a secret: %s", text)
	}
}

// FuzzDuration: a time that is accepted is printed in a form that is read the
// same again, and one written in days is not cut short.
func FuzzDuration(f *testing.F) {
	for _, text := range []string{"90s", "30d", "1d12h", "-5h", "106751d23h48m", "999999999999d", "1d-1h", "d", ".5h"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := parseDuration(text)
		if !ok {
			return
		}
		if again, ok := parseDuration(short(d)); !ok || again != d {
			t.Fatalf("%q is %s, which reads as %s", text, short(d), again)
		}
	})
}
