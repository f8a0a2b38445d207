package pgdev

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hba lets everybody in through the socket, which is in a folder that is
// closed to others, and everybody but the superuser through 127.0.0.1.
// Through the socket a standby may copy everything, too.
const hba = `local all all trust
local replication all trust
host all ` + superuser + ` 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
`

// defaults are the settings of a server for tests. What a commit has reached
// the operating system survives a crash of PostgreSQL, so fsync may be off
// while synchronous_commit stays on: Restart loses nothing that was committed.
var defaults = map[string]string{
	"listen_addresses": "127.0.0.1",
	"max_connections":  "300",
	"fsync":            "off",
	"full_page_writes": "off",
	"jit":              "off", // compiling costs more than it gains on small tables
	"timezone":         "UTC",
	"log_timezone":     "UTC",
}

// create makes the folder and the database cluster in it.
func (c *cluster) create(ctx context.Context, opts Options) error {
	if err := c.makeFolder(); err != nil {
		return err
	}
	if err := c.initdb(ctx); err != nil {
		return err
	}
	// initdb has made both files, as the right user: writing keeps the owner.
	if err := os.WriteFile(filepath.Join(c.data(), "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return fmt.Errorf("configuring PostgreSQL: %w", err)
	}
	if err := appendFile(filepath.Join(c.data(), "postgresql.conf"), settings(opts)); err != nil {
		return fmt.Errorf("configuring PostgreSQL: %w", err)
	}
	return nil
}

func (c *cluster) makeFolder() error {
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return fmt.Errorf("making the server's folder: %w", err)
	}
	return c.as.own(c.dir)
}

func (c *cluster) initdb(ctx context.Context) error {
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the server's log: %w", err)
	}
	defer log.Close()
	pid, err := c.guard.run(c.as, serverEnv(c.dir), log, c.bin.path("initdb"),
		"--pgdata="+c.data(), "--username="+superuser, "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if err != nil {
		return err
	}
	c.pid = pid // so that a cancelled start ends it like a server
	status, err := awaitExit(ctx, pid)
	if err != nil {
		return fmt.Errorf("creating the database cluster: %w", err)
	}
	c.pid = 0
	if err := c.guard.idle(); err != nil {
		return err
	}
	if status.ExitStatus() != 0 {
		return fmt.Errorf("creating the database cluster: initdb failed: %s", lastLines(c.logFile(), 0))
	}
	return nil
}

// settings is the end of postgresql.conf, where the last word counts.
func settings(opts Options) string {
	all := maps.Clone(defaults)
	if opts.Durable {
		delete(all, "fsync")
		delete(all, "full_page_writes")
	}
	maps.Copy(all, opts.Settings)
	return settingLines(all)
}

// settingLines are settings as postgresql.conf has them.
func settingLines(all map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value := strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(all[name])
		fmt.Fprintf(&b, "%s = '%s'\n", name, value)
	}
	return b.String()
}

// serverEnv is our environment without what would change how PostgreSQL runs or
// what language it writes its log in.
func serverEnv(home string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "PG") || strings.HasPrefix(kv, "LC_") ||
			strings.HasPrefix(kv, "LANG") || strings.HasPrefix(kv, "HOME=") || strings.HasPrefix(kv, "TZ=")
	})
	return append(env, "LC_ALL=C", "TZ=UTC", "HOME="+home)
}

// startError is why a server that was started has ended, by its own log from
// the given offset on.
func startError(logFile string, offset int64) error {
	said := lastLines(logFile, offset)
	if strings.Contains(said, "could not bind") || strings.Contains(said, "could not create any TCP/IP sockets") {
		return fmt.Errorf("starting PostgreSQL: %w: %s", errPortTaken, said)
	}
	return fmt.Errorf("starting PostgreSQL: it ended at once: %s", said)
}

// lastLines is the end of a log from the offset on, on one line and short
// enough for an error.
func lastLines(file string, offset int64) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Sprintf("(its log is unreadable: %v)", err)
	}
	lines := strings.Split(strings.TrimSpace(string(b[min(offset, int64(len(b))):])), "\n")
	const most = 12
	return strings.Join(lines[max(0, len(lines)-most):], " | ")
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
