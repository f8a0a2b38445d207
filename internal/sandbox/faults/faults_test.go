package faults

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var generic = []Kind{Status, Latency, LostReply, LostRequest, LateEffect, LateReply, DropStream}

// bench is one operation behind a real server; done has one entry per effect.
type bench struct {
	set    *Set
	server *httptest.Server
	done   chan Hit
}

func newBench(t *testing.T, own ...Kind) *bench {
	b := &bench{set: NewSet(1), done: make(chan Hit, 100)}
	b.set.Register(Operation{Name: "op", Generic: generic, Own: own})
	b.server = httptest.NewServer(b.set.Wrap("op",
		func(r *http.Request) string { return r.URL.Query().Get("wallet") },
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != "body" {
				t.Errorf("the operation read %q, %v", body, err)
			}
			b.done <- From(r.Context())
			io.WriteString(w, "0123456789")
		})))
	t.Cleanup(b.server.Close)
	t.Cleanup(b.set.Close)
	return b
}

func (b *bench) replace(t *testing.T, list ...Fault) {
	t.Helper()
	if err := b.set.Replace(list); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) call(t *testing.T, wallet string) (*http.Response, string, error) {
	t.Helper()
	resp, err := b.server.Client().Post(b.server.URL+"?wallet="+wallet, "text/plain", strings.NewReader("body"))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

func (b *bench) effects() int { return len(b.done) }

func TestKinds(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		b := newBench(t)
		if _, text, err := b.call(t, "w"); err != nil || text != "0123456789" || b.effects() != 1 {
			t.Errorf("%q, %v, %d effects", text, err, b.effects())
		}
	})
	t.Run("status", func(t *testing.T) {
		b := newBench(t)
		b.replace(t, Fault{Operation: "op", Kind: Status, Status: 503})
		resp, text, err := b.call(t, "w")
		if err != nil || resp.StatusCode != 503 || !json.Valid([]byte(text)) || b.effects() != 0 {
			t.Errorf("%v, %q, %v, %d effects", resp, text, err, b.effects())
		}
	})
	t.Run("429 has Retry-After and is not JSON", func(t *testing.T) {
		b := newBench(t)
		b.replace(t, Fault{Operation: "op", Kind: Status, Status: 429, RetryAfter: 3})
		resp, text, err := b.call(t, "w")
		if err != nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "3" || json.Valid([]byte(text)) {
			t.Errorf("%v, %q, %v", resp, text, err)
		}
	})
	t.Run("lost request", func(t *testing.T) {
		b := newBench(t)
		b.replace(t, Fault{Operation: "op", Kind: LostRequest})
		if _, _, err := b.call(t, "w"); !errors.Is(err, io.EOF) || b.effects() != 0 {
			t.Errorf("%v, %d effects", err, b.effects())
		}
	})
	t.Run("lost reply", func(t *testing.T) {
		b := newBench(t)
		b.replace(t, Fault{Operation: "op", Kind: LostReply})
		if _, _, err := b.call(t, "w"); !errors.Is(err, io.EOF) || b.effects() != 1 {
			t.Errorf("%v, %d effects", err, b.effects())
		}
	})
	t.Run("late effect", func(t *testing.T) {
		b := newBench(t)
		b.replace(t, Fault{Operation: "op", Kind: LateEffect, Delay: 50 * time.Millisecond})
		if _, _, err := b.call(t, "w"); !errors.Is(err, io.EOF) || b.effects() != 0 {
			t.Errorf("%v, %d effects already", err, b.effects())
		}
		<-b.done
	})
	t.Run("late effect is dropped at the end", func(t *testing.T) {
		b := newBench(t)
		b.replace(t, Fault{Operation: "op", Kind: LateEffect, Delay: time.Hour})
		if _, _, err := b.call(t, "w"); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		b.set.Close()
		if b.effects() != 0 {
			t.Error("it had its effect")
		}
	})
	t.Run("late reply", func(t *testing.T) {
		b := newBench(t)
		b.replace(t, Fault{Operation: "op", Kind: LateReply, Delay: 30 * time.Millisecond})
		start, done := time.Now(), make(chan time.Time)
		go func() { <-b.done; done <- time.Now() }()
		resp, text, err := b.call(t, "w")
		if err != nil || resp.StatusCode != 200 || text != "0123456789" || time.Since(start) < 30*time.Millisecond {
			t.Errorf("%v, %q, %v after %v", resp, text, err, time.Since(start))
		}
		if effect := <-done; time.Since(effect) < 30*time.Millisecond {
			t.Errorf("the reply came %v after the effect", time.Since(effect))
		}
	})
	t.Run("drop stream", func(t *testing.T) {
		b := newBench(t)
		b.replace(t, Fault{Operation: "op", Kind: DropStream})
		_, text, err := b.call(t, "w")
		if !errors.Is(err, io.ErrUnexpectedEOF) || text != "01234" || b.effects() != 1 {
			t.Errorf("%q, %v, %d effects", text, err, b.effects())
		}
	})
	t.Run("latency", func(t *testing.T) {
		b := newBench(t)
		b.replace(t, Fault{Operation: "op", Kind: Latency, Delay: 30 * time.Millisecond})
		start := time.Now()
		if _, _, err := b.call(t, "w"); err != nil || time.Since(start) < 30*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
	t.Run("own kinds reach the operation", func(t *testing.T) {
		b := newBench(t, Reject)
		b.replace(t, Fault{Operation: "op", Kind: Reject})
		if _, _, err := b.call(t, "w"); err != nil {
			t.Fatal(err)
		}
		if hit := <-b.done; hit.Kind != Reject {
			t.Errorf("the operation saw %+v", hit)
		}
	})
}

func TestWhichCallsAreStruck(t *testing.T) {
	count := func(s *Set, wallet string, calls int) (struck int) {
		for range calls {
			if s.Decide("op", wallet).Kind != "" {
				struck++
			}
		}
		return struck
	}
	b := newBench(t)

	b.replace(t, Fault{Operation: "op", Kind: Status, Times: 2})
	if got := count(b.set, "w", 10); got != 2 {
		t.Errorf("times 2 struck %d", got)
	}
	b.replace(t, Fault{Operation: "op", Kind: Status, Wallet: "a"})
	if a, other := count(b.set, "a", 10), count(b.set, "b", 10); a != 10 || other != 0 {
		t.Errorf("wallet a: %d, another: %d", a, other)
	}
	b.replace(t, Fault{Operation: "op", Kind: Status, Rate: 0.1})
	if got := count(b.set, "w", 10000); got < 800 || got > 1200 {
		t.Errorf("rate 0.1 struck %d of 10000", got)
	}
	b.replace(t,
		Fault{Operation: "op", Kind: Latency, Delay: time.Second},
		Fault{Operation: "op", Kind: LostReply, Times: 1},
		Fault{Operation: "op", Kind: Status},
		Fault{Operation: "op", Kind: Latency, Delay: time.Second})
	first, second := b.set.Decide("op", "w"), b.set.Decide("op", "w")
	if first.Kind != LostReply || second.Kind != Status || first.Delay != 2*time.Second {
		t.Errorf("first %+v, second %+v", first, second)
	}
	b.replace(t)
	if got := count(b.set, "w", 10); got != 0 {
		t.Errorf("without faults %d were struck", got)
	}
}

func TestSameSeedSameLuck(t *testing.T) {
	draw := func(others int) string {
		s := NewSet(7)
		defer s.Close()
		s.Register(Operation{Name: "a", Generic: generic})
		s.Register(Operation{Name: "b", Generic: generic})
		if err := s.Replace([]Fault{{Operation: "a", Kind: Status, Rate: 0.5}, {Operation: "b", Kind: Status, Rate: 0.5}}); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for range 64 {
			for range others {
				s.Decide("b", "")
			}
			out.WriteString(string(s.Decide("a", "").Kind) + ",")
		}
		return out.String()
	}
	if draw(0) != draw(3) {
		t.Error("another operation's calls shifted the luck")
	}
}

func TestReplaceRefusesWhatCannotBe(t *testing.T) {
	b := newBench(t)
	keep := Fault{Operation: "op", Kind: Status, Status: 418}
	b.replace(t, keep)
	for name, f := range map[string]Fault{
		"unknown operation": {Operation: "oops", Kind: Status},
		"unknown kind":      {Operation: "op", Kind: "explode"},
		"kind elsewhere":    {Operation: "op", Kind: Reject},
		"rate above 1":      {Operation: "op", Kind: Status, Rate: 1.5},
		"negative rate":     {Operation: "op", Kind: Status, Rate: -1},
		"success":           {Operation: "op", Kind: Status, Status: 200},
		"negative times":    {Operation: "op", Kind: Status, Times: -1},
		"curve elsewhere":   {Operation: "op", Kind: Status, Curve: "ED25519"},
		"negative delay":    {Operation: "op", Kind: Latency, Delay: -1},
	} {
		if err := b.set.Replace([]Fault{f}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if hit := b.set.Decide("op", ""); hit.Status != 418 {
		t.Errorf("a refused list changed the faults in force: %+v", hit)
	}
}

func TestFaultJSON(t *testing.T) {
	var list []Fault
	const text = `[{"operation":"op","kind":"status","rate":0.1,"status":429,"retry_after":3,"delay":"200ms","wallet":"w","times":1,"curve":"ED25519"}, {"operation":"op","kind":"latency"}]`
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	want := Fault{Operation: "op", Kind: Status, Rate: 0.1, Status: 429, RetryAfter: 3, Delay: 200 * time.Millisecond, Wallet: "w", Times: 1, Curve: "ED25519"}
	if list[0] != want {
		t.Errorf("read %+v, want %+v", list[0], want)
	}
	b := newBench(t)
	list[0].Curve = "" // for another kind
	b.replace(t, list...)
	b.set.Decide("op", "w")
	shown, err := json.Marshal(b.set)
	if err != nil {
		t.Fatal(err)
	}
	const wantShown = `{"operation":"op","kind":"latency","rate":1,"status":500,"delay":"1s","hits":1}`
	if !strings.Contains(string(shown), wantShown) {
		t.Errorf("shown %s, want in it %s", shown, wantShown)
	}
	for _, bad := range []string{`[{"rate":0}]`, `[{"delay":"soon"}]`, `[{"rate":"often"}]`, `[{"time":1}]`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &list); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func FuzzFaultJSON(f *testing.F) {
	f.Add([]byte(`[{"operation":"op","kind":"status","rate":0.1,"delay":"200ms"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var list []Fault
		if json.Unmarshal(text, &list) != nil {
			return
		}
		s := NewSet(1)
		defer s.Close()
		s.Register(Operation{Name: "op", Generic: generic})
		if s.Replace(list) == nil {
			s.Decide("op", "")
			if _, err := json.Marshal(s); err != nil {
				t.Fatal(err)
			}
		}
	})
}
