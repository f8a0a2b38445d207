package scheduler

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// FuzzJudge judges whole rows. Whatever they hold, the verdict is a sentence in
// one line or a policy that keeps what the rules say of it, and that comes back
// from policy_state as it went in.
func FuzzJudge(f *testing.F) {
	const hour = int64(time.Hour)
	f.Add("0 3 * * 0", "Europe/Berlin", int64(0), int64(0), int64(0), int32(0), int32(10), int32(0), int32(5), int64(1000))
	f.Add("0 3 * * *", "UTC", 4*hour, 2*hour, 72*hour, int32(5), int32(20), int32(60), int32(3), int64(10_000))
	f.Add("@every 720h", "Asia/Kolkata", 700*hour, 800*hour, 721*hour, int32(-1), int32(0), int32(-5), int32(0), int64(0))
	f.Add("", "Local", -hour, -hour, -hour, int32(1), int32(1), int32(1), int32(1), int64(1))
	f.Fuzz(func(t *testing.T, expr, tz string, window, spread, age int64, canary, concurrent, perMinute, attempts int32, wallets int64) {
		row := Row{Name: "p", Timezone: tz, Canary: canary, MaxConcurrent: concurrent, MaxPerMinute: perMinute, MaxAttempts: attempts, Version: 1}
		if expr != "" {
			row.Schedule = &expr
		}
		for _, d := range []struct {
			ns int64
			to **time.Duration
		}{{window, &row.RunWindow}, {spread, &row.Spread}, {age, &row.MaxShareAge}} {
			if d.ns != 0 { // PostgreSQL's intervals are in microseconds
				*d.to = ptr(time.Duration(d.ns).Truncate(time.Microsecond))
			}
		}
		rules := Rules{MinInterval: time.Hour, RotationTime: time.Second}
		v := Judge(row, wallets, rules)
		for _, warning := range v.Warnings {
			wantLine(t, warning)
		}
		if v.Err != nil {
			wantLine(t, v.Err.Error())
			return
		}
		s := v.Spec
		if s.MaxConcurrent < 1 || s.MaxAttempts < 1 || min(s.Canary, s.MaxPerMinute, s.FailureBudget) < 0 || min(s.RunWindow, s.Spread, s.MaxShareAge) < 0 {
			t.Fatalf("accepted: %+v", s)
		}
		stored, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Spec
		if err := json.Unmarshal(stored, &back); err != nil {
			t.Fatalf("%s cannot be read again: %v", stored, err)
		}
		if again, err := json.Marshal(back); err != nil || !bytes.Equal(stored, again) {
			t.Fatalf("%s comes back as %s: %v", stored, again, err)
		}
		if s.ByHand() {
			return
		}
		least, most := s.Schedule.Interval(), s.Schedule.MaxInterval()
		longest := most
		if s.RunWindow > 0 {
			longest = s.RunWindow
		}
		switch {
		case least < rules.MinInterval || most < least:
			t.Fatalf("%s ticks every %s to %s", stored, least, most)
		case s.RunWindow > least:
			t.Fatalf("%s: the next tick comes before the window is over", stored)
		case s.Spread > least, s.RunWindow > 0 && s.Spread > s.RunWindow:
			t.Fatalf("%s: the last wallets would never start", stored)
		case s.MaxShareAge > 0 && s.MaxShareAge < most+longest:
			t.Fatalf("%s: the promise breaks although everything works", stored)
		}
		if slot := s.Slot(wallets); slot < 0 || slot > s.Spread {
			t.Fatalf("%s: wallet %d has the slot %s", stored, wallets, slot)
		}
	})
}

// wantLine: policy_status shows it, and logs hold it.
func wantLine(t *testing.T, text string) {
	t.Helper()
	if text == "" || strings.ContainsAny(text, "\n\r") || len(text) > 4*maxExpression+1024 {
		t.Fatalf("not a sentence in one line: %q", text)
	}
}

// FuzzStoredSpec reads anything as policy_state.running_spec, which another
// version of the daemon may have written. What is accepted is written the same
// again, and what is refused changes nothing.
func FuzzStoredSpec(f *testing.F) {
	f.Add([]byte(`{"version":7,"schedule":"0 3 * * *","timezone":"Europe/Berlin","run_window":"1h30m","max_share_age":"72h","canary":0,"max_concurrent":10,"max_per_minute":0,"max_attempts":5,"failure_budget":10}`))
	f.Add([]byte(`{"schedule":"@every 1s","timezone":"UTC","something_newer":1}`))
	f.Add([]byte(`{"schedule":"TZ=","timezone":"UTC"}`))
	f.Add([]byte(`{"timezone":"UTC","spread":"-9223372036854775808ns"}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		s := Spec{Version: -3}
		if err := json.Unmarshal(stored, &s); err != nil {
			if s != (Spec{Version: -3}) {
				t.Fatalf("%s is refused and changes the policy to %+v", stored, s)
			}
			return
		}
		first, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Spec
		if err := json.Unmarshal(first, &back); err != nil {
			t.Fatalf("%s cannot be read again: %v", first, err)
		}
		if second, err := json.Marshal(back); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s comes back as %s: %v", first, second, err)
		}
	})
}
