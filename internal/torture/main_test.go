package torture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

// daemonVar makes this test binary a daemon with the configuration that it
// names.
const daemonVar = "TORTURE_TEST_DAEMON"

func TestMain(m *testing.M) {
	if path := os.Getenv(daemonVar); path != "" {
		if err := serve(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(pgtest.Around(m))
}

// serve is rotatord serve.
func serve(path string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	log := app.NewLog(os.Stderr, cfg.Log)
	daemon, err := app.New(ctx, cfg, app.Options{Version: "test", Log: log})
	if err != nil {
		return err
	}
	log.Info("started", "listen", daemon.Addr().String())
	return daemon.Run(ctx)
}

// daemon runs this test binary as one.
func daemon(t *testing.T) func(config string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(config string) *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), daemonVar+"="+config)
		return cmd
	}
}

// longest is far above what anything here takes on an idle machine.
const longest = time.Minute

// eventually polls until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(longest)
	defer over.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("waited %s in vain: %s", longest, what)
		}
	}
}
