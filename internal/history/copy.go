package history

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// ErrCopy says that a file is no whole copy of a history: it was cut or changed,
// or never was one.
var ErrCopy = errors.New("the copy cannot be relied on")

// copyFormat is the number of the file's format.
const copyFormat = 1

// longestLine bounds what one line may cost in memory. A row is some 700 bytes
// and what the vendor said.
const longestLine = 64 << 20

// Trailer is the last line of a copy.
type Trailer struct {
	Format int `json:"format"`
	// Schema is the migration that the database was at.
	Schema int `json:"schema"`
	// ExportedAt is the database's time when the export began: what was decided
	// before is in the copy.
	ExportedAt micros `json:"exported_at"`
	// OnlyWallets and Since say what the copy was limited to.
	OnlyWallets []int64 `json:"only_wallets,omitempty"`
	Since       *micros `json:"since,omitempty"`
	// Head pins the rows of the copy. That of an unlimited one is that of a
	// verification at the same time.
	Head
	// Last is the last row.
	Last Position `json:"last"`
	// Broken is for how many wallets the history did not verify when it was
	// exported.
	Broken int64 `json:"broken"`
	// SHA256 of all lines before this one.
	SHA256 Digest `json:"sha256"`
}

// Position of a row.
type Position struct {
	WalletID int64 `json:"wallet_id"`
	Seq      int32 `json:"seq"`
}

// CopyReader reads a copy row by row and checks its form on the way: the order
// of wallets, and in the end its length, its head and its checksum. It does not
// judge the rows; see CheckCopy.
type CopyReader struct {
	in      *bufio.Reader
	sum     hash.Hash
	lines   int
	tally   tally
	trailer *Trailer
}

// NewCopyReader reads from in.
func NewCopyReader(in io.Reader) *CopyReader {
	return &CopyReader{in: bufio.NewReaderSize(in, 1<<16), sum: sha256.New()}
}

// Trailer is nil until Next has returned io.EOF.
func (c *CopyReader) Trailer() *Trailer { return c.trailer }

// Next is the next row, or io.EOF behind the trailer of a whole file. Any other
// error of the content wraps [ErrCopy] and names the line.
func (c *CopyReader) Next() (Row, error) {
	text, err := c.line()
	if err != nil {
		return Row{}, err
	}
	var l line
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return Row{}, c.bad("%v", err)
	}
	if d.InputOffset() != int64(len(text)-1) {
		return Row{}, c.bad("it holds more than one JSON object")
	}
	if l.Trailer != nil {
		return Row{}, c.end(l)
	}
	c.sum.Write(text)
	r := l.row()
	if !c.tally.add(r) {
		return Row{}, c.bad("wallet %d comes after wallet %d", r.WalletID, c.tally.last.WalletID)
	}
	return r, nil
}

func (c *CopyReader) bad(format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrCopy, c.lines, fmt.Sprintf(format, args...))
}

// line is the next line with its end.
func (c *CopyReader) line() (text []byte, err error) {
	c.lines++
	for {
		part, err := c.in.ReadSlice('\n')
		switch text = append(text, part...); {
		case len(text) > longestLine:
			return nil, c.bad("it is longer than %d bytes", longestLine)
		case err == nil:
			return text, nil
		case err == io.EOF:
			return nil, c.bad("the file ends without a trailer: it was cut, or its export never came to its end")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("reading the copy: %w", err)
		}
	}
}

// end compares the trailer with what came before it.
func (c *CopyReader) end(l line) error {
	t := l.Trailer
	if t.Format != copyFormat {
		return c.bad("the copy has format %d, this version reads %d", t.Format, copyFormat)
	}
	if _, err := c.in.ReadByte(); err != io.EOF {
		return c.bad("something follows the trailer")
	}
	head, last := c.tally.end()
	switch {
	case t.SHA256 != Digest(c.sum.Sum(nil)):
		return c.bad("the trailer's sha256 is not that of the lines before it")
	case t.Head != head || t.Last != last:
		return c.bad("the trailer tells of %d rows of %d wallets and digest %s, the lines before it are %d, %d and %s",
			t.Rows, t.Wallets, t.Digest, head.Rows, head.Wallets, head.Digest)
	}
	c.trailer = t
	return io.EOF
}

// tally makes the head of rows that go by in order.
type tally struct {
	head Head
	rows int64 // of the last wallet
	last Position
	hash []byte
}

// add returns false when the row's wallet should have come before.
func (t *tally) add(r Row) bool {
	if t.rows > 0 && r.WalletID < t.last.WalletID {
		return false
	}
	if t.rows > 0 && r.WalletID > t.last.WalletID {
		t.close()
	}
	t.rows, t.last, t.hash = t.rows+1, Position{r.WalletID, r.Seq}, r.Hash
	return true
}

func (t *tally) close() {
	t.head.add(t.last.WalletID, t.last.Seq, t.hash, t.rows)
	t.rows = 0
}

func (t *tally) end() (Head, Position) {
	if t.rows > 0 {
		t.close()
	}
	return t.head, t.last
}
