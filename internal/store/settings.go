package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// longestPause is how long a replica may let a transaction of its stand still,
// thousands of times what one takes. Then the server ends it.
const longestPause = "5s"

// settle makes a new connection independent of the server's and the role's
// defaults. It is a statement and not part of the start-up message, because
// poolers refuse what they do not know there.
//
//   - Commits are synchronous: a share set that is promoted on a record that
//     was lost in a crash loses the key. What is stricter than on stays.
//   - Statements that waited for somebody else's row look at it again, which
//     is what read committed does.
//   - The hot statements are many rows by primary key. A plan made for the
//     parameters of one batch is never better, and sometimes far worse; nor is
//     one that reads the table of open rotations from end to end, because it
//     was made while that was empty. Where such a plan is the only one, it
//     costs so much in the planner's eyes that it would be compiled first.
//   - A replica whose process or machine stands still, or is gone without a
//     word, keeps no lock for long: it would keep all others from taking over
//     anything.
func settle(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `
		SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')
		                      WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
		       set_config('default_transaction_isolation', 'read committed', false),
		       set_config('plan_cache_mode', 'force_generic_plan', false),
		       set_config('enable_seqscan', 'off', false),
		       set_config('enable_bitmapscan', 'off', false),
		       set_config('idle_in_transaction_session_timeout', '`+longestPause+`', false),
		       set_config('jit', 'off', false)`); err != nil {
		return fmt.Errorf("preparing a connection: %w", err)
	}
	return nil
}
