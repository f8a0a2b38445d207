package torture

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"
)

// echo answers each line with its name and the line.
func echo(t *testing.T, name string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					fmt.Fprintf(c, "%s %s\n", name, lines.Text())
				}
			}()
		}
	}()
	return l.Addr().String()
}

// client is a connection through the proxy.
type client struct {
	t *testing.T
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, p *proxy) *client {
	t.Helper()
	c, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{t, c, bufio.NewReader(c)}
}

// ask sends a line and returns the answer; empty: the connection is broken.
func (c *client) ask(line string) string {
	c.t.Helper()
	if err := c.SetDeadline(time.Now().Add(longest)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := fmt.Fprintln(c, line); err != nil {
		return ""
	}
	answer, err := c.lines.ReadString('\n')
	if err != nil {
		return ""
	}
	return answer
}

func TestProxy(t *testing.T) {
	p, err := newProxy()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if got := dial(t, p).ask("hello"); got != "" {
		t.Errorf("nobody is there, and answers %q", got)
	}
	p.point(echo(t, "a"))
	first := dial(t, p)
	if got := first.ask("hello"); got != "a hello\n" {
		t.Errorf("got %q", got)
	}
	p.point(echo(t, "b"))
	if got := first.ask("still"); got != "a still\n" {
		t.Errorf("a connection that was there has moved: %q", got)
	}
	p.cut()
	if got := first.ask("cut"); got != "" {
		t.Errorf("a cut connection answers %q", got)
	}
	second := dial(t, p)
	if got := second.ask("hello"); got != "b hello\n" {
		t.Errorf("got %q", got)
	}

	p.hold()
	p.hold() // twice is once
	answered := make(chan string, 1)
	go func() { answered <- second.ask("slow") }()
	select {
	case got := <-answered:
		t.Errorf("got %q through a line that is held", got)
	case <-time.After(100 * time.Millisecond):
	}
	p.release()
	p.release()
	if got := <-answered; got != "b slow\n" {
		t.Errorf("after the release: %q", got)
	}

	p.hold()
	p.close() // what is held does not keep it
	if got := second.ask("closed"); got != "" {
		t.Errorf("a closed line answers %q", got)
	}
}
