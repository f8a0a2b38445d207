package dynamic

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
)

// limitClass is a family of routes that share limits.
type limitClass string

const (
	sdkLimits       limitClass = "sdk"
	developerLimits limitClass = "environments"
)

// limit is at most count requests in a window that starts with its first one.
type limit struct {
	count  int
	window time.Duration
	perIP  bool // else for the environment
}

// documentedLimits are those of the vendor's pages (platform/rate-limits).
var documentedLimits = map[limitClass][]limit{
	sdkLimits: {
		{60, 10 * time.Second, true},
		{250, time.Minute, true},
		{500, 5 * time.Minute, true},
		{10000, time.Minute, false},
	},
	developerLimits: {
		{1500, time.Minute, true},
		{3000, time.Minute, false},
	},
}

type limiter struct {
	now func() time.Time

	mu      sync.Mutex
	windows map[windowKey]*window
}

type windowKey struct {
	class limitClass
	index int
	ip    string // empty for the environment
}

type window struct {
	start time.Time
	count int
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, windows: make(map[windowKey]*window)}
}

// take counts one request. When a limit is used up it counts nothing and
// returns how long to wait.
func (l *limiter) take(class limitClass, ip string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var open []*window
	for i, limit := range documentedLimits[class] {
		key := windowKey{class: class, index: i}
		if limit.perIP {
			key.ip = ip
		}
		w := l.windows[key]
		if w == nil || now.Sub(w.start) >= limit.window {
			w = &window{start: now}
			l.windows[key] = w
		}
		if w.count >= limit.count {
			wait = max(wait, limit.window-now.Sub(w.start))
		}
		open = append(open, w)
	}
	if wait > 0 {
		return wait
	}
	for _, w := range open {
		w.count++
	}
	return 0
}

// rateLimited is a refusal with Retry-After.
type rateLimited struct{ wait time.Duration }

func (r *rateLimited) write(w http.ResponseWriter) {
	seconds := int((r.wait + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	refused(http.StatusTooManyRequests, "Too many requests. Please try again later.").write(w)
}

// limited refuses the request if limits are on and used up; nil if it may pass.
func (v *Vendor) limited(class limitClass, r *http.Request) *rateLimited {
	if !v.assume.Is(assume.RateLimits, assume.Documented) {
		return nil
	}
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr // a recorder in place of a connection
	}
	if wait := v.limits.take(class, ip); wait > 0 {
		return &rateLimited{wait}
	}
	return nil
}
