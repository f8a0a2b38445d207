package torture

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// goroutinesAtMost and memoryAtMost bound what a daemon may use in trouble.
	// A replica works on 32 rotations here; each has a handful of goroutines
	// for its calls and their connections.
	goroutinesAtMost = 1500
	memoryAtMost     = 512 << 20 // bytes
	// calmAtMost bounds what it uses when there is nothing to do, which is what
	// a leak would add to.
	calmAtMost = 300
)

// usage of one daemon.
type usage struct{ goroutines, memory int }

// usageOf asks a daemon for its metrics.
func usageOf(ctx context.Context, client *http.Client, address string) (u usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return u, fmt.Errorf("asking for metrics: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return u, fmt.Errorf("asking for metrics: %w", err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		into := map[string]*int{"go_goroutines": &u.goroutines, "process_resident_memory_bytes": &u.memory}[name]
		if !ok || into == nil {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return u, fmt.Errorf("reading metrics: %w", err)
		}
		*into = int(number)
	}
	if err := lines.Err(); err != nil {
		return u, fmt.Errorf("reading metrics: %w", err)
	}
	if u.goroutines == 0 {
		return u, fmt.Errorf("reading metrics: status %d and no go_goroutines", response.StatusCode)
	}
	return u, nil
}

// measure asks every replica that runs, and remembers the most. One that is
// stopped or just starting does not answer.
func (r *run) measure(ctx context.Context) (answered int) {
	for _, replica := range r.replicas {
		p := replica.now()
		if !p.running() || p.said.listenOn() != nil || p.said.address() == "" {
			continue
		}
		u, err := usageOf(ctx, r.client, p.said.address())
		if err != nil {
			continue
		}
		answered++
		r.tally.atLeast(mostGoroutines, u.goroutines)
		r.tally.atLeast(mostMemory, (u.memory+1<<20-1)>>20)
	}
	return answered
}

// measureCalm asks every replica when there is nothing to do any more.
func (r *run) measureCalm(ctx context.Context) error {
	for _, replica := range r.replicas {
		p := replica.now()
		starting, cancel := context.WithTimeout(ctx, buryTimeout)
		err := p.until(starting, func() bool { return p.said.address() != "" })
		cancel()
		if err != nil {
			return fmt.Errorf("%s: waiting for its metrics: %w", replica.name, err)
		}
		u, err := usageOf(ctx, r.client, p.said.address())
		if err != nil {
			return fmt.Errorf("%s: %w", replica.name, err)
		}
		r.tally.atLeast(calmGoroutines, u.goroutines)
	}
	return nil
}

// bounded accuses daemons that used more than they may.
func (r *run) bounded() {
	for what, most := range map[string]int{mostGoroutines: goroutinesAtMost, mostMemory: memoryAtMost >> 20, calmGoroutines: calmAtMost} {
		if n := r.tally.of(what); n > most {
			r.accuse("", "%s: %d, which is more than %d", what, n, most)
		}
	}
}
