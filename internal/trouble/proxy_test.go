package trouble

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between the daemon and somebody it depends on.
type proxy struct {
	listener net.Listener
	target   string
	count    bool // what passes is PostgreSQL's: count its statements

	accepted   atomic.Int64 // connections so far
	statements atomic.Int64

	mu    sync.Mutex
	hangs bool
	conns map[net.Conn]bool
	work  sync.WaitGroup
}

// newProxy takes the place of whoever is at a URL, and returns its own.
func newProxy(t *testing.T, at string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: u.Host, count: u.Scheme == "postgres", conns: map[net.Conn]bool{}}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	p.work.Go(p.accept)
	t.Cleanup(func() {
		p.listener.Close()
		p.cut()
		p.work.Wait()
	})
	return p, u.String()
}

// hang takes connections from now on and never answers; those that are open
// break. No goroutine of ours belongs to them.
func (p *proxy) hang() {
	p.mu.Lock()
	p.hangs = true
	p.mu.Unlock()
	p.cut()
}

// pass ends hang. Connections of that time break.
func (p *proxy) pass() {
	p.mu.Lock()
	p.hangs = false
	p.mu.Unlock()
	p.cut()
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// keep remembers a connection, and says whether it is to hang.
func (p *proxy) keep(c net.Conn) (hangs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return p.hangs
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Close()
	delete(p.conns, c)
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		if !p.keep(client) {
			p.work.Go(func() { p.serve(client) })
		}
	}
}

// relayed is how many goroutines of ours a connection that passes has.
const relayed = 3

func (p *proxy) serve(client net.Conn) {
	defer p.drop(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(server)
	if p.keep(server) {
		return
	}
	from := io.Reader(client)
	if p.count {
		from = io.TeeReader(client, &counter{statements: &p.statements})
	}
	var both sync.WaitGroup
	both.Go(func() { relay(server, from) })
	both.Go(func() { relay(client, server) })
	both.Wait()
}

func relay(to net.Conn, from io.Reader) {
	defer to.Close()
	_, _ = io.Copy(to, from) // its end is an end, whatever the reason
}

// counter reads what a client of PostgreSQL sends, as far as it takes to count
// statements: each ends with Sync, or is a simple Query.
type counter struct {
	statements *atomic.Int64
	started    bool // the first message has no type
	header     []byte
	left       int // bytes of the message that are still to come
}

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
