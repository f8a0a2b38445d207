package app

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/migrations"
)

// TestPolicyInsertedBySQLFires: everything a person has to do is two inserts.
func TestPolicyInsertedBySQLFires(t *testing.T) {
	r := newRig(t, 6).start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '@every 1s')`)
	r.enrol("treasury")
	eventually(t, "every wallet rotates twice", func() bool {
		return ask[int64](r, `SELECT coalesce(min(generation), 0) FROM wallet_status`) >= 2
	})
	r.exec(`UPDATE rotation_policies SET enabled = false`)
	eventually(t, "the last rotations end", func() bool {
		return ask[int64](r, `SELECT count(*) FROM wallet_status WHERE rotation_state <> 'waiting'`) == 0
	})
	// What was claimed before the edit may still open until the daemon is gone.
	r.stop()
	r.wantAgreement()
	if n := ask[int64](r, `SELECT count(*) FROM attention`); n != 0 {
		t.Errorf("%d wallets need attention, want none", n)
	}
}

// TestStopsInTheMiddle: a daemon that is stopped while it rotates leaves every
// wallet in order, and the next one goes on.
func TestStopsInTheMiddle(t *testing.T) {
	r := newRig(t, 8).start()
	r.exec(`INSERT INTO rotation_policies (name, schedule, max_concurrent) VALUES ('treasury', '@every 1s', 8)`)
	r.enrol("treasury")
	eventually(t, "rotations are under way", func() bool {
		return ask[int64](r, `SELECT count(*) FROM wallet_status WHERE rotation_state NOT IN ('waiting', 'failed')`) > 0
	})
	r.stop()
	if n := ask[int64](r, `SELECT count(*) FROM share_sets WHERE state = 'pending'`); n != 0 {
		t.Errorf("%d rotations were cut off although there was time", n)
	}
	r.wantRotatedFurther()
}

// wantRotatedFurther starts another daemon and sees every wallet rotate.
func (r *rig) wantRotatedFurther() {
	r.t.Helper()
	before := ask[int64](r, `SELECT min(generation) FROM wallet_status`)
	r.start()
	eventually(r.t, "every wallet rotates under the next daemon", func() bool {
		return ask[int64](r, `SELECT min(generation) FROM wallet_status`) > before
	})
	r.exec(`UPDATE rotation_policies SET enabled = false`)
	r.stop()
	r.wantAgreement()
}

// TestScheduleEditTakesEffect: by notification alone; the poll is far away.
func TestScheduleEditTakesEffect(t *testing.T) {
	r := newRig(t, 1)
	r.cfg.Scheduler.PollInterval = 30 * time.Second
	r.start()
	// Whoever edits before the daemon listens is heard too: it reads all then.
	r.exec(`INSERT INTO rotation_policies (name, schedule, timezone) VALUES ('treasury', '0 3 * * 0', 'Europe/Berlin')`)
	next := func() time.Time {
		return ask[time.Time](r, `SELECT coalesce(next_runs[1], 'epoch') FROM policy_status WHERE name = 'treasury'`)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next run is announced", func() bool { return next().Unix() > 0 })
	if at := next().In(berlin); at.Weekday() != time.Sunday || at.Hour() != 3 || at.Minute() != 0 {
		t.Errorf("the next run is at %s, want a Sunday at 03:00", at)
	}
	r.exec(`UPDATE rotation_policies SET schedule = '30 4 * * *' WHERE name = 'treasury'`)
	edited := time.Now()
	eventually(t, "the next run moves", func() bool { at := next().In(berlin); return at.Hour() == 4 && at.Minute() == 30 })
	if took := time.Since(edited); took > r.cfg.Scheduler.PollInterval/2 {
		t.Errorf("it took %s: that was the poll", took)
	}
}

// TestNameAndScheduleAreAPolicy: every other column has a default that runs.
func TestNameAndScheduleAreAPolicy(t *testing.T) {
	r := newRig(t, 1).start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '0 3 * * 0')`)
	eventually(t, "the policy is judged and announced", func() bool {
		return ask[int64](r, `SELECT coalesce(running_version, 0) FROM policy_status`) == 1 &&
			ask[bool](r, `SELECT cardinality(next_runs) > 0 FROM policy_status`)
	})
	if !ask[bool](r, `SELECT valid AND error IS NULL AND warnings = '{}' FROM policy_status`) {
		t.Errorf("the policy is not good as it is: %s", ask[string](r, `SELECT policy_status::text FROM policy_status`))
	}
}

// TestBadRowsHarmNothing: what would panic or spin in robfig/cron is put aside
// with a reason, and the others go on.
func TestBadRowsHarmNothing(t *testing.T) {
	r := newRig(t, 2).start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES
		('zone-only', 'TZ='), ('zone-without', 'CRON_TZ=UTC'), ('backwards', '@every -5h'), ('never', '0 0 30 2 *'), ('nonsense', 'every sunday')`)
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('good', '@every 1s')`)
	r.enrol("good")
	rotated := func(n int64) func() bool {
		return func() bool { return ask[int64](r, `SELECT min(generation) FROM wallet_status`) >= n }
	}
	eventually(t, "the good policy rotates beside the bad ones", rotated(1))
	for _, name := range []string{"zone-only", "zone-without", "backwards", "never", "nonsense"} {
		if !ask[bool](r, `SELECT NOT valid AND error <> '' AND running_version IS NULL AND next_runs = '{}' FROM policy_status WHERE name = $1`, name) {
			t.Errorf("policy %s: %s", name, ask[string](r, `SELECT policy_status::text FROM policy_status WHERE name = $1`, name))
		}
	}
	// A good policy that turns bad runs on as it was.
	r.exec(`UPDATE rotation_policies SET schedule = 'TZ=' WHERE name = 'good'`)
	eventually(t, "the bad edit is shown", func() bool {
		return ask[bool](r, `SELECT NOT valid AND error <> '' AND error NOT LIKE 'not looked at%' FROM policy_status WHERE name = 'good'`)
	})
	eventually(t, "the last good version goes on", rotated(ask[int64](r, `SELECT max(generation) FROM wallet_status`)+1))
	if status, body := r.get("/metrics"); status != 200 || !strings.Contains(body, `rotatord_policies{state="quarantined"} 6`) {
		t.Errorf("the metrics do not count the 6 bad policies (%d)", status)
	}
}

func TestSchemaThatDoesNotSuitIsRefused(t *testing.T) {
	r := newRig(t, 1)
	r.cfg.Database.URL = config.NewSecret(pgtest.NewEmpty(t))
	if _, err := New(t.Context(), r.cfg, Options{}); !errors.Is(err, migrations.ErrTooOld) || strings.Contains(err.Error(), "\n") {
		t.Errorf("an empty database gave %v, want one sentence about an old schema", err)
	}
	owner, err := pgx.Connect(t.Context(), r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.Background())
	if _, err := owner.Exec(t.Context(), `UPDATE rotatord_schema SET compatible_from = 9999`); err != nil {
		t.Fatal(err)
	}
	r.cfg.Database.URL = config.NewSecret(r.dsn)
	if _, err := New(t.Context(), r.cfg, Options{}); !errors.Is(err, migrations.ErrTooNew) || strings.Contains(err.Error(), "\n") {
		t.Errorf("a newer schema gave %v, want one sentence about it", err)
	}
}

// TestAutoMigrate: with a login of its own; the daemon's need not be able to.
func TestAutoMigrate(t *testing.T) {
	r := newRig(t, 1)
	empty := pgtest.NewEmpty(t)
	r.cfg.Database.URL = config.NewSecret(login(t, empty, "rotatord_app"))
	r.cfg.Database.MigrateURL = config.NewSecret(empty)
	r.cfg.Database.AutoMigrate = true
	r.start()
	r.wantLogged("database migrated")
	if status, body := r.get("/readyz"); status != 200 {
		t.Errorf("not ready after the migration: %d %s", status, body)
	}
	before, err := Migrate(t.Context(), empty)
	if err != nil || before != migrations.Latest {
		t.Errorf("migrating again found %d, %v, want %d", before, err, migrations.Latest)
	}
}

// TestNewFailsInOneSentence, and leaves nothing behind: goleak looks.
func TestNewFailsInOneSentence(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"nobody listens": {func(c *config.Config) { c.Database.URL = config.NewSecret("postgres://me:pw1@127.0.0.1:1/x") }, "PostgreSQL at 127.0.0.1:1 does not let me in"},
		"no such host":   {func(c *config.Config) { c.Database.URL = config.NewSecret("postgres://me:pw1@db.invalid/x") }, "db.invalid"},
		"not a URL":      {func(c *config.Config) { c.Database.URL = config.NewSecret("postgres://me:pw1@[/x") }, "database URL"},
		"migrating: no listener": {func(c *config.Config) {
			c.Database.AutoMigrate, c.Database.MigrateURL = true, config.NewSecret("postgres://me:pw1@127.0.0.1:1/x")
		}, "connecting to migrate"},
		"port taken":   {func(c *config.Config) { c.HTTP.Listen = taken.Addr().String() }, "address already in use"},
		"no provider":  {func(c *config.Config) { c.Providers = nil }, "providers is empty"},
		"no CA":        {func(c *config.Config) { c.CoSigners[0].TLS.CAFile = "missing.pem" }, "missing.pem"},
		"bad web file": {func(c *config.Config) { c.HTTP.WebConfigFile = "missing.yaml" }, "missing.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			c.change(r.cfg)
			_, err := New(t.Context(), r.cfg, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "pw1") {
				t.Errorf("the error is not one sentence without a secret: %q", err)
			}
		})
	}
}

// TestNothingSecretIsLogged, at the debug level, while it rotates and fails.
func TestNothingSecretIsLogged(t *testing.T) {
	r := newRig(t, 3).start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '@every 1s')`)
	r.enrol("treasury")
	eventually(t, "rotations succeed", func() bool { return ask[int64](r, `SELECT min(generation) FROM wallet_status`) > 0 })
	r.sandbox.RevokeJWTs()
	eventually(t, "rotations go on", func() bool { return ask[int64](r, `SELECT min(generation) FROM wallet_status`) > 2 })
	_, page := r.get("/metrics")
	r.stop()
	r.wantLogged("called the vendor")
	password, _ := pgPassword(t, r.dsn)
	for what, secret := range map[string]string{"the API token": r.info.Dynamic.APIToken,
		"the co-signer's token": r.info.Cosigner.Token, "the database's password": password} {
		if secret == "" || strings.Contains(r.log.String(), secret) || strings.Contains(page, secret) {
			t.Errorf("%s is in the log or in the metrics", what)
		}
	}
}

func pgPassword(t *testing.T, dsn string) (string, bool) {
	t.Helper()
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return c.Password, c.Password != ""
}
