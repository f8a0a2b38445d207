package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/rotatord/rotatord/internal/line"
)

// replica is one daemon, which is started again each time that it has ended.
type replica struct {
	name    string
	dir     string // of its configuration and logs
	config  string // path
	command func(config string) *exec.Cmd
	nursery *nursery
	line    *line.Line // to the database
	door    *door      // to vendors and co-signer

	mu        sync.Mutex
	processes []*process // the last one may be running
}

// process is one life of a replica.
type process struct {
	command *exec.Cmd
	said    *speech
	ended   chan struct{}
	err     error // how it ended; read it after ended
}

// start the daemon. It is not up yet when this returns.
func (r *replica) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	path := filepath.Join(r.dir, fmt.Sprintf("%s.%d.log", r.name, len(r.processes)+1))
	log, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making a daemon's log: %w", err)
	}
	defer log.Close()
	p := &process{command: r.command(r.config), said: newSpeech(path), ended: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = log, log
	if err := r.nursery.start(p.command); err != nil {
		return fmt.Errorf("starting %s: %w", r.name, err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.ended)
	}()
	r.processes = append(r.processes, p)
	return nil
}

// now is the process that was started last; there is one.
func (r *replica) now() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.processes[len(r.processes)-1]
}

// all processes so far.
func (r *replica) all() []*process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*process(nil), r.processes...)
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to a daemon: %w", s, err)
	}
	return nil
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process as a crash does.
func (p *process) kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.ended
	return err
}

// errBadEnd: a daemon that was asked to end did not do so in order.
var errBadEnd = errors.New("a daemon that was asked to end did not do so in order")

// quitTimeout is shutdown_grace and what else an end in order takes.
const quitTimeout = 45 * time.Second

// quit asks the process to end, and insists that it does so in order.
func (p *process) quit() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(quitTimeout):
		return errors.Join(fmt.Errorf("%w: it took more than %s", errBadEnd, quitTimeout), p.kill())
	}
	if p.err != nil {
		return fmt.Errorf("%w: %w", errBadEnd, p.err)
	}
	return nil
}

var errEnded = errors.New("a daemon ended by itself")

// until polls what the process says, as long as it runs ([errEnded]).
func (p *process) until(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := p.said.listenOn(); err != nil {
			return err
		}
		if done() {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
