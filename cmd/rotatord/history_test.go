package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/history"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/store"
)

// past is a database with the histories of two wallets, and one without.
type past struct {
	t     *testing.T
	dsn   string // of rotatord_readonly
	owner *pgx.Conn
}

func newPast(t *testing.T) *past {
	t.Helper()
	dsn := pgtest.New(t)
	p := &past{t: t, dsn: inRole(t, dsn, "rotatord_readonly"), owner: connect(t, dsn)}
	p.exec(`INSERT INTO wallets (id, provider, external_id) VALUES (1, 'dyn', 'a'), (2, 'dyn', 'b'), (3, 'dyn', 'c')`)
	p.write(1, "alice", 3)
	p.write(2, "alice", 2)
	return p
}

func (p *past) exec(sql string, args ...any) {
	p.t.Helper()
	if _, err := p.owner.Exec(p.t.Context(), sql, args...); err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
}

// write writes a whole chain, as the daemon would, or somebody who owns the
// database.
func (p *past) write(walletID int64, actor string, rows int) {
	p.t.Helper()
	p.exec(`ALTER TABLE share_set_history DISABLE TRIGGER USER`)
	p.exec(`DELETE FROM share_set_history WHERE wallet_id = $1`, walletID)
	p.exec(`ALTER TABLE share_set_history ENABLE TRIGGER USER`)
	var head store.Head
	for n := range rows {
		r := store.HistoryRow{WalletID: walletID, Outcome: store.Baseline, Generation: int32(n), DecidedAt: time.Date(2026, 3, n+1, 0, 0, 0, 0, time.UTC),
			ShareSet: fmt.Sprintf("set-%d", n), KeyFingerprint: store.KeyFingerprint("02aa"), Actor: actor}
		e := store.Follow(head, r)
		head = e.Head(head)
		p.exec(`INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, key_fingerprint, actor, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			walletID, head.Seq, r.Generation, r.Outcome, r.DecidedAt, r.ShareSet, r.KeyFingerprint, actor, head.Hash)
	}
	p.exec(`UPDATE wallet_state SET seq = $2, hash = $3, generation = $4, active_share_set = $5, public_key = '02aa' WHERE wallet_id = $1`,
		walletID, head.Seq, head.Hash, head.Generation, head.ActiveShareSet)
}

// run runs a command on the database, as a login that may only read.
func (p *past) run(args ...string) result {
	p.t.Helper()
	return rotatord(p.t.Context(), nil, append(args, "--database-url", p.dsn)...)
}

func (p *past) tamper(sql string) {
	p.t.Helper()
	p.exec(`ALTER TABLE share_set_history DISABLE TRIGGER USER;` + sql)
}

// verified is what -o json prints.
type verified struct {
	Breaks []history.Break
	Result history.Report
}

func TestVerifyHistory(t *testing.T) {
	p := newPast(t)
	whole := p.run("verify-history")
	whole.want(t, 0, "Whole: 2 wallets with 5 rows verify, and 1 have no row.\ndigest ")
	if !strings.Contains(whole.stderr, `level=INFO msg="history verified" complete=true wallets=2 rows=5 digest=`) {
		t.Errorf("nothing is left in a log: %q", whole.stderr)
	}
	config := filepath.Join(t.TempDir(), "rotatord.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "database: {url: %q}\n", p.dsn), 0o600); err != nil {
		t.Fatal(err)
	}
	if byConfig := rotatord(t.Context(), nil, "verify-history", "--config", config); byConfig.stdout != whole.stdout {
		t.Errorf("by a configuration: %+v", byConfig)
	}
	p.run("verify-history", "--wallet", "2").want(t, 0, "Whole: 1 wallets with 2 rows verify.\n")
	p.run("verify-history", "--wallet", "2,1", "--wallet", "2").want(t, 0, "Whole: 2 wallets with 5 rows verify.\n")
	p.run("verify-history", "--provider", "dyn", "--external-id", "a").want(t, 0, "Whole: 1 wallets with 3 rows verify.\n")
	p.run("verify-history", "--from-wallet", "2").want(t, 0, "Whole: 1 wallets with 2 rows verify, and 1 have no row.\n")

	p.tamper(`UPDATE share_set_history SET actor = 'mallory' WHERE wallet_id = 1 AND seq = 2; DELETE FROM share_set_history WHERE wallet_id = 2`)
	broken := p.run("verify-history")
	broken.want(t, 1, `wallet 1, row 2: it is not what its hash was made of, or does not follow the row before it
wallet 2: rows 1 to 2 are missing at the end: the head on record is row 2
wallet 2: share set set-1 is active on record, and none by its history
Broken: the history of 2 wallets does not verify; 1 wallets with 3 rows were read, and 2 have no row.
`)
	p.run("verify-history", "--wallet", "3").want(t, 0, "Whole: 0 wallets with 0 rows verify, and 1 have no row.\n")
	for args, breaks := range map[string]int{"": 3, "--from-wallet 2": 2, "--wallet 1": 1, "--wallet 3": 0} {
		r := p.run(append([]string{"verify-history", "-o", "json"}, strings.Fields(args)...)...)
		var v verified
		if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
			t.Fatalf("%s: %v: %s", args, err, r.stdout)
		}
		if len(v.Breaks) != breaks || !v.Result.Complete || (v.Result.Broken == 0) != (breaks == 0) || (r.code == 0) != (breaks == 0) {
			t.Errorf("%s: %+v, code %d", args, v, r.code)
		}
	}
}

// TestExportThenVerify: the copy finds what the database does not show.
func TestExportThenVerify(t *testing.T) {
	p := newPast(t)
	file := filepath.Join(t.TempDir(), "history.jsonl")
	r := p.run("export", "--output", file)
	r.want(t, 0, "")
	if r.stdout != "" || !strings.Contains(r.stderr, `msg="history exported" complete=true wallets=2 rows=5`) {
		t.Errorf("got %+v", r)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	onScreen := p.run("export")
	lines := strings.SplitAfter(onScreen.stdout, "\n")
	if !strings.HasPrefix(string(data), strings.Join(lines[:5], "")) || len(lines) != 7 {
		t.Errorf("standard output and the file differ:\n%s\n%s", onScreen.stdout, data)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	rotatord(t.Context(), nil, "verify-history", "--file", file).want(t, 0, "The copy is whole: 2 wallets with 5 rows, exported ")
	p.run("verify-history", "--against", file).want(t, 0, "\nEvery row of the copy is there, unchanged.\n")
	p.run("export", "--wallet", "2", "--since", "2026-03-02").want(t, 0, `{"trailer":{"format":1,"schema":`)
	p.run("export", "--format", "csv").want(t, 0, "previous,wallet_id,seq,")
	written := p.run("export", "--output", file)
	if written.want(t, 2, ""); !strings.Contains(written.stderr, "exists already") {
		t.Errorf("a copy was written over: %+v", written)
	}

	p.write(1, "mallory", 3)
	p.run("verify-history").want(t, 0, "Whole: ")
	rewritten := p.run("verify-history", "--against", file)
	rewritten.want(t, 1, "wallet 1, row 1: it is not the row that the copy has\n")
	rewritten.want(t, 1, "\nThe history of 1 wallets is not the one in the copy.\n")
	p.write(1, "alice", 2)
	p.run("verify-history").want(t, 0, "Whole: ")
	var v verified
	cut := p.run("verify-history", "--against", file, "-o", "json")
	if err := json.Unmarshal([]byte(cut.stdout), &v); err != nil || cut.code != 1 || v.Result.Differing != 1 || v.Result.Broken != 0 ||
		len(v.Breaks) != 1 || v.Breaks[0].String() != "wallet 1: row 3 is in the copy and not in the database" {
		t.Errorf("%v: %+v, %+v", err, cut, v)
	}

	// What is broken is exported as it stands, and said.
	p.tamper(`UPDATE share_set_history SET actor = 'x' WHERE wallet_id = 2 AND seq = 1`)
	second := filepath.Join(t.TempDir(), "second.jsonl")
	broken := p.run("export", "--output", second)
	if broken.want(t, 1, ""); !strings.Contains(broken.stderr, "wallet 2, row 1: ") || !strings.Contains(broken.stderr, "it was exported as it stands") {
		t.Errorf("got %+v", broken)
	}
	rotatord(t.Context(), nil, "verify-history", "--file", second).want(t, 1, "wallet 2, row 1: ")

	// A copy that was cut cannot be compared with, and is itself broken.
	if err := os.WriteFile(file, data[:len(data)-300], 0o600); err != nil {
		t.Fatal(err)
	}
	alone := rotatord(t.Context(), nil, "verify-history", "--file", file)
	if alone.want(t, 1, ""); !strings.Contains(alone.stderr, "the file ends without a trailer") {
		t.Errorf("got %+v", alone)
	}
	p.run("verify-history", "--against", file).want(t, 2, "")
}

// TestHistoryThatCannotBeTold: exit code 2, one sentence, nothing on standard
// output and no file.
func TestHistoryThatCannotBeTold(t *testing.T) {
	p := newPast(t)
	dir := t.TempDir()
	empty, nobody := pgtest.NewEmpty(t), "postgres://me:s3cret@127.0.0.1:1/x"
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGINT})
	for args, want := range map[string]string{
		"verify-history":                          "which database?",
		"export":                                  "which database?",
		"verify-history --config none.yaml":       "no such file",
		"verify-history --database-url " + nobody: "PostgreSQL at 127.0.0.1:1 does not let me in",
		"export --output " + dir + "/x.jsonl --database-url " + nobody:          "PostgreSQL at 127.0.0.1:1 does not let me in",
		"verify-history --database-url " + empty:                                "run rotatord migrate",
		"verify-history --wallet 9 --database-url " + p.dsn:                     "there is no such wallet",
		"verify-history --provider dyn --external-id z --database-url " + p.dsn: "there is no such wallet",
		"verify-history --provider dyn --database-url " + p.dsn:                 "give both",
		"export --provider dyn --external-id a --wallet 1 --database-url x":     "give one",
		"verify-history --against " + dir + "/none --database-url " + p.dsn:     "no such file",
		"verify-history --against " + dir + " --database-url " + p.dsn:          "is a directory",
		"verify-history --file " + dir + "/none":                                "no such file",
		"verify-history --file " + dir:                                          "is a directory",
		"verify-history --file x --wallet 1":                                    "leave out what is about a database",
		"export --since yesterday --database-url x":                             `"yesterday" is not a time`,
		"export --format xml --database-url x":                                  "write jsonl or csv",
		"export --output " + dir + "/none/x --database-url " + p.dsn:            "no such file",
	} {
		r := rotatord(t.Context(), nil, strings.Fields(args)...)
		r.want(t, 2, "")
		if !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" || strings.Contains(r.stderr, "s3cret") {
			t.Errorf("%s: %+v, want one sentence with %q", args, r, want)
		}
	}
	for _, command := range []string{"verify-history", "export --output " + dir + "/y.jsonl"} {
		if r := rotatord(ended, nil, append(strings.Fields(command), "--database-url", p.dsn)...); r.code != 130 || r.stdout != "" {
			t.Errorf("%s after Ctrl-C: %+v", command, r)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestVerdict: what was found outweighs what went wrong, and a walk that was
// stopped says where to go on.
func TestVerdict(t *testing.T) {
	live, ended := context.Background(), context.Background()
	ended, cancel := context.WithCancelCause(ended)
	cancel(interrupted{syscall.SIGINT})
	down := errors.New("the database is down")
	half := &history.Report{Looked: 5, Next: 17}
	for _, c := range []struct {
		name   string
		ctx    context.Context
		report *history.Report
		broken bool
		err    error
		code   int
		words  string
	}{
		{"whole", live, &history.Report{Complete: true}, false, nil, 0, ""},
		{"broken", live, &history.Report{Complete: true}, true, nil, 1, ""},
		{"down at once", live, &history.Report{}, false, down, 2, "the database is down"},
		{"down half-way", live, half, false, down, 2, "the database is down; stopped before wallet 17: go on with --from-wallet 17"},
		{"broken and down", live, half, true, down, 1, "go on with --from-wallet 17"},
		{"stopped", ended, half, false, context.Canceled, 130, "go on with --from-wallet 17"},
		{"broken and stopped", ended, half, true, context.Canceled, 1, "go on with --from-wallet 17"},
		{"a signal too late", ended, &history.Report{Complete: true}, false, nil, 0, ""},
	} {
		err := verdict(c.ctx, c.report, c.broken, c.err)
		var coded *exit
		if errors.As(err, &coded); c.code == 0 && err != nil || c.code != 0 && (coded == nil || coded.code != c.code || !strings.Contains(coded.Error(), c.words)) {
			t.Errorf("%s: %v, want %d and %q", c.name, err, c.code, c.words)
		}
	}
}

func TestProgress(t *testing.T) {
	for _, c := range []struct {
		next, first, last int64
		elapsed           time.Duration
		want              string
	}{
		{-1 << 63, 1, 100, 0, "[..............................]   0 %"},
		{1, 1, 100, time.Second, "[..............................]   0 %"},
		{26, 1, 100, time.Minute, "[#######.......................]  25 %, 3m0s left,"},
		{100, 1, 100, time.Minute, "[#############################.]  99 %, 1s left,"},
		{1<<63 - 1, 1, 100, time.Minute, "[##############################] 100 %"},
		{5, 0, -1, time.Minute, "[##############################] 100 %"},
	} {
		if got := bar(share(c.next, c.first, c.last), c.elapsed); got != c.want {
			t.Errorf("%d of %d to %d: %q, want %q", c.next, c.first, c.last, got, c.want)
		}
	}
	var out bytes.Buffer
	long := time.Now().Add(-time.Hour)
	p := &progress{out: &out, began: long, shown: long}
	report := &history.Report{Head: history.Head{Wallets: 3, Rows: 7}, Next: 51}
	p.show(report, 1, 100)
	p.show(report, 1, 100) // too soon
	p.clear()
	p = &progress{out: &out, terminal: true, began: time.Now().Add(-time.Minute), shown: long}
	p.show(report, 1, 100)
	p.clear()
	p.clear()
	if got, want := out.String(), "3 wallets with 7 rows so far\n\r\x1b[K[###############...............]  50 %, 1m0s left, 3 wallets with 7 rows\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
