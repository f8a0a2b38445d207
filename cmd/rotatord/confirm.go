package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// confirmed has a person at a terminal say yes to what cannot be taken back, or
// stops more than it may seem. yes is the flag --yes, which is for scripts.
func (c *cli) confirmed(ctx context.Context, yes bool, what string) error {
	if yes {
		return nil
	}
	unasked := wrongUse(fmt.Errorf("%s, and there is no terminal to ask at: add --yes if that is meant", what))
	if !isPerson(c.stdin) {
		return unasked
	}
	fmt.Fprintf(c.stderr, "%s. Go on? [y/N] ", upperFirst(what))
	type line struct {
		text string
		err  error
	}
	answers := make(chan line, 1) // a read at a terminal cannot be called off
	go func() {
		text, err := bufio.NewReader(c.stdin).ReadString('\n')
		answers <- line{text, err}
	}()
	select {
	case <-ctx.Done():
		return couldNot(ctx, ctx.Err())
	case answer := <-answers:
		switch strings.ToLower(strings.TrimSpace(answer.text)) {
		case "y", "yes":
			return nil
		}
		if answer.err != nil {
			return unasked
		}
		return &exit{codeRefused, fmt.Errorf("nothing was changed")}
	}
}

// isPerson says whether a person types at r.
func isPerson(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device too, at which nobody sits
	return err == nil && !os.SameFile(info, null)
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
