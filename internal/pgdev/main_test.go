package pgdev

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// patience is for things that take milliseconds on an idle machine.
const patience = 30 * time.Second

// childVar makes this test binary a program that starts a server and then does
// what the variable says.
const childVar = "PGDEV_TEST_CHILD"

func TestMain(m *testing.M) {
	if how := os.Getenv(childVar); how != "" {
		childMain(how)
	}
	goleak.VerifyTestMain(m)
}

// childReport is what a child says about its server.
type childReport struct{ Folder, URL, Answer string }

func childMain(how string) {
	ctx := context.Background()
	s, err := Start(ctx, Options{Dir: os.Getenv(childVar + "_DIR")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	var user string
	conn, err := pgx.Connect(ctx, s.URL())
	if err == nil {
		err = conn.QueryRow(ctx, "SELECT current_user").Scan(&user)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	if err := json.NewEncoder(os.Stdout).Encode(childReport{s.own.dir, s.URL(), user}); err != nil {
		os.Exit(3)
	}
	io.Copy(io.Discard, os.Stdin) // until the test has read the report, or for good
	switch how {
	case "panic":
		panic("as asked")
	case "stop":
		if err := s.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
	os.Exit(0)
}

// child is a running copy of this test binary.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	dir   string // the only place where it may leave something
}

// startChild runs a child as the given account, or as ourselves.
func startChild(t *testing.T, how string, as *account) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	if as != nil { // the binary is in a folder that only we can enter
		b, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		self = filepath.Join(openDir(t), "child")
		if err := os.WriteFile(self, b, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := as.own(dir); err != nil {
			t.Fatal(err)
		}
	}
	c := &child{cmd: exec.Command(self), dir: dir}
	c.cmd.Env = append(os.Environ(), childVar+"="+how, childVar+"_DIR="+dir)
	c.cmd.Dir = "/"
	c.cmd.Stderr = os.Stderr
	if how == "panic" {
		c.cmd.Stderr = nil // the panic is wanted, its trace is noise
	}
	c.cmd.SysProcAttr = as.sysProcAttr()
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})
	return c
}

func (c *child) report(t *testing.T) (r childReport) {
	t.Helper()
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the child did not report: %v", err)
	}
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(r.Folder) != c.dir {
		t.Fatalf("the child's server is in %s, not in %s", r.Folder, c.dir)
	}
	return r
}

// openDir is an empty folder with a short path that every user can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgdev")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// eventually waits for a condition, which is asked often.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// nothingLeft waits until no file in dir and no process of it is left. When
// the files go, PostgreSQL must have gone: it would end by itself when it
// misses them, but only after a while, and not in order.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "nothing is left in "+dir, func() bool {
		entries, err := os.ReadDir(dir)
		return err == nil && len(entries) == 0
	})
	for _, process := range processesOf(t, dir) {
		if strings.Contains(process, "postgres") {
			t.Errorf("its folder is gone, but this runs: %s", process)
		}
	}
	eventually(t, "no process of "+dir+" is left", func() bool { return len(processesOf(t, dir)) == 0 })
}

// processesOf are the command lines of the processes that name dir there or, on
// Linux, work in it, as all of PostgreSQL's do. A zombie does neither.
func processesOf(t *testing.T, dir string) (found []string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		out, err := exec.Command("ps", "-axo", "command").Output()
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool { return !strings.Contains(line, dir) })
	}
	pids, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if pid == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		cwd, _ := os.Readlink(pid + "/cwd") // unreadable: has ended, or is somebody else's
		cmdline, _ := os.ReadFile(pid + "/cmdline")
		if strings.HasPrefix(cwd, dir) || strings.Contains(string(cmdline), dir) {
			found = append(found, strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return found
}

// sharedMemory is the id of the System V segment that the server in folder
// holds. Nothing but an orderly end removes it.
func sharedMemory(t *testing.T, folder string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n") // the seventh: key and id
	if len(lines) < 7 || len(strings.Fields(lines[6])) != 2 {
		t.Fatalf("no shared memory in %q", b)
	}
	id := strings.Fields(lines[6])[1]
	if !sharedMemoryExists(t, id) {
		t.Fatalf("the test does not see segment %s, so it cannot see it go", id)
	}
	return id
}

func sharedMemoryExists(t *testing.T, id string) bool {
	t.Helper()
	out, err := exec.Command("ipcs", "-m").Output()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(strings.Fields(string(out)), id)
}

// start is a server that ends with the test.
func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// text is the answer of a query with one text in one row.
func text(t *testing.T, conn *pgx.Conn, sql string) (s string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&s); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return s
}

// ordinary is an account that is not root: nil, ourselves, unless we are.
func ordinary(t *testing.T) *account {
	t.Helper()
	as, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	return as
}

// ownerOf is the user id that a file belongs to.
func ownerOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}
