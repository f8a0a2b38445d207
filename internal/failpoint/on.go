//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

// points of this process.
var points = fromEnvironment()

type registry struct {
	at, do string
	hit    int
	log    *os.File // nil: none

	mu     sync.Mutex
	passed int // times that at was passed
}

// fromEnvironment panics on what it cannot do: a test that is not told so would
// prove nothing.
func fromEnvironment() *registry {
	r := &registry{at: os.Getenv(At), do: os.Getenv(Do), hit: 1}
	if r.at != "" && r.do != Kill && r.do != Stop {
		panic(fmt.Sprintf("failpoint: %s is %q", Do, r.do))
	}
	if text := os.Getenv(Hit); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			panic(fmt.Sprintf("failpoint: %s is %q", Hit, text))
		}
		r.hit = n
	}
	if path := os.Getenv(Log); path != "" {
		var err error
		if r.log, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
			panic("failpoint: " + err.Error())
		}
	}
	return r
}

// pass is called where a point is.
func pass(name string) {
	if points.due(name) {
		act(points.do)
	}
}

// due notes that a point is passed and says whether something happens there.
func (r *registry) due(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log != nil {
		if _, err := r.log.WriteString(name + "\n"); err != nil {
			panic("failpoint: " + err.Error())
		}
	}
	if name != r.at {
		return false
	}
	r.passed++
	return r.passed == r.hit
}

func act(do string) {
	self := syscall.Getpid()
	if do == Kill {
		syscall.Kill(self, syscall.SIGKILL)
		select {} // other threads may live some microseconds longer; this one does no more
	}
	// The signal may reach this thread some microseconds late. It is stopped
	// here in any case, until the process is told to go on.
	goOn := make(chan os.Signal, 1)
	signal.Notify(goOn, syscall.SIGCONT)
	defer signal.Stop(goOn)
	syscall.Kill(self, syscall.SIGSTOP)
	<-goOn
}
