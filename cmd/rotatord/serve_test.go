package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/pgdev"
	"github.com/rotatord/rotatord/internal/sandbox"
)

// served is a daemon that a real file configures, run by the command line.
type served struct {
	t      *testing.T
	stderr *said
	url    string
	stop   context.CancelFunc
	ended  chan int
}

// serve writes a configuration for the database and the sandbox, as an
// operator would, and runs it. Tokens come from files.
func serve(t *testing.T, dsn string, info sandbox.Info) *served {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"url": dsn + "\n", "api-token": info.Dynamic.APIToken + "\n", "cosigner-token": info.Cosigner.Token + "\n",
		"rotatord.yaml": fmt.Sprintf(`
database:
  url_file: url
http:
  listen: 127.0.0.1:0
scheduler:
  min_interval: 1s
  heartbeat_interval: 200ms
  heartbeat_timeout: 15s
rotation:
  backoff: {initial: 200ms, max: 2s}
  circuit: {pause: 1s, max_pause: 2s}
providers:
  - name: dynamic
    type: dynamic
    base_url: %s
    environment_id: %s
    api_token_file: api-token
    rate_limits: []
cosigners:
  - name: vault
    url: %s
    token_file: cosigner-token
`, info.Dynamic.BaseURL, info.Dynamic.EnvironmentID, info.Cosigner.URL),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "rotatord.yaml")
	rotatord(t.Context(), nil, "validate", "--config", path).want(t, 0, "OK: ")
	rotatord(t.Context(), nil, "migrate", "--config", path).want(t, 0, "the schema ")

	ctx, cancel := context.WithCancel(context.Background())
	s := &served{t: t, stderr: &said{}, stop: cancel, ended: make(chan int, 1)}
	go func() {
		s.ended <- execute(ctx, &cli{stdout: &said{}, stderr: s.stderr}, []string{"serve", "--config", path})
	}()
	t.Cleanup(func() {
		s.stop()
		if code := <-s.ended; code != 0 {
			t.Errorf("serve ended with exit code %d, want 0", code)
		}
		if t.Failed() {
			t.Log("the daemon's log:\n" + s.stderr.String())
		}
	})
	listen := regexp.MustCompile(`"listen":"([^"]+)"`)
	eventually(t, "the daemon listens", func() bool {
		found := listen.FindStringSubmatch(s.stderr.String())
		if found != nil {
			s.url = "http://" + found[1]
		}
		return found != nil
	})
	return s
}

func (s *served) status(path string) int {
	s.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// TestServe: a real file, a real database that goes away and comes back, and a
// simulated vendor.
func TestServe(t *testing.T) {
	postgres, err := pgdev.Start(t.Context(), pgdev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postgres.Stop(); err != nil {
			t.Error(err)
		}
	})
	dsn, err := postgres.CreateDatabase(t.Context(), "rotatord", "")
	if err != nil {
		t.Fatal(err)
	}
	box, err := sandbox.New(sandbox.Options{Wallets: 4, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	base, err := box.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, dsn, box.Info(base))

	people := connect(t, dsn)
	if _, err := people.Exec(t.Context(), `INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '@every 1s')`); err != nil {
		t.Fatal(err)
	}
	for _, w := range box.State() {
		if _, err := people.Exec(t.Context(), `INSERT INTO wallets (provider, external_id, policy_id) SELECT 'dynamic', $1, id FROM rotation_policies`, w.ID); err != nil {
			t.Fatal(err)
		}
	}
	rotatedTo := func(n int) func() bool {
		return func() bool {
			for _, w := range box.State() {
				if w.Generation < n {
					return false
				}
			}
			return true
		}
	}
	eventually(t, "every wallet rotates", rotatedTo(1))
	if code := s.status("/readyz"); code != 200 {
		t.Errorf("/readyz answers %d, want 200", code)
	}

	stopPostgres(t, people)
	eventually(t, "readiness turns red", func() bool { return s.status("/readyz") == http.StatusServiceUnavailable })
	if code := s.status("/healthz"); code != 200 {
		t.Errorf("/healthz answers %d without a database, want 200: the process is well", code)
	}
	if code := s.status("/metrics"); code != 200 {
		t.Errorf("/metrics answers %d without a database, want 200", code)
	}
	if err := postgres.Restart(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "readiness turns green", func() bool { return s.status("/readyz") == 200 })
	reached := 0
	for _, w := range box.State() {
		reached = max(reached, w.Generation)
	}
	eventually(t, "every wallet rotates again", rotatedTo(reached+1))

	s.stop()
	code := <-s.ended
	s.ended <- code // for the clean-up
	people = connect(t, dsn)
	for _, w := range box.State() {
		var active string
		if err := people.QueryRow(t.Context(), `SELECT provider_ref FROM share_sets WHERE external_id = $1 AND state = 'active'`, w.ID).Scan(&active); err != nil {
			t.Fatal(err)
		}
		if active != w.ActiveShareSet || active != w.CosignerShareSet || !w.CanSign || w.OldShareSigns {
			t.Errorf("wallet %s: record %s, truth %+v", w.ID, active, w)
		}
	}
	if strings.Contains(s.stderr.String(), box.Info(base).Dynamic.APIToken) {
		t.Error("the API token is in the log")
	}
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

// stopPostgres ends the server that this test started, as in a crash; Restart
// starts it again.
func stopPostgres(t *testing.T, people *pgx.Conn) {
	t.Helper()
	var folder string
	if err := people.QueryRow(t.Context(), `SHOW data_directory`).Scan(&folder); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0])
	if err != nil || pid < 2 {
		t.Fatalf("the server's process id is %d, %v", pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
}
