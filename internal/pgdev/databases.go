package pgdev

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxName is what PostgreSQL keeps of a name, in bytes; it cuts off the rest.
const maxName = 63

// exclusiveLock is the advisory lock behind Exclusive: "pgdev" in ASCII.
const exclusiveLock = 0x7067646576

// CreateDatabase makes a database and returns its DSN. It is a copy of the
// database template, made here before and without connections, or empty when
// template is "". Empty ones have encoding UTF8 and locale C wherever they are,
// so that text sorts the same. On a server given by URL the database's real
// name is a longer one.
func (s *Server) CreateDatabase(ctx context.Context, name, template string) (string, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.stopped {
		return "", ErrStopped
	}
	real := s.prefix + name
	if len(real) > maxName {
		return "", fmt.Errorf("creating database %s: the name is longer than %d bytes", real, maxName)
	}
	sql := "CREATE DATABASE " + pgx.Identifier{real}.Sanitize() + " TEMPLATE "
	if template == "" {
		sql += "template0 ENCODING 'UTF8' LOCALE 'C'"
	} else {
		sql += pgx.Identifier{s.prefix + template}.Sanitize()
	}
	if err := s.exec(ctx, sql); err != nil {
		return "", fmt.Errorf("creating database %s: %w", real, err)
	}
	if s.own == nil {
		s.mu.Lock()
		s.made = append(s.made, real)
		s.mu.Unlock()
	}
	return withDatabase(s.base, real)
}

// DropDatabase drops a database that CreateDatabase made, and cuts off who is
// connected to it. One that is not there is fine.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.stopped {
		return ErrStopped
	}
	return s.drop(ctx, s.prefix+name)
}

func (s *Server) drop(ctx context.Context, real string) error {
	if err := s.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{real}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("dropping database %s: %w", real, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = slices.DeleteFunc(s.made, func(made string) bool { return made == real })
	return nil
}

// Exclusive runs fn while no other process runs one on the same server. It is
// for what all databases of a server share, such as creating roles.
func (s *Server) Exclusive(ctx context.Context, fn func(context.Context) error) error {
	conn, err := pgx.Connect(ctx, s.base)
	if err != nil {
		return fmt.Errorf("waiting for others on the server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // and with it goes the lock
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(exclusiveLock)); err != nil {
		return fmt.Errorf("waiting for others on the server: %w", err)
	}
	return fn(ctx)
}

// exec runs one statement on a connection of its own.
func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.base)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}

// dropTimeout bounds the end of a server that is not ours and may be gone.
const dropTimeout = 30 * time.Second

var errOddDSN = errors.New("reading the database URL: its database cannot be replaced; write it as postgres://user:password@host:port/database")

// withDatabase is dsn for another database on the same server; dsn is a URL or
// of the form "host=… dbname=…". What cannot be read the same way again is
// refused: "host=h password=", for instance, takes what follows for a password.
func withDatabase(dsn, name string) (string, error) {
	other := dsn + " dbname='" + escapeDSN(name) + "'" // the last one counts
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		u, err := url.Parse(dsn)
		if err != nil {
			return "", fmt.Errorf("reading the database URL: %w", hidden(err))
		}
		query := u.Query()
		query.Del("dbname")
		query.Del("database")
		u.RawQuery = query.Encode()
		u.Path, u.RawPath = "/"+name, ""
		other = u.String()
	}
	before, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "", fmt.Errorf("reading the database URL: %w", hidden(err))
	}
	after, err := pgx.ParseConfig(other)
	if err != nil || after.Database != name || after.Host != before.Host || after.Port != before.Port ||
		after.User != before.User || after.Password != before.Password {
		return "", errOddDSN
	}
	return other, nil
}

// escapeDSN makes a value fit between the quotes of a "key='value'" DSN.
func escapeDSN(value string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value)
}
