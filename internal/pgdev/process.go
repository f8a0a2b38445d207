package pgdev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	// quitTimeout is what PostgreSQL itself gives its children in an immediate
	// shutdown before it kills them.
	quitTimeout = 5 * time.Second
	pollEvery   = 5 * time.Millisecond
)

// startProcess is os.StartProcess without a handle to keep: nothing here
// leaves a goroutine waiting, which a test for leaks would find. A nil file
// is /dev/null.
func startProcess(argv []string, attr *os.ProcAttr) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	for i, f := range attr.Files {
		if f == nil {
			attr.Files[i] = null
		}
	}
	p, err := os.StartProcess(argv[0], argv, attr)
	if err != nil {
		return 0, err
	}
	pid := p.Pid
	return pid, p.Release()
}

// exited says whether the child has ended, and with what status. It answers
// yes only once: the process id is free afterwards.
func exited(pid int) (syscall.WaitStatus, bool, error) {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, false, fmt.Errorf("waiting for process %d: %w", pid, err)
		}
		return status, got == pid, nil
	}
}

// awaitExit waits for the child to end.
func awaitExit(ctx context.Context, pid int) (syscall.WaitStatus, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		status, done, err := exited(pid)
		if done || err != nil {
			return status, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("waiting for process %d to end: %w", pid, ctx.Err())
		}
	}
}

// end sends the signal to the child's process group and waits for the child,
// which is killed when it takes longer than quitTimeout. For PostgreSQL,
// SIGINT is a fast shutdown and SIGQUIT an immediate one.
func end(pid int, signal syscall.Signal) error {
	for _, s := range []syscall.Signal{signal, syscall.SIGQUIT, syscall.SIGKILL} {
		// ESRCH, and EPERM on macOS, say that it has ended and is to be waited for.
		if err := syscall.Kill(-pid, s); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, syscall.EPERM) {
			return fmt.Errorf("sending %v to process %d: %w", s, pid, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), quitTimeout)
		_, err := awaitExit(ctx, pid)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return fmt.Errorf("process %d does not end, not even when killed", pid)
}
