package pgdev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// guardScript waits for its standard input to end and then cleans up. Each line
// is the process group that works in the folder now; an empty one says that
// none does. The group gets 5 s to end in order: QUIT is PostgreSQL's immediate
// shutdown, in which it ends its children and frees its shared memory. A zombie
// has ended: in many containers process 1 does not care for orphans.
const guardScript = `
trap '' HUP INT TERM
zombie() { grep -q '^State:.Z' "/proc/$1/status"; }
group=
while IFS= read -r line; do group=$line; done
if [ -n "$group" ]; then
	kill -s QUIT -- "-$group"
	n=0
	while kill -s 0 -- "-$group" && ! zombie "$group" && [ $n -lt 500 ]; do
		n=$((n + 1))
		sleep 0.01 || { n=$((n + 99)); sleep 1; }
	done
	kill -s KILL -- "-$group"
fi
rm -rf -- "$1"
`

// announceScript tells the guard who runs, and becomes the program. The pipe
// is closed in that same moment, so that the program does not keep it open.
const announceScript = `echo $$ >&3; exec "$@" 3>&-`

// guard outlives this process by a moment, to remove one folder and to end the
// one process group that may work in it at a time.
type guard struct {
	folder string
	pid    int
	pipe   *os.File
}

// newGuard guards a folder, which must not exist yet.
func newGuard(folder string) (*guard, error) {
	if _, err := os.Lstat(folder); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("guarding %s: it is there already", folder)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guarding %s: %w", folder, err)
	}
	defer r.Close()
	// As ourselves, not as the account of PostgreSQL: the folder above may be
	// ours alone. From /, so that no folder is kept busy.
	p, err := startProcess([]string{"/bin/sh", "-c", guardScript, "sh", folder}, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=/usr/bin:/bin"},
		Files: []*os.File{r, nil, nil},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("guarding %s: %w", folder, err)
	}
	return &guard{folder: folder, pid: p, pipe: w}, nil
}

// run starts a program in the folder, as the account, in a process group of
// its own. Its id is returned; the caller waits for it and then calls idle.
func (g *guard) run(as *account, env []string, output *os.File, argv ...string) (int, error) {
	shell := append([]string{"/bin/sh", "-c", announceScript, "sh"}, argv...)
	pid, err := startProcess(shell, &os.ProcAttr{
		Dir:   g.folder,
		Env:   env,
		Files: []*os.File{nil, output, output, g.pipe},
		Sys:   as.sysProcAttr(),
	})
	if err != nil {
		return 0, fmt.Errorf("running %s: %w", argv[0], err)
	}
	return pid, nil
}

// idle tells the guard that what ran has ended and been waited for, so that its
// process id may mean somebody else from now on.
func (g *guard) idle() error {
	if _, err := g.pipe.WriteString("\n"); err != nil {
		return fmt.Errorf("telling the guard of %s: %w", g.folder, err)
	}
	return nil
}

// close removes the folder and lets the guard go. What ran must have ended.
func (g *guard) close() error {
	removed := os.RemoveAll(g.folder)
	g.pipe.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*quitTimeout)
	defer cancel()
	_, err := awaitExit(ctx, g.pid)
	return errors.Join(removed, err)
}
