package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	// ErrNoVersion: a policy never had the version that was asked for.
	ErrNoVersion = errors.New("there is no such version")
	// ErrEditedMeanwhile: a row is not what it was when a person looked.
	ErrEditedMeanwhile = errors.New("the policy was edited meanwhile: look again")
)

// PolicyEdit is one edit of a row of rotation_policies.
type PolicyEdit struct {
	PolicyID  int32
	Version   int64 // that it made; of a deletion, the last one
	Operation string
	At        time.Time
	// SessionUser is the login, Actor who used it and Reason why, where the login
	// said so.
	SessionUser, Actor, Reason string
	// Old and New row, by column; nil where there is none.
	Old, New map[string]any
	// Running says that this version runs, Judged that a daemon has judged it,
	// and Error what it found wrong. Verdicts on versions before are not kept.
	Running, Judged bool
	Error           string
}

// asRow reads a row that was kept as JSON as the table has it now, so that two
// rows compare whatever style of intervals they were kept in.
const asRow = `CASE WHEN %[1]s IS NOT NULL THEN to_jsonb(jsonb_populate_record(NULL::rotation_policies, %[1]s)) END`

var policyEditsSQL = `
WITH live AS (SELECT id FROM rotation_policies WHERE name = $1),
     this AS (SELECT id FROM live UNION ALL
              (SELECT policy_id FROM rotation_policy_edits
                WHERE operation = 'delete' AND old_row->>'name' = $1 AND NOT EXISTS (SELECT FROM live)
                ORDER BY id DESC LIMIT 1))
SELECT e.policy_id, e.version, e.operation, e.edited_at, e.session_user_name, coalesce(e.actor, ''), coalesce(e.reason, ''),
       ` + fmt.Sprintf(asRow, "e.old_row") + `, ` + fmt.Sprintf(asRow, "e.new_row") + `,
       coalesce(s.running_version = e.version, false), coalesce(s.judged_version = e.version, false),
       CASE WHEN s.judged_version = e.version THEN coalesce(s.error, '') ELSE '' END
  FROM this JOIN rotation_policy_edits e ON e.policy_id = this.id
  LEFT JOIN running_policies s ON s.policy_id = e.policy_id
 ORDER BY e.id DESC LIMIT nullif($2, 0)`

// PolicyEdits reads the edits of the policy of a name, the latest ones first and
// at most so many (0: all). If there is none now, it is the one that had the
// name last. [ErrNoPolicy]
func (r *Reader) PolicyEdits(ctx context.Context, name string, limit int) ([]PolicyEdit, error) {
	rows, err := r.conn.Query(ctx, policyEditsSQL, name, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the edits of policy %s: %w", name, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PolicyEdit])
	if err != nil {
		return nil, fmt.Errorf("reading the edits of policy %s: %w", name, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNoPolicy, name)
	}
	return all, nil
}

// Reversal is a row of rotation_policies, and what it would be if it went back
// to a version before.
type Reversal struct {
	PolicyID int32
	Version  int64 // of the row now
	To       int64
	Now      map[string]any // by column
	Then     map[string]any // the same with the values of version To
}

// reverted are the columns that a reversal sets. The others say which row it is,
// or whether a person has stopped it: going back to an old version must not
// start what somebody has stopped since.
const reverted = `schedule, timezone, run_window, spread, canary, max_share_age, max_concurrent, max_per_minute, max_attempts, failure_budget`

// Reversal reads what reverting a policy to a version would change; it changes
// nothing. [ErrNoPolicy], [ErrNoVersion]
func (o *Operator) Reversal(ctx context.Context, name string, to int64) (*Reversal, error) {
	v := Reversal{To: to}
	var last *int64
	err := o.conn.QueryRow(ctx, `
		SELECT p.id, p.version, to_jsonb(p), to_jsonb(jsonb_populate_record(p, e.new_row)), e.version
		  FROM rotation_policies p
		  LEFT JOIN rotation_policy_edits e ON e.policy_id = p.id AND e.version = $2 AND e.operation <> 'delete'
		 WHERE p.name = $1`, name, to).Scan(&v.PolicyID, &v.Version, &v.Now, &v.Then, &last)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, fmt.Errorf("%w: %q", ErrNoPolicy, name)
	case err != nil:
		return nil, fmt.Errorf("reading version %d of policy %s: %w", to, name, allowed(err))
	case last == nil:
		return nil, fmt.Errorf("%w: policy %s has versions 1 to %d, not %d", ErrNoVersion, name, v.Version, to)
	}
	for _, column := range []string{"id", "name", "enabled", "paused_reason", "version", "updated_at", "updated_by"} {
		v.Then[column] = v.Now[column]
	}
	return &v, nil
}

// Revert takes a policy back to the version of a Reversal, as actor and for a
// reason, by an ordinary edit, and returns the version that this made.
// [ErrEditedMeanwhile] when the row is not the one that the Reversal read.
func (o *Operator) Revert(ctx context.Context, v *Reversal, actor, reason string) (version int64, err error) {
	err = pgx.BeginFunc(ctx, o.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('rotatord.actor', $1, true), set_config('rotatord.reason', $2, true)`, actor, reason); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			UPDATE rotation_policies p SET (`+reverted+`) = (
			       SELECT `+reverted+` FROM rotation_policy_edits e, jsonb_populate_record(p, e.new_row)
			        WHERE e.policy_id = p.id AND e.version = $3 AND e.operation <> 'delete')
			 WHERE p.id = $1 AND p.version = $2 RETURNING p.version`, v.PolicyID, v.Version, v.To).Scan(&version)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrEditedMeanwhile
	}
	if err != nil {
		return 0, fmt.Errorf("reverting policy %d to version %d: %w", v.PolicyID, v.To, allowed(err))
	}
	return version, nil
}
