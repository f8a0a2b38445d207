package torture

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSpeech(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	s := newSpeech(path)
	if err := s.listenOn(); err == nil {
		t.Error("there is no log, and no error")
	}
	write(`{"time":"2026-11-20T16:00:00Z","msg":"started","listen":"127.0.0.1:7"}
{"time":"2026-11-20T16:00:01Z","msg":"signed on","epoch":7}
{"msg":"swap in d`)
	for range 2 {
		if err := s.listenOn(); err != nil {
			t.Fatal(err)
		}
	}
	if s.address() != "127.0.0.1:7" || s.count(saidSignedOn) != 1 || s.count(saidDoubt) != 0 {
		t.Errorf("heard %+v", s)
	}
	write(`oubt"}
{"msg":"` + saidBuried + `","replicas":2}
{"msg":"` + saidBuried + `","replicas":1}
{"time":"2026-11-20T16:00:02Z","msg":"signed on","epoch":9}
panic: runtime error: index out of range [recovered]
goroutine 1 [running]:
`)
	if err := s.listenOn(); err != nil {
		t.Fatal(err)
	}
	on := s.signedOn()
	if len(on) != 2 || on[0].epoch != 7 || on[1].epoch != 9 || on[1].at.Second() != 2 {
		t.Errorf("signed on: %v", on)
	}
	if s.count(saidDoubt) != 1 || s.buried != 3 {
		t.Errorf("%d doubts, %d buried", s.count(saidDoubt), s.buried)
	}
	if want := []string{"panic: runtime error: index out of range [recovered]"}; !slices.Equal(s.cries, want) {
		t.Errorf("cries: %q", s.cries)
	}
}

// What a daemon writes may be cut off anywhere, by SIGKILL.
func FuzzSpeech(f *testing.F) {
	f.Add([]byte(`{"msg":"signed on","epoch":7}` + "\n"))
	f.Add([]byte("panic: x\n"))
	f.Add([]byte(`{"time":"no time","msg":"replicas given up for dead; their work goes on here or elsewhere","replicas":-1}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newSpeech("")
		s.hear(text)
		if len(s.cries) > 0 && len(s.counts) > 0 {
			t.Error("one line is two things")
		}
	})
}
