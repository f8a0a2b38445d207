package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// StoredRow is a row of the history as it is found, whoever wrote it.
type StoredRow struct {
	HistoryRow
	Hash []byte
	// Odd says that a column holds what the daemon never writes and what its
	// row's hash does not tell from something else: empty instead of null, null
	// where there is always a value, a time out of range. Constraints keep such
	// values out; who owns the database can take those away.
	Odd bool
}

// stamp is a time that can be hashed: Go's zero time stands for null, and what
// is before it or past the year 9999 cannot be written down in every format.
const stamp = `(%[1]s > '0001-01-01 00:00:00+00' AND %[1]s < '10000-01-01 00:00:00+00')`

// storedColumns are read whatever they hold, so that a row which was meddled
// with is found and does not end the search.
var storedColumns = func() string {
	times := map[string]string{}
	odd := []string{
		"generation IS NULL", "outcome IS NULL", "decided_at IS NULL", "share_set IS NULL", "hash IS NULL",
		"outcome = ''", "trigger = ''", "replaced = ''", "actor = ''", "vendor_said = ''", "length(key_fingerprint) = 0", "policy_id = 0",
		"rotation_id = '00000000-0000-0000-0000-000000000000'", "attempt_id = '00000000-0000-0000-0000-000000000000'",
	}
	for _, c := range []string{"tick", "opened_at", "decided_at"} {
		in := fmt.Sprintf(stamp, c)
		times[c] = "CASE WHEN " + in + " THEN " + c + " END"
		odd = append(odd, "NOT "+in)
	}
	return `wallet_id, seq, coalesce(generation, 0), coalesce(policy_id, 0), coalesce(outcome, ''), coalesce(trigger, ''),
		` + times["tick"] + `, ` + times["opened_at"] + `, ` + times["decided_at"] + `,
		coalesce(rotation_id, '00000000-0000-0000-0000-000000000000'), coalesce(attempt_id, '00000000-0000-0000-0000-000000000000'),
		coalesce(share_set, ''), coalesce(replaced, ''), key_fingerprint, coalesce(actor, ''), coalesce(vendor_said, ''),
		coalesce(hash, ''), coalesce(` + strings.Join(odd, " OR ") + `, false)`
}()

func scanStored(row pgx.CollectableRow) (r StoredRow, err error) {
	var tick, opened, decided *time.Time
	err = row.Scan(&r.WalletID, &r.Seq, &r.Generation, &r.PolicyID, &r.Outcome, &r.Trigger, &tick, &opened, &decided,
		&r.RotationID, &r.AttemptID, &r.ShareSet, &r.Replaced, &r.KeyFingerprint, &r.Actor, &r.VendorSaid, &r.Hash, &r.Odd)
	for _, t := range []struct{ from, to *time.Time }{{tick, &r.Tick}, {opened, &r.OpenedAt}, {decided, &r.DecidedAt}} {
		if t.from != nil {
			*t.to = *t.from
		}
	}
	return r, err
}
