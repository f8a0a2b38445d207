package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// changes are ways to change one column of one row, for every column. Row 2 has
// a value in each; row 1, the baseline, has none where it may.
var changes = map[string][]string{
	"wallet_id":       {`SET wallet_id = 77 WHERE seq = 2`, `SET wallet_id = -1 WHERE seq = 2`, `SET wallet_id = 77 WHERE seq = 3`},
	"seq":             {`SET seq = 4 WHERE seq = 2`, `SET seq = 4 WHERE seq = 3`, `SET seq = 1 WHERE seq = 2`, `SET seq = 0 WHERE seq = 1`, `SET seq = -2147483648 WHERE seq = 2`},
	"generation":      {`SET generation = generation + 1 WHERE seq = 2`, `SET generation = NULL WHERE seq = 1`},
	"policy_id":       {`SET policy_id = 4 WHERE seq = 2`, `SET policy_id = NULL WHERE seq = 2`, `SET policy_id = 0 WHERE seq = 2`},
	"outcome":         {`SET outcome = 'retired' WHERE seq = 2`, `SET outcome = NULL WHERE seq = 2`},
	"trigger":         {`SET trigger = 'manual' WHERE seq = 2`, `SET trigger = NULL WHERE seq = 2`, `SET trigger = '' WHERE seq = 1`},
	"tick":            times("tick", true),
	"opened_at":       times("opened_at", true),
	"decided_at":      times("decided_at", false),
	"rotation_id":     {`SET rotation_id = gen_random_uuid() WHERE seq = 2`, `SET rotation_id = NULL WHERE seq = 2`, `SET rotation_id = attempt_id WHERE seq = 2`},
	"attempt_id":      {`SET attempt_id = gen_random_uuid() WHERE seq = 2`, `SET attempt_id = NULL WHERE seq = 2`, `SET attempt_id = '00000000-0000-0000-0000-000000000000' WHERE seq = 1`},
	"share_set":       {`SET share_set = 'other' WHERE seq = 2`, `SET share_set = '' WHERE seq = 2`, `SET share_set = NULL WHERE seq = 2`},
	"replaced":        {`SET replaced = 'other' WHERE seq = 2`, `SET replaced = NULL WHERE seq = 2`, `SET replaced = '' WHERE seq = 1`},
	"key_fingerprint": {`SET key_fingerprint = '\x00' WHERE seq = 2`, `SET key_fingerprint = NULL WHERE seq = 2`, `SET key_fingerprint = '' WHERE seq = 2`},
	"actor":           {`SET actor = 'mallory' WHERE seq = 2`, `SET actor = actor || ' ' WHERE seq = 2`, `SET actor = NULL WHERE seq = 2`, `SET actor = '' WHERE seq = 1`},
	"vendor_said":     {`SET vendor_said = 'no' WHERE seq = 2`, `SET vendor_said = NULL WHERE seq = 2`, `SET vendor_said = '' WHERE seq = 1`},
	"hash":            {`SET hash = sha256('x') WHERE seq = 2`, `SET hash = sha256('x') WHERE seq = 3`, `SET hash = '' WHERE seq = 2`, `SET hash = NULL WHERE seq = 3`},
}

// times that are stored otherwise, also those that Go or the hash take for null.
func times(column string, nullable bool) []string {
	all := []string{`SET %[1]s = %[1]s + interval '1 microsecond' WHERE seq = 2`, `SET %[1]s = NULL WHERE seq = 2`, `SET %[1]s = 'infinity' WHERE seq = 2`,
		`SET %[1]s = '-infinity' WHERE seq = 3`, `SET %[1]s = '12026-01-01' WHERE seq = 2`, `SET %[1]s = '4000-01-01 BC' WHERE seq = 2`, `SET %[1]s = '0001-01-01 00:00:00+00' WHERE seq = 3`}
	if nullable {
		all = append(all, `SET %[1]s = '0001-01-01 00:00:00+00' WHERE seq = 1`, `SET %[1]s = 'infinity' WHERE seq = 1`)
	}
	for i := range all {
		all[i] = fmt.Sprintf(all[i], column)
	}
	return all
}

// others is everything that is no change of one column of wallet 20.
var others = []string{
	// Deletions.
	`DELETE FROM share_set_history WHERE wallet_id = 20 AND seq = 1`,
	`DELETE FROM share_set_history WHERE wallet_id = 20 AND seq = 2`,
	`DELETE FROM share_set_history WHERE wallet_id = 20 AND seq = 3`,
	`DELETE FROM share_set_history WHERE wallet_id = 20 AND seq > 1`,
	`DELETE FROM share_set_history WHERE wallet_id = 20`,
	// Insertions: a copy of a row, a row of one's own, at the end and between.
	`INSERT INTO share_set_history SELECT * FROM share_set_history WHERE wallet_id = 20 AND seq = 1`,
	`INSERT INTO share_set_history SELECT * FROM share_set_history WHERE wallet_id = 20 AND seq = 3`,
	`INSERT INTO share_set_history SELECT * FROM share_set_history WHERE wallet_id = 20`,
	`INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, hash) VALUES (20, 4, 3, 'activated', now(), 'mine', sha256('x'))`,
	`INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, hash) VALUES (20, 0, 0, 'baseline', now(), 'mine', sha256('x'))`,
	`UPDATE share_set_history SET seq = seq + 1 WHERE wallet_id = 20 AND seq > 1;
	 INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, hash) VALUES (20, 2, 3, 'activated', now(), 'mine', sha256('x'))`,
	// Reordering: two rows change places, and all turn round.
	`UPDATE share_set_history SET seq = 3 - seq WHERE wallet_id = 20 AND seq < 3`,
	`UPDATE share_set_history SET seq = 5 - seq WHERE wallet_id = 20 AND seq > 1`,
	`UPDATE share_set_history SET seq = 4 - seq WHERE wallet_id = 20`,
	// The gap after a deletion closed.
	`DELETE FROM share_set_history WHERE wallet_id = 20 AND seq = 2; UPDATE share_set_history SET seq = 2 WHERE wallet_id = 20 AND seq = 3`,
	// The head, and what stands beside it.
	`UPDATE wallet_state SET seq = 2 WHERE wallet_id = 20`,
	`UPDATE wallet_state SET seq = 4 WHERE wallet_id = 20`,
	`UPDATE wallet_state SET seq = 0, hash = '' WHERE wallet_id = 20`,
	`UPDATE wallet_state SET hash = sha256('x') WHERE wallet_id = 20`,
	`UPDATE wallet_state SET generation = 1 WHERE wallet_id = 20`,
	`UPDATE wallet_state SET active_share_set = 'mine' WHERE wallet_id = 20`,
	`UPDATE wallet_state SET public_key = '02ffff' WHERE wallet_id = 20`,
	`UPDATE wallet_state SET active_share_set = NULL, public_key = NULL WHERE wallet_id = 20`,
	`DELETE FROM wallet_state WHERE wallet_id = 20`,
	`DELETE FROM wallet_state WHERE wallet_id = 20; DELETE FROM share_set_history WHERE wallet_id = 20`,
	`INSERT INTO deleted_wallets (wallet_id, provider, external_id, seq, hash, deleted_by) SELECT wallet_id, 'dyn', 'w20', seq, hash, 'me' FROM wallet_state WHERE wallet_id = 20`,
	// Between cut and head no trace but the active share set.
	`DELETE FROM share_set_history WHERE wallet_id = 20 AND seq = 3;
	 UPDATE wallet_state SET seq = 2, hash = (SELECT hash FROM share_set_history WHERE wallet_id = 20 AND seq = 2) WHERE wallet_id = 20`,
}

// TestEveryChangeBySQLIsFound changes each column of the table in every way that
// SQL can, removes, adds and moves rows, and changes heads. Each is found, at
// the wallet where it was done, wherever a page happens to end.
func TestEveryChangeBySQLIsFound(t *testing.T) {
	f := newFleet(t)
	f.enrol(10, 20, 30, 40)
	f.grow(10, 2)
	f.grow(20, 3)
	f.grow(30, 3)
	restore := f.meddle()
	if _, breaks := f.verify(f, nil); len(breaks) > 0 {
		t.Fatalf("before anything was done: %v", breaks)
	}
	rows, err := f.owner.Query(t.Context(), `SELECT attname::text FROM pg_attribute WHERE attrelid = 'share_set_history'::regclass AND attnum > 0`)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		if len(changes[c]) == 0 {
			t.Errorf("nobody changes %s", c)
		}
	}
	tried := 0
	try := func(sql string, wallets ...int64) {
		t.Helper()
		f.exec(sql)
		tried++
		for _, s := range sizes {
			s.Source = f
			_, breaks := f.verify(s, nil)
			for _, id := range wallets {
				if !slices.ContainsFunc(breaks, func(b Break) bool { return b.WalletID == id }) {
					t.Errorf("pages of %d and %d: %s: nothing at wallet %d: %v", s.heads, s.rows, sql, id, breaks)
				}
			}
			for _, b := range breaks {
				if !slices.Contains(wallets, b.WalletID) {
					t.Errorf("pages of %d and %d: %s: %v", s.heads, s.rows, sql, b)
				}
			}
		}
		restore()
	}
	for _, c := range columns {
		for _, set := range changes[c] {
			wallets := []int64{20}
			switch {
			case strings.Contains(set, "wallet_id = 77"):
				wallets = append(wallets, 77)
			case strings.Contains(set, "wallet_id = -1"):
				wallets = append(wallets, -1)
			}
			try(`UPDATE share_set_history `+set+` AND wallet_id = 20`, wallets...)
		}
	}
	for _, sql := range others {
		try(sql, 20)
	}
	// Two wallets at a time: a row handed over, and the same rows exchanged.
	try(`UPDATE share_set_history SET wallet_id = 10 WHERE wallet_id = 20 AND seq = 3`, 10, 20)
	try(`UPDATE share_set_history SET wallet_id = 50 - wallet_id WHERE wallet_id IN (20, 30) AND seq = 2`, 20, 30)
	try(`UPDATE share_set_history SET wallet_id = 50 - wallet_id WHERE wallet_id IN (20, 30)`, 20, 30)
	try(`UPDATE share_set_history SET wallet_id = 40 WHERE wallet_id = 20`, 20, 40)
	try(`INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, hash) VALUES (25, 1, 0, 'baseline', now(), 'mine', sha256('x'))`, 25)
	try(`UPDATE wallet_state SET active_share_set = 'mine', public_key = 'x' WHERE wallet_id = 40`, 40)
	try(`DELETE FROM wallet_state`, 10, 20, 30, 40)
	try(`TRUNCATE share_set_history`, 10, 20, 30)
	if tried < 80 {
		t.Errorf("only %d changes were tried", tried)
	}
	if _, breaks := f.verify(f, nil); len(breaks) > 0 {
		t.Errorf("after everything was taken back: %v", breaks)
	}
}

// TestDeletedWalletsAreVerified against the head that they had.
func TestDeletedWalletsAreVerified(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, 2, 3)
	f.grow(1, 2)
	f.grow(2, 3)
	f.exec(`DELETE FROM wallets WHERE id IN (2, 3)`)
	r, breaks := f.verify(f, nil)
	if len(breaks) > 0 || r.Wallets != 2 || r.Rows != 5 || r.Looked != 3 {
		t.Fatalf("%+v, %v", r, breaks)
	}
	restore := f.meddle()
	for _, sql := range []string{
		`DELETE FROM share_set_history WHERE wallet_id = 2 AND seq = 3`, `DELETE FROM share_set_history WHERE wallet_id = 2`,
		`UPDATE share_set_history SET actor = 'x' WHERE wallet_id = 2 AND seq = 2`, `DELETE FROM deleted_wallets WHERE wallet_id = 2`,
		`UPDATE deleted_wallets SET seq = 2 WHERE wallet_id = 2`, `UPDATE deleted_wallets SET hash = '' WHERE wallet_id = 2`,
	} {
		f.exec(sql)
		_, breaks := f.verify(f, nil)
		wantOnly(t, sql, 2, breaks)
		restore()
	}
}

// TestWordsOfABreak: a line each that a person understands.
func TestWordsOfABreak(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, 2)
	f.grow(1, 5)
	f.grow(2, 1)
	restore := f.meddle()
	for sql, want := range map[string]string{
		`UPDATE share_set_history SET actor = 'x' WHERE seq = 3`:                "wallet 1, row 3: it is not what its hash was made of, or does not follow the row before it",
		`DELETE FROM share_set_history WHERE seq = 3`:                           "wallet 1: row 3 is missing",
		`DELETE FROM share_set_history WHERE seq IN (2, 3)`:                     "wallet 1: rows 2 to 3 are missing",
		`DELETE FROM share_set_history WHERE seq >= 3`:                          "wallet 1: rows 3 to 5 are missing at the end: the head on record is row 5\nwallet 1: share set set-1-4 is active on record, and set-1-1 by its history",
		`DELETE FROM share_set_history WHERE wallet_id = 2`:                     "wallet 2: row 1 is missing at the end: the head on record is row 1\nwallet 2: share set set-2-0 is active on record, and none by its history",
		`UPDATE share_set_history SET decided_at = 'infinity' WHERE seq = 5`:    "wallet 1, row 5: it holds a value that is never written",
		`UPDATE wallet_state SET seq = 4 WHERE wallet_id = 1`:                   "wallet 1: it goes on to row 5, and the head on record is row 4",
		`UPDATE wallet_state SET hash = '' WHERE wallet_id = 2`:                 "wallet 2: the head on record has another hash than the last row",
		`DELETE FROM wallet_state WHERE wallet_id = 2`:                          "wallet 2: it has no head on record",
		`UPDATE share_set_history SET wallet_id = 9 WHERE wallet_id = 2`:        "wallet 2: row 1 is missing at the end: the head on record is row 1\nwallet 2: share set set-2-0 is active on record, and none by its history\nwallet 9, row 1: it is not what its hash was made of, or does not follow the row before it\nwallet 9: it has 1 row and no head on record: no wallet of this id was ever known",
		`INSERT INTO share_set_history SELECT * FROM share_set_history LIMIT 1`: "wallet 1, row 1: there is another row with this number",
	} {
		f.exec(sql)
		_, breaks := f.verify(f, nil)
		var lines []string
		for _, b := range breaks {
			lines = append(lines, b.String())
		}
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", sql, got, want)
		}
		restore()
	}
}
