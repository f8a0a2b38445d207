package pgdev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	superuser = "postgres"
	// startTimeout is generous for a laptop on battery; usual is under a second.
	startTimeout = time.Minute
	portTries    = 10
)

// errPortTaken: somebody took the port between our choice and the start.
var errPortTaken = errors.New("the port is taken")

// cluster is a PostgreSQL in a guarded folder of its own: data/ (the database
// cluster), server.log and the socket.
type cluster struct {
	bin      binaries
	as       *account
	guard    *guard
	dir      string
	password string
	secured  bool // the superuser has its password
	port     int
	pid      int // the postmaster; 0 while it does not run
}

func startCluster(ctx context.Context, opts Options) (*cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout+downloadTimeout)
	defer cancel()
	as, err := serverAccount()
	if err != nil {
		return nil, err
	}
	bin, err := opts.search.find(ctx, as, opts.Log)
	if err != nil {
		return nil, err
	}
	dir, err := newFolder(opts.Dir, as)
	if err != nil {
		return nil, err
	}
	g, err := newGuard(dir)
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, as: as, guard: g, dir: dir, password: rand.Text()}
	if err := c.create(ctx, opts); err != nil {
		return nil, errors.Join(err, c.close())
	}
	if err := c.startOnFreePort(ctx, opts.port); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// newFolder chooses the path of the server's folder. The folder is made later,
// under guard; the name is random enough to be nobody else's.
func newFolder(parent string, as *account) (string, error) {
	chosen := parent != ""
	if !chosen {
		parent = os.TempDir()
	}
	parent, err := filepath.Abs(parent)
	if err != nil {
		return "", fmt.Errorf("choosing a folder: %w", err)
	}
	name := "rotatord-pg-" + strings.ToLower(rand.Text()[:12])
	fits := func(parent string) bool {
		// The path of a socket has 104 bytes on macOS and 108 on Linux, with
		// the final zero.
		return len(filepath.Join(parent, name, ".s.PGSQL.65535")) < 104
	}
	if !chosen && (!fits(parent) || !as.canReach(parent)) {
		parent = "/tmp"
	}
	if !fits(parent) {
		return "", fmt.Errorf("choosing a folder: %s is too long a path for a socket", parent)
	}
	if !as.canReach(parent) {
		return "", fmt.Errorf("choosing a folder: PostgreSQL runs as user %s, who cannot enter %s", as.name, parent)
	}
	return filepath.Join(parent, name), nil
}

// start runs the server on c.port and waits until it answers. errPortTaken
// says that another port may help.
func (c *cluster) start(ctx context.Context) error {
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the server's log: %w", err)
	}
	defer log.Close()
	before, err := log.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("opening the server's log: %w", err)
	}
	c.pid, err = c.guard.run(c.as, serverEnv(c.dir), log, c.bin.path("postgres"), "-D", c.data(), "-k", c.dir, "-p", strconv.Itoa(c.port))
	if err != nil {
		return err
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if c.answers(ctx) {
			return nil
		}
		_, ended, err := exited(c.pid)
		if err != nil {
			return err
		}
		if ended {
			c.pid = 0
			return errors.Join(startError(c.logFile(), before), c.guard.idle())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting for PostgreSQL to start: %w", ctx.Err()), c.stop(syscall.SIGQUIT))
		}
	}
}

// startOnFreePort tries ports until one is still free when PostgreSQL takes it.
func (c *cluster) startOnFreePort(ctx context.Context, choose func() (int, error)) error {
	var err error
	for range portTries {
		if c.port, err = choose(); err != nil {
			return err
		}
		if err = c.start(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// answers makes sure that the server accepts connections and that the
// superuser has its password.
func (c *cluster) answers(ctx context.Context) bool {
	if _, err := os.Stat(c.socket()); err != nil {
		return false // spares a connection attempt
	}
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host='%s' port=%d user=%s dbname=postgres sslmode=disable", escapeDSN(c.dir), c.port, superuser))
	if err != nil {
		return false
	}
	defer conn.Close(ctx)
	if c.secured { // a standby may not write, and a primary without its standby would wait for it
		return true
	}
	_, err = conn.Exec(ctx, "ALTER ROLE "+superuser+" PASSWORD '"+c.password+"'")
	c.secured = err == nil
	return c.secured
}

// restart keeps the port. Somebody may have taken it meanwhile as the local end
// of a connection, which does not last, so this insists for a while.
func (c *cluster) restart(ctx context.Context, immediate bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	signal := syscall.SIGINT
	if immediate {
		signal = syscall.SIGQUIT
	}
	if err := c.stop(signal); err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.start(ctx)
		if !errors.Is(err, errPortTaken) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (c *cluster) stop(signal syscall.Signal) error {
	if c.pid == 0 {
		return nil
	}
	if err := end(c.pid, signal); err != nil {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	c.pid = 0
	return c.guard.idle()
}

// close ends the server at once: nothing in it is worth a checkpoint, since
// its folder goes too.
func (c *cluster) close() error {
	return errors.Join(c.stop(syscall.SIGQUIT), c.guard.close())
}

func (c *cluster) data() string    { return filepath.Join(c.dir, "data") }
func (c *cluster) logFile() string { return filepath.Join(c.dir, "server.log") }
func (c *cluster) socket() string {
	return filepath.Join(c.dir, ".s.PGSQL."+strconv.Itoa(c.port))
}

func (c *cluster) dsn() string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, c.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
