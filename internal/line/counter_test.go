package line

import (
	"sync/atomic"
	"testing"
)

func TestCounter(t *testing.T) {
	c := &counter{statements: new(atomic.Int64)}
	startup := []byte{0, 0, 0, 8, 4, 210, 22, 47}
	query := append([]byte{'Q', 0, 0, 0, 6}, "S\x00"...)
	sync := []byte{'S', 0, 0, 0, 4}
	all := append(append(append([]byte{}, startup...), query...), sync...)
	for _, b := range all { // byte by byte
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.statements.Load(); n != 2 {
		t.Errorf("counted %d statements, want 2", n)
	}
}
