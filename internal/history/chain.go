package history

import (
	"bytes"
	"fmt"

	"github.com/rotatord/rotatord/internal/store"
)

// Break is one thing that is wrong with a wallet's history.
type Break struct {
	WalletID int64 `json:"wallet_id"`
	// Seq of the row; 0 when it is not one row alone.
	Seq  int32  `json:"seq,omitempty"`
	What string `json:"what"`
}

// String is a line for people.
func (b Break) String() string {
	if b.Seq == 0 {
		return fmt.Sprintf("wallet %d: %s", b.WalletID, b.What)
	}
	return fmt.Sprintf("wallet %d, row %d: %s", b.WalletID, b.Seq, b.What)
}

// chain judges the rows of one wallet as they come. After a break it goes on
// from what stands there, so that each one is found and none is told twice.
type chain struct {
	walletID int64
	rows     int64
	seq      int32
	hash     []byte // of the row before, as stored
	// What the rows say about the wallet: the last share set that became
	// active.
	generation  int32
	active      string
	fingerprint []byte
	anyActive   bool
}

// add judges a row.
func (c *chain) add(r store.StoredRow, broken func(Break)) {
	say := func(format string, args ...any) { broken(Break{c.walletID, r.Seq, fmt.Sprintf(format, args...)}) }
	switch {
	case r.Seq < 1:
		say("no row has this number")
	case c.rows > 0 && r.Seq == c.seq:
		say("there is another row with this number")
	case r.Seq != c.seq+1:
		broken(Break{WalletID: c.walletID, What: gone(c.seq+1, r.Seq-1) + " missing"})
	case r.Odd:
		say("it holds a value that is never written")
	case !bytes.Equal(r.HistoryRow.Hash(c.hash), r.Hash):
		say("it is not what its hash was made of, or does not follow the row before it")
	}
	c.rows, c.seq, c.hash = c.rows+1, r.Seq, r.Hash
	switch r.Outcome {
	case store.Baseline, store.Activated, store.Reconciled:
		c.generation, c.active, c.fingerprint, c.anyActive = r.Generation, r.ShareSet, r.KeyFingerprint, true
	}
}

// end compares what the rows have come to with the wallet's heads on record, of
// which there must be one.
func (c *chain) end(heads []store.ChainHead, broken func(Break)) {
	say := func(format string, args ...any) {
		broken(Break{WalletID: c.walletID, What: fmt.Sprintf(format, args...)})
	}
	switch {
	case len(heads) == 0:
		say("it has %s and no head on record: no wallet of this id was ever known", plural(c.rows))
		return
	case len(heads) > 1:
		say("it has %d heads on record: it is both there and deleted", len(heads))
		return
	case heads[0].Lost:
		say("it has no head on record")
		return
	}
	h := heads[0]
	switch {
	case h.Seq > c.seq:
		say("%s missing at the end: the head on record is row %d", gone(c.seq+1, h.Seq), h.Seq)
	case h.Seq < c.seq:
		say("it goes on to row %d, and the head on record is row %d", c.seq, h.Seq)
	case !bytes.Equal(h.Hash, c.hash):
		say("the head on record has another hash than the last row")
	}
	if h.Deleted {
		return
	}
	c.compare(h, say)
}

// compare holds what the wallet's row says about the active share set to what
// the history says. Nothing of it is in a hash but through the history's rows.
func (c *chain) compare(h store.ChainHead, say func(string, ...any)) {
	if !c.anyActive {
		if h.ActiveShareSet != "" {
			say("share set %s is active on record, and none by its history", h.ActiveShareSet)
		}
		return
	}
	switch {
	case h.ActiveShareSet != c.active:
		say("share set %s is active on record, and %s by its history", h.ActiveShareSet, c.active)
	case h.Generation != c.generation:
		say("it is at generation %d on record, and at %d by its history", h.Generation, c.generation)
	case !bytes.Equal(store.KeyFingerprint(h.PublicKey), c.fingerprint):
		say("the public key on record is not that of its history")
	}
}

func gone(from, to int32) string {
	if from >= to {
		return fmt.Sprintf("row %d is", from)
	}
	return fmt.Sprintf("rows %d to %d are", from, to)
}

func plural(rows int64) string {
	if rows == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", rows)
}
