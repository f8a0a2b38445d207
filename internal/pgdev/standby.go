package pgdev

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// promoteTimeout is for a standby to become a primary; usual is a tenth of a
// second.
const promoteTimeout = 30 // seconds

// Standby copies the server and starts the copy, which follows it from then on
// and can be read. Its name is what Synchronous takes. The copy has a folder
// and a guard of its own and is stopped by itself; it goes on without the
// server, and follows it again after a Restart. Roles, databases and passwords
// are the same on both. [ErrNotOurs] on a server given by URL.
func (s *Server) Standby(ctx context.Context, name string) (*Server, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	switch {
	case s.own == nil:
		return nil, ErrNotOurs
	case s.stopped:
		return nil, ErrStopped
	}
	c, err := s.own.follow(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("making a standby: %w", err)
	}
	return &Server{base: c.dsn(), url: c.dsn(), own: c}, nil
}

// Promote makes a standby a primary and returns when it takes writes. Stop the
// one that it followed before, or there are two.
func (s *Server) Promote(ctx context.Context) error {
	var done bool
	if err := s.query(ctx, &done, fmt.Sprintf("SELECT pg_promote(true, %d)", promoteTimeout)); err != nil {
		return fmt.Errorf("promoting the standby: %w", err)
	}
	if !done {
		return fmt.Errorf("promoting the standby: it was not done in %d s", promoteTimeout)
	}
	return nil
}

// Synchronous makes commits wait until the standby of this name has them on its
// disk; empty: they wait for nobody. It holds across a Restart, and not for
// copies of the server.
func (s *Server) Synchronous(ctx context.Context, standby string) error {
	if err := s.set(ctx, "synchronous_standby_names", standby); err != nil {
		return fmt.Errorf("setting the synchronous standby: %w", err)
	}
	return nil
}

// Detach makes a standby stop listening to its primary, for good. What is
// committed from then on is lost when it is promoted.
func (s *Server) Detach(ctx context.Context) error {
	if err := s.set(ctx, "primary_conninfo", ""); err != nil {
		return fmt.Errorf("detaching the standby: %w", err)
	}
	return nil
}

// AwaitStandby waits until the standby of this name has everything that the
// server had written when it was called.
func (s *Server) AwaitStandby(ctx context.Context, name string) error {
	var written string
	if err := s.query(ctx, &written, "SELECT pg_current_wal_flush_lsn()::text"); err != nil {
		return fmt.Errorf("waiting for the standby: %w", err)
	}
	tick := time.NewTicker(4 * pollEvery)
	defer tick.Stop()
	for {
		var there bool
		if err := s.query(ctx, &there, `SELECT EXISTS (SELECT FROM pg_stat_replication
			WHERE application_name = $1 AND state = 'streaming' AND flush_lsn >= $2::text::pg_lsn)`, name, written); err != nil {
			return fmt.Errorf("waiting for the standby: %w", err)
		}
		if there {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the standby: %w", ctx.Err())
		}
	}
}

// follow makes a cluster that is a copy of this one and follows it.
func (c *cluster) follow(ctx context.Context, name string) (*cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	dir, err := newFolder(filepath.Dir(c.dir), c.as)
	if err != nil {
		return nil, err
	}
	g, err := newGuard(dir)
	if err != nil {
		return nil, err
	}
	copied := &cluster{bin: c.bin, as: c.as, guard: g, dir: dir, password: c.password, secured: true}
	if err := copied.copyFrom(ctx, c, name); err != nil {
		return nil, errors.Join(err, copied.close())
	}
	if err := copied.startOnFreePort(ctx, freePort); err != nil {
		return nil, errors.Join(err, copied.close())
	}
	return copied, nil
}

// copyFrom fills the folder with a copy of a running cluster.
func (c *cluster) copyFrom(ctx context.Context, primary *cluster, name string) error {
	if err := c.makeFolder(); err != nil {
		return err
	}
	if err := c.copyData(ctx, primary); err != nil {
		return fmt.Errorf("copying the server: %w", err)
	}
	if err := appendFile(filepath.Join(c.data(), "postgresql.conf"), settingLines(map[string]string{
		"primary_conninfo": fmt.Sprintf("host='%s' port=%d user=%s application_name='%s'",
			escapeDSN(primary.dir), primary.port, superuser, escapeDSN(name)),
		// The usual 5 s are for a primary that is far away.
		"wal_retrieve_retry_interval": "100ms",
	})); err != nil {
		return fmt.Errorf("configuring the standby: %w", err)
	}
	// What ALTER SYSTEM was told there wins over postgresql.conf, and is not
	// meant for this one.
	for name, text := range map[string]string{"postgresql.auto.conf": "", "standby.signal": ""} {
		if err := c.writeData(name, text); err != nil {
			return fmt.Errorf("configuring the standby: %w", err)
		}
	}
	return nil
}

// set changes one setting of the server, for good and at once.
func (s *Server) set(ctx context.Context, name, value string) error {
	s.life.RLock()
	defer s.life.RUnlock()
	switch {
	case s.own == nil:
		return ErrNotOurs
	case s.stopped:
		return ErrStopped
	}
	conn, err := pgx.Connect(ctx, s.base)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "ALTER SYSTEM SET "+name+" = '"+strings.ReplaceAll(value, "'", "''")+"'"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "SELECT pg_reload_conf()")
	return err
}

// query reads one value from a server that is ours.
func (s *Server) query(ctx context.Context, into any, sql string, args ...any) error {
	s.life.RLock()
	defer s.life.RUnlock()
	switch {
	case s.own == nil:
		return ErrNotOurs
	case s.stopped:
		return ErrStopped
	}
	conn, err := pgx.Connect(ctx, s.base)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.QueryRow(ctx, sql, args...).Scan(into)
}
