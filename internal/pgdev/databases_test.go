package pgdev

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestDatabasesAreCopiesOfTheirTemplate(t *testing.T) {
	s := start(t, Options{})
	mould, err := s.CreateDatabase(t.Context(), "mould", "")
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, mould)
	if _, err := conn.Exec(t.Context(), "CREATE TABLE words (w text); INSERT INTO words VALUES ('hello')"); err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
	copied, err := s.CreateDatabase(t.Context(), `a "copy"`, "mould")
	if err != nil {
		t.Fatal(err)
	}
	inUse := connect(t, copied)
	if got := text(t, inUse, "SELECT w FROM words"); got != "hello" {
		t.Error(got)
	}
	for range 2 { // the second time there is none, which is fine
		if err := s.DropDatabase(t.Context(), `a "copy"`); err != nil {
			t.Fatal(err)
		}
	}
	if err := inUse.Ping(t.Context()); err == nil {
		t.Error("a connection outlived its database")
	}
	if _, err := s.CreateDatabase(t.Context(), strings.Repeat("x", 64), ""); err == nil {
		t.Error("made a database with a name that PostgreSQL cuts off")
	}
}

func TestSettings(t *testing.T) {
	odd := `it's a \ "name"`
	s := start(t, Options{Durable: true, Settings: map[string]string{"cluster_name": odd, "max_connections": "20"}})
	conn := connect(t, s.URL())
	for name, want := range map[string]string{"cluster_name": odd, "max_connections": "20", "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "TimeZone": "UTC"} {
		if got := text(t, conn, "SHOW "+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	fast := connect(t, start(t, Options{}).URL())
	for name, want := range map[string]string{"fsync": "off", "synchronous_commit": "on"} {
		if got := text(t, fast, "SHOW "+name); got != want {
			t.Errorf("by default, %s is %q, want %q", name, got, want)
		}
	}
}

// databases are the names of all databases of a server.
func databases(t *testing.T, dsn string) string {
	t.Helper()
	return text(t, connect(t, dsn), "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
}

func TestURLWinsAndLeavesTheServerAsItWas(t *testing.T) {
	foreign := start(t, Options{})
	precious, err := foreign.CreateDatabase(t.Context(), "precious", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, precious).Exec(t.Context(), "CREATE TABLE precious (n int)"); err != nil {
		t.Fatal(err)
	}
	before := databases(t, foreign.URL())

	var log strings.Builder
	// With nowhere to search, only the URL can be it.
	s := start(t, Options{URL: precious, search: &search{}, Log: &log})
	if secret := foreign.own.password; strings.Contains(log.String(), secret) {
		t.Errorf("the log shows the password:\n%s", log.String())
	}
	if got := text(t, connect(t, s.URL()), "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'"); got != "0" {
		t.Errorf("the database to work in has %s tables, it is somebody's", got)
	}
	ours, err := s.CreateDatabase(t.Context(), "precious", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, connect(t, ours), "SELECT current_database()"); got == "precious" {
		t.Fatal("CreateDatabase gave out a foreign database")
	}
	if err := s.DropDatabase(t.Context(), "precious"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateDatabase(t.Context(), "left", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context(), true); !errors.Is(err, ErrNotOurs) {
		t.Errorf("restarting somebody's server: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if after := databases(t, foreign.URL()); after != before {
		t.Errorf("the foreign server had %s and has %s", before, after)
	}
	if got := text(t, connect(t, precious), "SELECT count(*)::text FROM precious"); got != "0" {
		t.Error(got)
	}
}

func TestURLThatDoesNotWork(t *testing.T) {
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{
		"postgres://clerk:hunter2@127.0.0.1:" + strconv.Itoa(port) + "/db",
		"postgres://clerk:hunter2@127.0.0.1:port/db",
		"postgres://clerk:hunter2@[::1/db",
		"host=127.0.0.1 password=hunter2 port=x",
	} {
		s, err := Start(t.Context(), Options{URL: url})
		if err == nil {
			s.Stop()
			t.Fatalf("started on %s", url)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestExclusive(t *testing.T) {
	s := start(t, Options{})
	inside, leave := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- s.Exclusive(t.Context(), func(context.Context) error {
			close(inside)
			<-leave
			return nil
		})
	}()
	<-inside
	second := make(chan error, 1)
	go func() { second <- s.Exclusive(t.Context(), func(context.Context) error { return errors.New("ran") }) }()
	conn := connect(t, s.URL())
	eventually(t, "the second one waits for the lock", func() bool {
		return text(t, conn, "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "1"
	})
	select {
	case err := <-second:
		t.Fatalf("two were inside at once: %v", err)
	default:
	}
	close(leave)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if err := <-second; err == nil || err.Error() != "ran" {
		t.Fatal(err)
	}
}

var dsns = []string{
	"postgres://a:b@127.0.0.1:5432/x?sslmode=disable",
	"postgresql:///x?host=/tmp&dbname=y",
	"postgres://h1:1,h2:2/x?database=z",
	"host=h dbname=x user='it\\'s'",
	"host=h dbname=x password=p=",
}

func TestWithDatabase(t *testing.T) {
	for _, dsn := range dsns {
		if _, err := withDatabase(dsn, "other"); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	if got, err := withDatabase("host=h dbname=x password=", "y"); !errors.Is(err, errOddDSN) {
		t.Errorf("became %q, where the database is taken for the password (%v)", got, err)
	}
}

// What is refused is refused; what is not leads to that database, on that
// server, as that user.
func FuzzWithDatabase(f *testing.F) {
	for _, dsn := range dsns {
		f.Add(dsn, "rotatord_dev_main")
	}
	f.Fuzz(func(t *testing.T, dsn, name string) {
		if strings.ContainsRune(name, 0) || name == "" {
			return // no name of a database
		}
		before, err := pgx.ParseConfig(dsn)
		if err != nil {
			return
		}
		other, err := withDatabase(dsn, name)
		if err != nil {
			return
		}
		after, err := pgx.ParseConfig(other)
		if err != nil {
			t.Fatalf("%q became %q: %v", dsn, other, err)
		}
		same := after.Host == before.Host && after.Port == before.Port && after.User == before.User && after.Password == before.Password
		if after.Database != name || !same {
			t.Errorf("%q became %q: %s@%s:%d/%s", dsn, other, after.User, after.Host, after.Port, after.Database)
		}
	})
}

func TestPsqlCommand(t *testing.T) {
	own := &Server{own: &cluster{dir: "/tmp/it's here", bin: binaries{dir: "/nowhere"}}}
	for _, tc := range []struct {
		s         *Server
		dsn, want string
	}{
		{own, "postgres://postgres:secret@127.0.0.1:4711/demo", `psql -h '/tmp/it'\''s here' -p 4711 -U postgres demo`},
		{&Server{}, "postgres://clerk:secret@db.example:5433/big%20one", `psql -h db.example -p 5433 -U clerk 'big one'`},
	} {
		if got := tc.s.PsqlCommand(tc.dsn); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

// The shell is the judge of what is quoted well.
func FuzzShellQuote(f *testing.F) {
	for _, s := range []string{"", "plain", "it's", `$HOME "and" \ more`, "a\nb", "*", "-n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			return // cannot be an argument
		}
		cmd := exec.Command("/bin/sh", "-c", "printf %s_ "+shellQuote(s))
		cmd.Env = os.Environ()
		out, err := cmd.Output()
		if err != nil || string(out) != s+"_" {
			t.Errorf("%q became %q: %v", s, out, err)
		}
	})
}
