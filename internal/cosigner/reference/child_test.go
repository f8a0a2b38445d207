package reference

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// childVariable makes the test binary a co-signer that can be killed.
const childVariable = "ROTATORD_TEST_COSIGNER"

// childConfig comes over the environment, shares included: they are a test's.
type childConfig struct {
	Dir      string
	RelayURL string
	Grace    time.Duration
	KillAt   int64 // dies at the so-many-th point between durable steps; 0: lives
	Import   map[string]mpc.Share
}

// runChild serves until it is killed or its standard input ends. It says where
// it listens, and at an orderly end how many points it has passed.
func runChild() {
	var config childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &config); err != nil {
		childFails(err)
	}
	var passed atomic.Int64
	server, err := Open(config.Dir, Options{
		RelayURL: config.RelayURL, Token: testToken, Grace: config.Grace, Wait: patience / 2,
		Log: slog.New(slog.DiscardHandler),
		at: func(string) {
			if passed.Add(1) == config.KillAt {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // not one step further
			}
		},
	})
	if err != nil {
		childFails(err)
	}
	for wallet, share := range config.Import {
		if err := server.Import(testProvider, wallet, "set-0", share); err != nil {
			childFails(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		childFails(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	go http.Serve(listener, server.Handler())
	io.Copy(io.Discard, os.Stdin)
	if err := server.Close(); err != nil {
		childFails(err)
	}
	fmt.Println(passed.Load())
}

func childFails(err error) {
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(3)
}

// child is a running co-signer process.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *strings.Builder
	client *cosigner.Client // nil if it died before it listened
	passed int64            // after end
}

func startChild(t *testing.T, config childConfig) *child {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(os.Args[0]), stderr: new(strings.Builder)}
	// The race detector would sleep for a second at the end of each life.
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text), "GORACE=atexit_sleep_ms=0")
	c.cmd.Stderr = c.stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdout = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := c.stdout.ReadString('\n')
	if err != nil {
		return c // killed; end looks whether that was meant
	}
	c.client, err = cosigner.New(cosigner.Options{
		Name: "child", URL: strings.TrimSpace(url), Token: func() string { return testToken }, Timeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// kill ends it the hard way, from outside.
func (c *child) kill() { c.cmd.Process.Kill() }

// end lets it stop in order, if it still lives, and reports whether it was
// killed instead. Any other end fails the test.
func (c *child) end() (killed bool) {
	c.t.Helper()
	c.stdin.Close()
	rest, err := io.ReadAll(c.stdout)
	if err != nil {
		c.t.Errorf("reading from the child: %v", err)
	}
	err = c.cmd.Wait()
	if c.client != nil {
		c.client.Close()
	}
	status := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		return true
	case err != nil:
		c.t.Fatalf("the child ended with %v: %s", err, c.stderr)
	}
	if _, err := fmt.Sscan(string(rest), &c.passed); err != nil {
		c.t.Fatalf("the child did not say how far it came: %v", err)
	}
	return false
}
