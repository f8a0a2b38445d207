package line

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
)

// Goroutines that a connection takes while bytes may pass.
const Goroutines = 3

// Line listens on a port of its own and leads to somebody else's. It is safe
// for concurrent use.
type Line struct {
	listener   net.Listener
	accepted   atomic.Int64
	statements atomic.Int64
	work       sync.WaitGroup

	mu     sync.Mutex
	target string        // empty: nobody is there
	flows  chan struct{} // closed while bytes may pass
	hangs  bool
	closed bool
	conns  map[net.Conn]struct{}
}

// New makes a line to a host and port; empty: to nobody yet.
func New(target string) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a line: %w", err)
	}
	l := &Line{listener: listener, target: target, flows: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(l.flows)
	l.work.Go(l.accept)
	return l, nil
}

// To makes a line to whoever is at a URL, and returns the URL to use instead.
func To(at string) (*Line, string, error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, "", fmt.Errorf("reading the address of a line: %w", err)
	}
	l, err := New(u.Host)
	if err != nil {
		return nil, "", err
	}
	u.Host = l.Address()
	return l, u.String(), nil
}

// Address is where the line begins.
func (l *Line) Address() string { return l.listener.Addr().String() }

// Accepted is how many connections were made so far.
func (l *Line) Accepted() int64 { return l.accepted.Load() }

// Statements is how many statements of PostgreSQL's protocol were sent so far.
// It means nothing for another protocol.
func (l *Line) Statements() int64 { return l.statements.Load() }

// Point leads new connections to another party; empty: to nobody, so that they
// break at once. Those that are open stay.
func (l *Line) Point(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

// Cut breaks every connection.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close() // whoever reads from it ends
	}
	clear(l.conns)
}

// Hold keeps every byte until Release, as a network does that drops packets.
func (l *Line) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.flows:
		l.flows = make(chan struct{})
	default: // held already
	}
}

// Release ends Hold.
func (l *Line) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.flows:
	default:
		close(l.flows)
	}
}

// Hang breaks every connection, and takes new ones from now on without ever
// answering. No goroutine belongs to them.
func (l *Line) Hang() { l.hang(true) }

// Pass ends Hang. Connections of that time break.
func (l *Line) Pass() { l.hang(false) }

func (l *Line) hang(yes bool) {
	l.mu.Lock()
	l.hangs = yes
	l.mu.Unlock()
	l.Cut()
}

// Close breaks everything and waits until nothing of the line is left.
func (l *Line) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.listener.Close() // accept ends
	l.Release()
	l.Cut()
	l.work.Wait()
}

func (l *Line) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.accepted.Add(1)
		if target, pass := l.keep(client); pass {
			l.work.Go(func() { l.serve(client, target) })
		}
	}
}

// keep remembers a connection, and says where it leads and whether anything is
// to be done about it.
func (l *Line) keep(c net.Conn) (target string, pass bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.hangs && l.target == "" {
		_ = c.Close()
		return "", false
	}
	l.conns[c] = struct{}{}
	return l.target, !l.hangs
}

func (l *Line) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = c.Close()
	delete(l.conns, c)
}

func (l *Line) serve(client net.Conn, target string) {
	defer l.drop(client)
	server, err := net.Dial("tcp", target)
	if err != nil {
		return // the client hears it as a broken connection
	}
	defer l.drop(server)
	if _, pass := l.keep(server); !pass {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(server, io.TeeReader(client, &counter{statements: &l.statements}), client) })
	both.Go(func() { l.pump(client, server, server) })
	both.Wait()
}

// pump ends when either end does, and ends both.
func (l *Line) pump(to net.Conn, from io.Reader, end net.Conn) {
	defer to.Close()
	defer end.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		flows := l.flows
		l.mu.Unlock()
		<-flows
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}
