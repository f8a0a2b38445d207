package scheduler

import (
	"encoding/json"
	"fmt"
	"time"
)

// Row is a row of rotation_policies as it stands in the database, judged by
// nobody yet.
type Row struct {
	ID            int32
	Name          string
	Schedule      *string // nil: only by hand
	Timezone      string
	RunWindow     *time.Duration // nil: until the next tick
	Spread        *time.Duration // nil or zero: none
	MaxShareAge   *time.Duration // nil: no promise
	Canary        int32          // 0: none
	MaxConcurrent int32
	MaxPerMinute  int32 // 0: no limit
	MaxAttempts   int32
	FailureBudget int32 // 0: a cycle is never stopped
	Enabled       bool
	PausedReason  *string
	Version       int64
}

// Spec is a policy that was found good: what runs, and what is kept in
// policy_state.running_spec, so that a later bad edit or a restart goes on
// with it. Enabled and PausedReason are not part of it, because those are
// always taken from the live row.
type Spec struct {
	Version  int64
	Schedule *Schedule // nil: only by hand
	Timezone string
	// RunWindow is how long after a tick rotations may start; zero: until the
	// next tick.
	RunWindow time.Duration
	// Spread is the time after a tick over which its rotations start; zero: at
	// once.
	Spread time.Duration
	// MaxShareAge is the promise; zero: none.
	MaxShareAge   time.Duration
	Canary        int32
	MaxConcurrent int32
	MaxPerMinute  int32
	MaxAttempts   int32
	FailureBudget int32
}

// ByHand says that the policy never starts a rotation by itself.
func (s *Spec) ByHand() bool { return s.Schedule == nil }

// WindowEnd is the end of a tick's run window. ok is false when the window is
// open until the next tick.
func (s *Spec) WindowEnd(tick time.Time) (end time.Time, ok bool) {
	if s.RunWindow == 0 {
		return time.Time{}, false
	}
	return tick.Add(s.RunWindow), true
}

// Missed says that a tick's window was over before its cycle could start.
func (s *Spec) Missed(tick, now time.Time) bool {
	end, ok := s.WindowEnd(tick)
	return ok && !now.Before(end)
}

// wireSpec is the form in policy_state.running_spec. Durations are text, for
// the people who read that column. Unknown keys are ignored, so that two
// versions of the daemon can share a database while one replaces the other.
type wireSpec struct {
	Version       int64  `json:"version"`
	Schedule      string `json:"schedule,omitempty"`
	Timezone      string `json:"timezone"`
	RunWindow     string `json:"run_window,omitempty"`
	Spread        string `json:"spread,omitempty"`
	MaxShareAge   string `json:"max_share_age,omitempty"`
	Canary        int32  `json:"canary"`
	MaxConcurrent int32  `json:"max_concurrent"`
	MaxPerMinute  int32  `json:"max_per_minute"`
	MaxAttempts   int32  `json:"max_attempts"`
	FailureBudget int32  `json:"failure_budget"`
}

// MarshalJSON writes the form of policy_state.running_spec.
func (s Spec) MarshalJSON() ([]byte, error) {
	text := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return short(d)
	}
	w := wireSpec{
		Version: s.Version, Timezone: s.Timezone,
		RunWindow: text(s.RunWindow), Spread: text(s.Spread), MaxShareAge: text(s.MaxShareAge),
		Canary: s.Canary, MaxConcurrent: s.MaxConcurrent, MaxPerMinute: s.MaxPerMinute,
		MaxAttempts: s.MaxAttempts, FailureBudget: s.FailureBudget,
	}
	if s.Schedule != nil {
		w.Schedule = s.Schedule.String()
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON wrote. The minimum interval is not
// asked again: a spec that was good when it was stored goes on running, also
// when the configuration has become stricter since.
func (s *Spec) UnmarshalJSON(data []byte) error {
	var w wireSpec
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("reading a stored policy: %w", err)
	}
	out := Spec{
		Version: w.Version, Timezone: w.Timezone,
		Canary: w.Canary, MaxConcurrent: w.MaxConcurrent, MaxPerMinute: w.MaxPerMinute,
		MaxAttempts: w.MaxAttempts, FailureBudget: w.FailureBudget,
	}
	if w.Schedule != "" {
		var err error
		if out.Schedule, err = ParseSchedule(w.Schedule, w.Timezone, Rules{}); err != nil {
			return fmt.Errorf("reading a stored policy: %w", err)
		}
	}
	for _, d := range []struct {
		name, text string
		to         *time.Duration
	}{
		{"run_window", w.RunWindow, &out.RunWindow},
		{"spread", w.Spread, &out.Spread},
		{"max_share_age", w.MaxShareAge, &out.MaxShareAge},
	} {
		if d.text == "" {
			continue
		}
		var err error
		if *d.to, err = time.ParseDuration(d.text); err != nil {
			return fmt.Errorf("reading a stored policy: %s: %w", d.name, err)
		}
	}
	*s = out
	return nil
}
