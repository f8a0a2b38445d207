package rotation

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
)

// Our database is set back while the replica that rotates lives on: it had
// committed more than the record knows now, and the vendor has swapped. What
// the replica remembers counts as little as what the record has forgotten; the
// vendor is asked. Not even a person's wish gives up the share that signs.
func TestRecordIsSetBackUnderALivingReplica(t *testing.T) {
	for _, coSigned := range []bool{true, false} {
		for _, to := range []string{"opening", "ceremony"} {
			for _, wish := range []string{"", "abort"} {
				if !coSigned && to == "opening" {
					continue // what such a vendor finds again by itself is its own package's matter
				}
				t.Run(fmt.Sprintf("co-signed %v, back to %s, wish %q", coSigned, to, wish), func(t *testing.T) {
					r := newRig(t, sandbox.Options{})
					if !coSigned {
						r.peers().approved = true
					}
					x := r.replica()
					var restore func()
					switch to {
					case "opening":
						r.spy.on(onOpen, func(context.Context, provider.Attempt) error { restore = r.backup(); return nil })
					case "ceremony":
						r.front.on(onStart, func(*http.Request) int { restore = r.backup(); return 0 })
					}
					r.spy.on(onPromoted, func(context.Context, provider.Attempt) error {
						r.spy.on(onPromoted, nil)
						restore()
						r.exec(`UPDATE rotations SET owner = $1, next_check = NULL`, x.lease.epoch)
						if wish != "" && r.ask(wish) {
							t.Error("the wish was refused")
						}
						return nil
					})
					x.claim()
					x.settled()
					r.histories("baseline", "activated")
					r.healthy()
				})
			}
		}
	}
}
