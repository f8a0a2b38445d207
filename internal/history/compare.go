package history

import (
	"bytes"
	"cmp"
	"fmt"
	"io"

	"github.com/rotatord/rotatord/internal/store"
)

// comparison holds the rows of a walk to those of a copy: each row of the copy
// must be there, unchanged. What the database has beyond it has been appended
// since, which the walk's own judgement covers.
type comparison struct {
	file      *CopyReader
	scope     Scope
	broken    func(Break)
	differing int64 // wallets
	told      bool  // of the wallet last
	last      int64

	next     Row
	over     bool // there is no next one
	run      bool // rows from to to of wallet last are missing, and not told yet
	from, to int32
}

// compare starts a comparison with a copy that has been checked.
func compare(file *CopyReader, scope Scope, broken func(Break)) (*comparison, error) {
	c := &comparison{file: file, scope: scope, broken: broken}
	return c, c.advance()
}

// row takes a row of the walk.
func (c *comparison) row(r store.StoredRow, previous []byte) error {
	for !c.over && before(c.next, r) {
		if err := c.miss(); err != nil {
			return err
		}
	}
	if c.over || c.next.WalletID != r.WalletID || c.next.Seq != r.Seq {
		return nil
	}
	if !c.same(r, previous) {
		c.tell(Break{r.WalletID, r.Seq, "it is not the row that the copy has"})
	}
	return c.advance()
}

// end takes what is left of the copy: the walk has no more rows.
func (c *comparison) end() error {
	for !c.over {
		if err := c.miss(); err != nil {
			return err
		}
	}
	c.flush()
	return nil
}

func before(a Row, b store.StoredRow) bool {
	return cmp.Or(cmp.Compare(a.WalletID, b.WalletID), cmp.Compare(a.Seq, b.Seq)) < 0
}

// same compares everything that is hashed, and the hash.
func (c *comparison) same(r store.StoredRow, previous []byte) bool {
	return r.Odd == c.next.Odd && bytes.Equal(r.Hash, c.next.Hash) &&
		bytes.Equal(r.HistoryRow.Hash(previous), c.next.HistoryRow.Hash(c.next.Previous))
}

// miss passes over the next row of the copy, which the database lacks. Rows that
// follow each other are told as one.
func (c *comparison) miss() error {
	if !c.run || c.next.WalletID != c.last || c.next.Seq != c.to+1 {
		c.flush()
		c.see(c.next.WalletID)
		c.run, c.from = true, c.next.Seq
	}
	c.to = c.next.Seq
	return c.advance()
}

func (c *comparison) flush() {
	if c.run {
		c.run = false
		c.tell(Break{WalletID: c.last, What: gone(c.from, c.to) + " in the copy and not in the database"})
	}
}

// see makes a wallet the one that is told of.
func (c *comparison) see(walletID int64) {
	if walletID != c.last {
		c.last, c.told = walletID, false
	}
}

func (c *comparison) tell(b Break) {
	c.flush()
	c.see(b.WalletID)
	if !c.told {
		c.told = true
		c.differing++
	}
	c.broken(b)
}

// advance reads the next row of the copy that is in the scope.
func (c *comparison) advance() error {
	for {
		r, err := c.file.Next()
		if err == io.EOF {
			c.over = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("comparing with the copy: %w", err)
		}
		if c.scope.has(r.WalletID) {
			c.next = r
			return nil
		}
	}
}
