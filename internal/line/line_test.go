package line

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"
)

// patience is far above what anything here takes.
const patience = 30 * time.Second

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

// client is a connection through the line.
type client struct {
	t *testing.T
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, p *Line) *client {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &client{t, c, bufio.NewReader(c)}
}

// ask sends a line and returns the answer; empty: the connection is broken.
func (c *client) ask(line string) string {
	c.t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
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

func TestLine(t *testing.T) {
	p, err := New("")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got := dial(t, p).ask("hello"); got != "" {
		t.Errorf("nobody is there, and answers %q", got)
	}
	p.Point(echo(t, "a"))
	first := dial(t, p)
	if got := first.ask("hello"); got != "a hello\n" {
		t.Errorf("got %q", got)
	}
	p.Point(echo(t, "b"))
	if got := first.ask("still"); got != "a still\n" {
		t.Errorf("a connection that was there has moved: %q", got)
	}
	p.Cut()
	if got := first.ask("cut"); got != "" {
		t.Errorf("a cut connection answers %q", got)
	}
	second := dial(t, p)
	if got := second.ask("hello"); got != "b hello\n" {
		t.Errorf("got %q", got)
	}

	p.Hold()
	p.Hold() // twice is once
	answered := make(chan string, 1)
	go func() { answered <- second.ask("slow") }()
	select {
	case got := <-answered:
		t.Errorf("got %q through a line that is held", got)
	case <-time.After(100 * time.Millisecond):
	}
	p.Release()
	p.Release()
	if got := <-answered; got != "b slow\n" {
		t.Errorf("after the release: %q", got)
	}

	p.Hang()
	if got := second.ask("hang"); got != "" {
		t.Errorf("a connection of before answers %q", got)
	}
	third := dial(t, p)
	if err := third.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var late net.Error
	if _, err := third.Read(make([]byte, 1)); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("a line that hangs: %v", err)
	}
	p.Pass()
	second = dial(t, p)
	if got := second.ask("hello"); got != "b hello\n" {
		t.Errorf("got %q", got)
	}
	if n := p.Accepted(); n != 5 {
		t.Errorf("%d connections were made", n)
	}

	p.Hold()
	p.Close() // what is held does not keep it
	if got := second.ask("closed"); got != "" {
		t.Errorf("a closed line answers %q", got)
	}
}
