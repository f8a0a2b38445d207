package rotation

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/migrations"
)

// databases that no test uses. Making one takes ten times as long as most tests
// here, so each is emptied and used again; they end with the server.
var databases struct {
	sync.Mutex
	idle []string
	made int
}

// database is the DSN of a database with the schema and nothing in it, for the
// time of a test.
func database(t *testing.T) string {
	t.Helper()
	databases.Lock()
	defer databases.Unlock()
	var dsn string
	if n := len(databases.idle); n > 0 {
		dsn, databases.idle = databases.idle[n-1], databases.idle[:n-1]
	} else {
		dsn = makeDatabase(t)
	}
	t.Cleanup(func() {
		if err := empty(dsn); err != nil {
			t.Errorf("emptying the database: %v", err)
			return
		}
		databases.Lock()
		defer databases.Unlock()
		databases.idle = append(databases.idle, dsn)
	})
	return dsn
}

func makeDatabase(t *testing.T) string {
	t.Helper()
	server := pgtest.Server(t)
	databases.made++
	var dsn string
	// Roles belong to the whole server.
	err := server.Exclusive(context.Background(), func(ctx context.Context) error {
		var err error
		if dsn, err = server.CreateDatabase(ctx, fmt.Sprintf("rotation_%d", databases.made), ""); err != nil {
			return err
		}
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		return migrations.Migrate(ctx, conn)
	})
	if err != nil {
		t.Fatalf("making a database: %v", err)
	}
	return dsn
}

// empty takes everything out that a test may have put in. Triggers that refuse
// it are asleep meanwhile.
func empty(dsn string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `
		SET session_replication_role = replica;
		DROP TABLE IF EXISTS kept_rotations, kept_state;
		DO $$
		DECLARE t regclass;
		BEGIN
			FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
			            AND relname <> 'rotation_control' AND relname NOT LIKE 'rotatord\_schema%' LOOP
				EXECUTE format('DELETE FROM %s', t);
			END LOOP;
		END $$;
		ALTER TABLE wallets ALTER COLUMN id RESTART`)
	return err
}
