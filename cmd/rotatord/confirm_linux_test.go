package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// newTerminal is a real one: what is typed at keyboard is read from screen.
func newTerminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	var number, locked uint32
	for request, value := range map[uintptr]*uint32{syscall.TIOCGPTN: &number, syscall.TIOCSPTLCK: &locked} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, keyboard.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

// TestConfirmation: at a terminal a person is asked, and nothing but a yes is
// one. Where nobody sits, only --yes is.
func TestConfirmation(t *testing.T) {
	s := newSteered(t, 1)
	run := func(stdin io.Reader, args string) result {
		t.Helper()
		var stdout, stderr said
		code := execute(t.Context(), &cli{stdin: stdin, stdout: &stdout, stderr: &stderr}, append(strings.Fields(args), "--config", s.config))
		return result{code, stdout.String(), stderr.String()}
	}
	typed := func(text, args string) result {
		t.Helper()
		keyboard, screen := newTerminal(t)
		if _, err := keyboard.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return run(screen, args)
	}
	const pause, discard = "pause --all --reason x", "discard --wallet 1 --reason checked"
	const stopsAll = "This keeps all rotations of all wallets from beginning. Go on? [y/N] "
	const stillOld = "Discarding states that the vendor was checked and still uses the old share set of wallet 1. Go on? [y/N] "
	for _, no := range []string{"\n", "n\n", "no\n", "yess\n", "Y e s\n"} {
		if r := typed(no, pause); r.code != 1 || r.stdout != "" || r.stderr != stopsAll+"rotatord: nothing was changed\n" {
			t.Errorf("%q: %+v", no, r)
		}
		if r := typed(no, discard); r.code != 1 || r.stdout != "" || r.stderr != stillOld+"rotatord: nothing was changed\n" {
			t.Errorf("%q: %+v", no, r)
		}
	}
	// The end of the input is nobody, and so is a script's.
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	for name, r := range map[string]result{"end of input": typed("\x04", pause), "no terminal": run(null, pause), "a pipe that says yes": run(strings.NewReader("yes\n"), discard)} {
		if r.code != 2 || r.stdout != "" || !strings.HasSuffix(r.stderr, "add --yes if that is meant\n") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	s.says("(0,f)", `SELECT (SELECT count(*) FROM rotation_requests), paused FROM rotation_control`)

	for _, yes := range []string{"y\n", "YES\n"} {
		r := typed(yes, pause)
		if r.want(t, 0, "Everything "); r.stderr != stopsAll {
			t.Errorf("%q: %+v", yes, r)
		}
		typed(yes, discard).want(t, 0, "wallet 1  open")
	}
	s.says("(2,t)", `SELECT (SELECT count(*) FROM rotation_requests WHERE action = 'discard'), paused FROM rotation_control`)
}
