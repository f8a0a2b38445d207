package scheduler

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a scheduler and its database. It can break every
// connection, or let them all hang, and counts the statements that pass.
type proxy struct {
	dsn        string
	target     string
	listener   net.Listener
	statements atomic.Int64

	hang   sync.RWMutex // write-locked: nothing passes
	mu     sync.Mutex
	down   bool
	frozen bool
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

func newProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: u.Host, conns: map[net.Conn]bool{}}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	p.dsn = u.String()
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		p.listener.Close()
		p.thaw()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// cut breaks all connections and takes no new ones until heal.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// freeze lets all connections hang until thaw.
func (p *proxy) freeze() {
	p.hang.Lock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen {
		p.frozen = false
		p.hang.Unlock()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// keep remembers a connection, unless the proxy is down.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.down {
		p.conns[c] = true
	}
	return !p.down
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Close()
	delete(p.conns, c)
}

func (p *proxy) serve(client net.Conn) {
	defer p.drop(client)
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(client) || !p.keep(server) {
		return
	}
	count := &counter{statements: &p.statements}
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, client, count.feed) })
	both.Go(func() { p.pass(client, server, func([]byte) {}) })
	both.Wait()
}

func (p *proxy) pass(to, from net.Conn, saw func([]byte)) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.hang.RLock()
		saw(buffer[:n])
		_, failed := to.Write(buffer[:n])
		p.hang.RUnlock()
		if err := errors.Join(err, failed); err != nil && !errors.Is(err, io.ErrShortWrite) {
			return
		}
	}
}

// counter reads what a client of PostgreSQL sends, as far as it takes to count
// statements: each ends with Sync, or is a simple Query.
type counter struct {
	statements *atomic.Int64
	started    bool // the first message has no type
	header     []byte
	left       int // bytes of the message that are still to come
}

func (c *counter) feed(b []byte) {
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
			return
		}
		if c.started && (c.header[0] == 'S' || c.header[0] == 'Q') {
			c.statements.Add(1)
		}
		c.left = int(binary.BigEndian.Uint32(c.header[want-4:])) - 4
		c.started, c.header = true, nil
	}
}
