package torture

import (
	"os/exec"
	"runtime"
)

// nursery starts all daemons from one thread, which ends with the harness and
// not before: the system then kills them, stopped ones included, however the
// harness has ended.
type nursery struct{ births chan birth }

type birth struct {
	command *exec.Cmd
	err     chan error
}

func newNursery() *nursery {
	n := &nursery{births: make(chan birth)}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		for b := range n.births {
			b.err <- b.command.Start()
		}
	}()
	return n
}

func (n *nursery) start(command *exec.Cmd) error {
	command.SysProcAttr = withParent()
	b := birth{command, make(chan error, 1)}
	n.births <- b
	return <-b.err
}

// close kills whoever is left.
func (n *nursery) close() { close(n.births) }
