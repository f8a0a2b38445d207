package app

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// recipes are the statements of docs/sql.md, by the heading above them.
func recipes(t *testing.T) map[string][]string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, section := range regexp.MustCompile(`(?m)^#+ `).Split(string(doc), -1)[1:] {
		heading, body, _ := strings.Cut(section, "\n")
		if _, twice := all[heading]; twice {
			t.Fatalf("docs/sql.md has the heading %q twice", heading)
		}
		for _, block := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(body, -1) {
			all[heading] = append(all[heading], block[1])
		}
	}
	maps.DeleteFunc(all, func(_ string, blocks []string) bool { return len(blocks) == 0 })
	return all
}

// cookbook runs the recipes against a daemon, as the people for whom they are.
type cookbook struct {
	*rig
	recipes  map[string][]string
	cooked   map[string]int // how many statements of a recipe were run
	readonly *pgx.Conn
}

// run runs the n-th statement of a recipe: one that only reads as
// rotatord_readonly, any other as rotatord_operator. It returns what the person
// sees.
func (c *cookbook) run(heading string, n int) []map[string]any {
	c.t.Helper()
	if n > len(c.recipes[heading]) {
		c.t.Fatalf("docs/sql.md has %d statements under %q, want the %d-th", len(c.recipes[heading]), heading, n)
	}
	c.cooked[heading] = max(c.cooked[heading], n)
	sql := c.recipes[heading][n-1]
	// The document's wallets are two of the sandbox's.
	for i, w := range c.sandbox.State()[:2] {
		sql = strings.NewReplacer(documented[i].id, w.ID, documented[i].address, w.Address).Replace(sql)
	}
	conn := c.people
	if strings.HasPrefix(sql, "SELECT") {
		conn = c.readonly
	}
	if heading == "SQL recipes" {
		for _, statement := range strings.SplitAfter(sql, "\n") {
			c.exec(statement)
		}
		return nil
	}
	rows, err := conn.Query(c.t.Context(), sql)
	if err != nil {
		c.t.Fatalf("%s: %v", heading, err)
	}
	seen, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", heading, err, sql)
	}
	return seen
}

var documented = []struct{ id, address string }{
	{"95b11417-f18f-457f-8804-68e361f9164f", "0x71C7656EC7ab88b098defB751B7401B5f6d8976F"},
	{"b7d0a3e4-2c55-4c1e-9b0f-0f6f3f6f2a11", "0x2546BcD3c84621e976D8185a91A922aE77ECEc30"},
}

// request runs a recipe that leaves one request, and returns the answer.
func (c *cookbook) request(heading string, n int) string {
	c.t.Helper()
	return c.answer(c.run(heading, n)[0]["id"].(int64))
}

// answer waits until a request is answered.
func (c *cookbook) answer(id int64) (text string) {
	c.t.Helper()
	eventually(c.t, "the request is answered", func() bool {
		text = ask[string](c.rig, `SELECT coalesce((SELECT state || ': ' || detail FROM request_status WHERE request_id = $1), '')`, id)
		return text != ""
	})
	return text
}

// rotate asks for a rotation of a wallet, outside the document.
func (c *cookbook) rotate(walletID int64) string {
	c.t.Helper()
	return c.answer(ask[int64](c.rig, `INSERT INTO rotation_requests (action, wallet_id) VALUES ('rotate', $1) RETURNING id`, walletID))
}

// want compares what was said.
func (c *cookbook) want(got, prefix string) {
	c.t.Helper()
	if !strings.HasPrefix(got, prefix) {
		c.t.Errorf("got %q, want %q", got, prefix)
	}
}

// generation is how often the vendor swapped a wallet's share set, in truth.
func (c *cookbook) generation(walletID int64) int {
	c.t.Helper()
	external := ask[string](c.rig, `SELECT external_id FROM wallets WHERE id = $1`, walletID)
	for _, w := range c.sandbox.State() {
		if w.ID == external {
			return w.Generation
		}
	}
	c.t.Fatalf("wallet %d is not at the vendor", walletID)
	return 0
}

// rotated waits until a wallet was rotated n times or more and nothing is open for
// it.
func (c *cookbook) rotated(walletID int64, n int) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("wallet %d is rotated %d times", walletID, n), func() bool {
		return c.generation(walletID) >= n && c.state(walletID) == ""
	})
}

// state of a wallet's open rotation; empty: there is none.
func (c *cookbook) state(walletID int64) string {
	c.t.Helper()
	return ask[string](c.rig, `SELECT coalesce(rotation_state, '') FROM wallet_status WHERE wallet_id = $1`, walletID)
}

// heeded waits until the daemon has read what is paused. It does so at the
// beginning of each round and answers requests later in it: what is asked after
// an answer meets a round that began after the pause.
func (c *cookbook) heeded() {
	c.t.Helper()
	c.want(c.answer(ask[int64](c.rig, `INSERT INTO rotation_requests (action, wallet_id) VALUES ('abort', 1) RETURNING id`)), "refused: wallet 1 has no open rotation")
}

// parked waits until the daemon has put a rotation back because of a pause.
func (c *cookbook) parked(walletID int64) {
	c.t.Helper()
	eventually(c.t, "the rotation is parked", func() bool {
		return ask[bool](c.rig, `SELECT rotation_state = 'waiting' AND coalesce(next_check > clock_timestamp() + interval '2 s', false) FROM wallet_status WHERE wallet_id = $1`, walletID)
	})
}

// fails makes rotations of wallets fail until mended.
func (c *cookbook) fails(operation string, wallets ...int64) {
	c.t.Helper()
	var list []faults.Fault
	for _, id := range wallets {
		list = append(list, faults.Fault{Operation: operation, Kind: faults.Status, Status: 500,
			Wallet: ask[string](c.rig, `SELECT external_id FROM wallets WHERE id = $1`, id)})
	}
	if err := c.sandbox.SetFaults(list...); err != nil {
		c.t.Fatal(err)
	}
}
