package scheduler

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSpecOnRecord: running_spec is read by people and by other versions of
// the daemon, so its form is fixed.
func TestSpecOnRecord(t *testing.T) {
	row := dailyRow()
	row.Version, row.Timezone, row.RunWindow, row.MaxShareAge = 7, "Europe/Berlin", ptr(90*time.Minute), ptr(72*time.Hour)
	v := Judge(row, 0, Rules{})
	if v.Err != nil {
		t.Fatal(v.Err)
	}
	got, err := json.Marshal(v.Spec)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"version":7,"schedule":"0 3 * * *","timezone":"Europe/Berlin","run_window":"1h30m","max_share_age":"72h",` +
		`"canary":0,"max_concurrent":10,"max_per_minute":0,"max_attempts":5,"failure_budget":10}`
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestSpecSurvivesARestart: what comes back from running_spec decides exactly
// as what went in.
func TestSpecSurvivesARestart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		interval := func(name string) *time.Duration {
			return rapid.Ptr(rapid.Map(rapid.Int64Range(0, 1e13), func(us int64) time.Duration { return time.Duration(us) * time.Microsecond }), true).Draw(rt, name)
		}
		row := Row{
			Schedule: rapid.Ptr(rapid.SampledFrom([]string{"0 3 * * 7", "@weekly", "@every 720h", "*/30 2 1 jan,jul mon"}), true).Draw(rt, "schedule"),
			Timezone: rapid.SampledFrom([]string{"UTC", "America/New_York", "Australia/Lord_Howe"}).Draw(rt, "zone"),
			// Judge refuses part of what is drawn; the rest must survive.
			RunWindow: interval("run_window"), Spread: interval("spread"), MaxShareAge: interval("max_share_age"),
			Canary: rapid.Int32Min(0).Draw(rt, "canary"), MaxConcurrent: rapid.Int32Min(1).Draw(rt, "max_concurrent"),
			MaxPerMinute: rapid.Int32Min(0).Draw(rt, "max_per_minute"), MaxAttempts: rapid.Int32Min(1).Draw(rt, "max_attempts"),
			FailureBudget: rapid.Int32Min(0).Draw(rt, "failure_budget"), Version: rapid.Int64Min(1).Draw(rt, "version"),
		}
		v := Judge(row, 0, Rules{})
		if v.Err != nil {
			return
		}
		stored, err := json.Marshal(v.Spec)
		if err != nil {
			rt.Fatal(err)
		}
		var back Spec
		if err := json.Unmarshal(stored, &back); err != nil {
			rt.Fatal(err)
		}
		before, after := v.Spec, back
		if !before.ByHand() {
			now := time.Unix(rapid.Int64Range(0, 4e9).Draw(rt, "now"), 0)
			if !before.Schedule.Next(now, now).Equal(after.Schedule.Next(now, now)) {
				rt.Fatalf("%s ticks differently when read back", stored)
			}
		}
		before.Schedule, after.Schedule = nil, nil
		if before != after || v.Spec.ByHand() != back.ByHand() {
			rt.Fatalf("\nbefore %+v\n after %+v", before, after)
		}
	})
}

// A stored policy goes on running when the configuration becomes stricter.
func TestStoredSpecIgnoresMinInterval(t *testing.T) {
	var s Spec
	if err := json.Unmarshal([]byte(`{"schedule":"@every 1s","timezone":"UTC","something_newer":1}`), &s); err != nil {
		t.Fatal(err)
	}
	if s.Schedule.Interval() != time.Second {
		t.Errorf("interval is %s", s.Schedule.Interval())
	}
}

func TestStoredSpecThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ stored, want string }{
		{`[]`, "reading a stored policy: json: cannot unmarshal array"},
		{`{"schedule":"0 3 * *","timezone":"UTC"}`, `reading a stored policy: schedule "0 3 * *": it has 4 of five fields`},
		{`{"timezone":"UTC","spread":"1 day"}`, "reading a stored policy: spread: time: unknown unit"},
	} {
		s := Spec{Version: 3}
		err := json.Unmarshal([]byte(c.stored), &s)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s…", c.stored, err, c.want)
		}
		if s != (Spec{Version: 3}) {
			t.Errorf("%s: the spec was changed to %+v", c.stored, s)
		}
	}
}
