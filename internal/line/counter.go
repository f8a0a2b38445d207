package line

import (
	"encoding/binary"
	"sync/atomic"
)

// counter reads what a client of PostgreSQL sends, as far as it takes to count
// statements: each ends with Sync, or is a simple Query (PostgreSQL manual,
// "Message Formats").
type counter struct {
	statements *atomic.Int64
	started    bool // the first message has no type
	header     []byte
	left       int // bytes of the message that are still to come
}

// Write implements [io.Writer]. It never fails.
func (c *counter) Write(b []byte) (int, error) {
	all := len(b)
	for len(b) > 0 {
		if c.left > 0 {
			n := min(c.left, len(b))
			c.left -= n
			b = b[n:]
			continue
		}
		want := 5
		if !c.started {
			want = 4
		}
		n := min(want-len(c.header), len(b))
		c.header, b = append(c.header, b[:n]...), b[n:]
		if len(c.header) < want {
			break
		}
		if c.started && (c.header[0] == 'S' || c.header[0] == 'Q') {
			c.statements.Add(1)
		}
		c.left = int(binary.BigEndian.Uint32(c.header[want-4:])) - 4
		c.started, c.header = true, nil
	}
	return all, nil
}
