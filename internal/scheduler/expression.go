package scheduler

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxExpression is far above any sensible schedule, and keeps error texts and
// rows of policy_status readable.
const maxExpression = 256

// maxEvery bounds "@every": a longer gap is a policy that runs by hand.
const maxEvery = 10 * 365 * 24 * time.Hour

// macros are the descriptors that robfig/cron knows, without @every.
var macros = map[string]string{
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
	"@monthly":  "0 0 1 * *",
	"@weekly":   "0 0 * * 0",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@hourly":   "0 * * * *",
}

// cronField is one of the five positions of an expression.
type cronField struct {
	name     string
	min, max int
	names    []string // names[i] stands for min+i
}

var cronFields = [5]cronField{
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", max: 6, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

const (
	dayOfMonth = 2
	dayOfWeek  = 4
)

// parseEvery reads "@every <duration>". ok is false when expr is something
// else.
func parseEvery(expr string) (d time.Duration, ok bool, err error) {
	rest, ok := strings.CutPrefix(expr, "@every")
	if !ok {
		return 0, false, nil
	}
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return 0, true, errors.New("@every has no duration: write for example @every 720h")
	}
	d, err = time.ParseDuration(rest)
	switch {
	case err != nil:
		if days, found := strings.CutSuffix(rest, "d"); found {
			if n, err := strconv.ParseUint(days, 10, 16); err == nil {
				return 0, true, fmt.Errorf("@every takes no days: write @every %dh", n*24)
			}
		}
		return 0, true, fmt.Errorf("%q is not a duration: write hours, minutes and seconds, for example @every 720h", rest)
	case d <= 0:
		return 0, true, errors.New("@every needs a duration above zero: write for example @every 720h")
	case d%time.Second != 0:
		return 0, true, errors.New("@every counts whole seconds: leave the fraction out")
	case d > maxEvery:
		return 0, true, fmt.Errorf("@every is longer than ten years (%s): leave the schedule null for a policy that runs by hand", short(maxEvery))
	}
	return d, true, nil
}

// normalise judges a cron expression and rewrites it into the subset that
// robfig/cron reads as crontab means it: five fields, each "*" or a list of
// numbers. The guards are here because robfig accepts or crashes on what an
// operator never meant; each says what to write instead.
func normalise(expr string) (cron string, warnings []string, err error) {
	switch {
	case expr == "":
		return "", nil, errors.New("it is empty: leave the schedule null for a policy that runs by hand")
	case len(expr) > maxExpression:
		return "", nil, fmt.Errorf("it is longer than %d characters: five fields are enough", maxExpression)
	case strings.HasPrefix(expr, "TZ=") || strings.HasPrefix(expr, "CRON_TZ="):
		return "", nil, errors.New("the zone does not belong here: put it into the column timezone and leave only the five fields")
	case strings.HasPrefix(expr, "@"):
		if cron, ok := macros[expr]; ok {
			return cron, nil, nil
		}
		if lower := strings.ToLower(expr); lower != expr && macros[lower] != "" {
			return "", nil, fmt.Errorf("write %s in lower case", lower)
		}
		return "", nil, errors.New("it is not known: write @yearly, @monthly, @weekly, @daily, @hourly, @every <duration> or five fields")
	}
	fields := strings.Fields(expr)
	switch n := len(fields); {
	case n < 5:
		return "", nil, fmt.Errorf("it has %d of five fields: write minute, hour, day of month, month and day of week", n)
	case n > 5:
		return "", nil, fmt.Errorf("it has %d fields: seconds and years are not supported, write minute, hour, day of month, month and day of week", n)
	}
	var stars [5]bool
	var sets [5]uint64
	var errs []string
	for i, f := range cronFields {
		var ferr error
		if sets[i], stars[i], ferr = f.parse(fields[i]); ferr != nil {
			errs = append(errs, ferr.Error())
			continue
		}
		fields[i] = "*"
		if !stars[i] {
			fields[i] = list(sets[i])
		}
	}
	if len(errs) > 0 {
		return "", nil, errors.New(strings.Join(errs, "; "))
	}
	if !stars[dayOfMonth] && !stars[dayOfWeek] {
		warnings = append(warnings, "day of month and day of week are both given: it fires on every day that fits either of them")
	}
	return strings.Join(fields, " "), warnings, nil
}

// parse reads one field into the set of its values. star says that the field
// restricts nothing, which decides how the two day fields combine.
func (f cronField) parse(text string) (set uint64, star bool, err error) {
	for item := range strings.SplitSeq(text, ",") {
		lo, hi, step, open, err := f.item(item)
		if err != nil {
			return 0, false, fmt.Errorf("%s %q: %w", f.name, item, err)
		}
		star = star || open && step == 1
		for v := lo; v <= hi; v += step {
			set |= 1 << f.fold(v)
		}
	}
	return set, star, nil
}

// fold makes Sunday, which crontab also calls 7, the 0 that robfig knows.
func (f cronField) fold(v int) int {
	if v > f.max {
		return f.min
	}
	return v
}

func (f cronField) item(item string) (lo, hi, step int, star bool, err error) {
	if item == "" {
		return 0, 0, 0, false, errors.New("a comma has nothing beside it: take it out")
	}
	span, stepText, stepped := strings.Cut(item, "/")
	from, to, ranged := strings.Cut(span, "-")
	star = span == "*" || span == "?"
	switch {
	case star:
		lo, hi = f.min, f.max
	default:
		if lo, err = f.value(from); err != nil {
			return 0, 0, 0, false, err
		}
		hi = lo
		if ranged {
			if hi, err = f.value(to); err != nil {
				return 0, 0, 0, false, err
			}
		}
		lo, hi = f.sundays(lo, hi)
		if stepped && !ranged {
			lo, hi = f.fold(lo), f.max
		}
		if lo > hi {
			return 0, 0, 0, false, fmt.Errorf("the range runs backwards: write %d-%d,%d-%d", lo, f.max, f.min, hi)
		}
	}
	if !stepped {
		return lo, hi, 1, star, nil
	}
	step, ok := number(stepText)
	switch {
	case !ok || step == 0:
		return 0, 0, 0, false, errors.New("what follows the slash must be a number above zero")
	case step > 1 && step > hi-lo:
		return 0, 0, 0, false, fmt.Errorf("the step %s reaches past %d, so it would fire at %d only: write %d, or a smaller step", stepText, hi, lo, lo)
	}
	return lo, hi, step, star, nil
}

// sundays lets a range begin or end with Sunday under either of its numbers:
// "sat-sun" and "7-2" mean what they say.
func (f cronField) sundays(lo, hi int) (int, int) {
	if f.max != cronFields[dayOfWeek].max {
		return lo, hi
	}
	if lo == 7 && hi < 7 {
		lo = 0
	}
	if hi == 0 && lo > 0 {
		hi = 7
	}
	return lo, hi
}

func (f cronField) value(text string) (int, error) {
	lower := strings.ToLower(text)
	if i := slices.Index(f.names, lower); i >= 0 {
		return f.min + i, nil
	}
	last := f.max
	if f.max == cronFields[dayOfWeek].max {
		last = 7
	}
	if n, ok := number(text); ok {
		if n < f.min || n > last {
			return 0, fmt.Errorf("out of range: write %d to %d", f.min, last)
		}
		return n, nil
	}
	if len(lower) > 3 && slices.Contains(f.names, lower[:3]) {
		return 0, fmt.Errorf("names have three letters: write %s", lower[:3])
	}
	if len(f.names) > 0 {
		return 0, fmt.Errorf("not understood: write %d to %d or %s to %s", f.min, last, f.names[0], f.names[len(f.names)-1])
	}
	return 0, fmt.Errorf("not understood: write %d to %d", f.min, last)
}

// number reads plain digits; strconv alone would also take a sign.
func number(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil
}

func list(set uint64) string {
	var out []string
	for ; set != 0; set &= set - 1 {
		out = append(out, strconv.Itoa(bits.TrailingZeros64(set)))
	}
	return strings.Join(out, ",")
}

// short prints a duration the way people write it: 24h, not 24h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
