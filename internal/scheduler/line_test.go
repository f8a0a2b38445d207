package scheduler

import (
	"net/url"
	"testing"

	"github.com/rotatord/rotatord/internal/line"
)

// lead is a scheduler's line to its database.
type lead struct {
	*line.Line
	dsn    string
	server string
}

func newLead(t *testing.T, dsn string) *lead {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, through, err := line.To(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return &lead{l, through, u.Host}
}

// cut breaks all connections and takes no new ones until heal.
func (l *lead) cut() {
	l.Point("")
	l.Cut()
}

func (l *lead) heal() { l.Point(l.server) }
