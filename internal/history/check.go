package history

import (
	"bytes"
	"fmt"
	"io"
)

// CheckCopy judges a copy by itself: that it is whole, and that its rows are
// chained as they were when they were written. It tells broken of every break
// and returns the trailer. An error that wraps [ErrCopy] says that the file is
// no whole copy.
//
// That the rows are those of the database, and the file the one that was
// exported, it cannot know.
func CheckCopy(in io.Reader, broken func(Break)) (*Trailer, error) {
	file := NewCopyReader(in)
	var c *chain
	var beheaded Break // the first wallet that does not begin with row 1
	wallets := 0       // like it
	for {
		r, err := file.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if c == nil || c.walletID != r.WalletID {
			c = &chain{walletID: r.WalletID}
			if r.Seq > 1 {
				c.seq, c.hash = r.Seq-1, r.Previous
				if wallets++; wallets == 1 {
					beheaded = Break{WalletID: r.WalletID, What: gone(1, r.Seq-1) + " missing"}
				}
			}
		}
		if !bytes.Equal(r.Previous, c.hash) {
			broken(Break{r.WalletID, r.Seq, "the hash that it names as that of the row before is another one"})
		}
		c.add(r.StoredRow, broken)
	}
	t := file.Trailer()
	if wallets > 0 && t.Since == nil {
		if wallets > 1 {
			beheaded.What += fmt.Sprintf("; so are the beginnings of %d more wallets", wallets-1)
		}
		broken(beheaded)
	}
	return t, nil
}
