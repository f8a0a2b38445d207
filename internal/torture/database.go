package torture

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/line"
	"github.com/rotatord/rotatord/internal/pgdev"
	"github.com/rotatord/rotatord/migrations"
)

// database is a primary, its standby, and every line that leads to whichever
// is the primary.
type database struct {
	lossy            bool
	primary, standby *pgdev.Server
	dsn              *url.URL // of the daemon's database, at any server
	copies           int      // standbys made so far; each has a name of its own

	mu    sync.Mutex
	lines []*line.Line
}

// startDatabase brings up both servers and a database with the schema in it.
func startDatabase(ctx context.Context, lossy bool) (*database, error) {
	d := &database{lossy: lossy}
	if err := d.start(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *database) start(ctx context.Context) error {
	var err error
	if d.primary, err = pgdev.Start(ctx, pgdev.Options{}); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	dsn, err := d.primary.CreateDatabase(ctx, "torture", "")
	if err != nil {
		return err
	}
	if d.dsn, err = url.Parse(dsn); err != nil {
		return fmt.Errorf("reading the database URL: %w", err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connecting to migrate: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := migrations.Migrate(ctx, conn); err != nil {
		return err
	}
	return d.copy(ctx)
}

// lead is a new way to the primary, with the DSN to go it.
func (d *database) lead() (*line.Line, string, error) {
	p, err := line.New("")
	if err != nil {
		return nil, "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p.Point(address(d.primary))
	d.lines = append(d.lines, p)
	at := *d.dsn
	at.Host = p.Address()
	return p, at.String(), nil
}

// copy makes a new standby of the primary; commits wait for it from then on,
// unless they are to be lost.
func (d *database) copy(ctx context.Context) error {
	d.copies++
	name := fmt.Sprintf("standby%d", d.copies)
	var err error
	if d.standby, err = d.primary.Standby(ctx, name); err != nil {
		return err
	}
	if err := d.primary.AwaitStandby(ctx, name); err != nil {
		return err
	}
	if d.lossy {
		return nil
	}
	return d.primary.Synchronous(ctx, name)
}

// crash restarts the primary as in a crash.
func (d *database) crash(ctx context.Context) error { return d.primary.Restart(ctx, true) }

// fail over to the standby, and give it a standby of its own. Where commits do
// not wait for the standby, it has not listened for the given time.
func (d *database) failOver(ctx context.Context, unheard time.Duration) error {
	if d.lossy {
		if err := d.standby.Detach(ctx); err != nil {
			return err
		}
		<-time.After(unheard)
	} else if err := d.primary.AwaitStandby(ctx, fmt.Sprintf("standby%d", d.copies)); err != nil {
		// A cluster manager promotes a standby that is in step, and no other.
		return err
	}
	d.point("")
	if err := d.primary.Stop(); err != nil {
		return err
	}
	if err := d.standby.Promote(ctx); err != nil {
		return err
	}
	d.primary, d.standby = d.standby, nil
	d.point(address(d.primary))
	return d.copy(ctx)
}

// point leads every line elsewhere, and cuts it.
func (d *database) point(target string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.lines {
		p.Point(target)
		p.Cut()
	}
}

func (d *database) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.lines {
		p.Close()
	}
	var errs []error
	for _, s := range []*pgdev.Server{d.standby, d.primary} {
		if s != nil {
			errs = append(errs, s.Stop())
		}
	}
	return errors.Join(errs...)
}

func address(s *pgdev.Server) string {
	u, err := url.Parse(s.URL())
	if err != nil {
		panic(err) // it is pgdev's own
	}
	return u.Host
}
