package pgdev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// notCopied are the folders whose content a copy makes anew, by the manual
// ("Making a Base Backup Using the Low Level API").
var notCopied = map[string]bool{
	"pg_wal": true, "pg_replslot": true, "pg_dynshmem": true, "pg_notify": true, "pg_serial": true,
	"pg_snapshots": true, "pg_stat_tmp": true, "pg_subtrans": true,
}

// walKept is how much a primary keeps for a standby that is being copied or
// that is away for a moment.
const walKept = "512MB"

// copyData fills the data folder with that of a running cluster. It does what
// pg_basebackup does, which downloaded servers come without.
func (c *cluster) copyData(ctx context.Context, primary *cluster) error {
	conn, err := pgx.Connect(ctx, primary.dsn())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // and with it ends a backup that was not stopped
	for _, sql := range []string{
		"ALTER SYSTEM SET wal_keep_size = '" + walKept + "'", "SELECT pg_reload_conf()", "SELECT pg_backup_start('standby', true)",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := c.copyTree(primary.data()); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, "SELECT labelfile FROM pg_backup_stop(false)").Scan(&label); err != nil {
		return err
	}
	return c.writeData("backup_label", label)
}

// copyTree copies files that the server goes on writing and removing; what
// that does to them is repaired from the log when the copy starts.
func (c *cluster) copyTree(from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch to := filepath.Join(c.data(), name); {
		case d.IsDir() && strings.HasPrefix(d.Name(), "pgsql_tmp"):
			return filepath.SkipDir
		case d.IsDir():
			if err := os.Mkdir(to, 0o700); err != nil {
				return err
			}
			return c.as.own(to)
		case notCopied[strings.Split(name, string(filepath.Separator))[0]], strings.HasPrefix(d.Name(), "postmaster."),
			d.Name() == "pg_internal.init", !d.Type().IsRegular():
			return nil
		default:
			return c.copyFile(path, to)
		}
	})
}

func (c *cluster) copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return c.as.own(to)
}

// writeData writes a file in the data folder.
func (c *cluster) writeData(name, text string) error {
	path := filepath.Join(c.data(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return c.as.own(path)
}
