package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rotatord/rotatord/internal/history"
)

const (
	drawEvery = 100 * time.Millisecond // a bar on a terminal
	sayEvery  = 10 * time.Second       // a line for a log
	barWidth  = 30
)

// progress shows on standard error how far a walk over all wallets has come: a
// bar where a person watches, else a line now and then.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time
	shown    time.Time
	drawn    bool
}

func newProgress(out io.Writer) *progress {
	now := time.Now()
	return &progress{out: out, terminal: isTerminal(out), began: now, shown: now}
}

// show is called as often as one likes.
func (p *progress) show(done *history.Report, first, last int64) {
	every := sayEvery
	if p.terminal {
		every = drawEvery
	}
	now := time.Now()
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	if !p.terminal {
		fmt.Fprintf(p.out, "%s so far\n", counted(done))
		return
	}
	p.drawn = true
	fmt.Fprintf(p.out, "\r\x1b[K%s %s", bar(share(done.Next, first, last), now.Sub(p.began)), counted(done))
}

// clear makes room for a line that stays.
func (p *progress) clear() {
	if p.drawn {
		p.drawn = false
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func counted(r *history.Report) string {
	return fmt.Sprintf("%d wallets with %d rows", r.Wallets, r.Rows)
}

// share is how much of the ids between first and last is below next.
func share(next, first, last int64) float64 {
	if last < first {
		return 1
	}
	return min(1, max(0, (float64(next)-float64(first))/(float64(last)-float64(first)+1)))
}

// bar is so much of a bar, in percent, and the time that is left if the rest
// takes as long as what is done took.
func bar(share float64, elapsed time.Duration) string {
	full := int(share * barWidth)
	text := fmt.Sprintf("[%s%s] %3.0f %%", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), share*100)
	if share > 0 && share < 1 {
		left := time.Duration(float64(elapsed) * (1 - share) / share)
		text += fmt.Sprintf(", %s left,", left.Round(time.Second))
	}
	return text
}
