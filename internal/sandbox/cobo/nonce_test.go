package cobo

import (
	"fmt"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
)

func TestNonces(t *testing.T) {
	start := time.UnixMilli(1718587017026)
	for _, value := range []string{assume.WithinFiveMinutes, assume.OnceInFiveMinutes, assume.AnyNonce} {
		t.Run(value, func(t *testing.T) {
			chosen, err := assume.Parse(map[string]string{assume.CoboNonces: value})
			if err != nil {
				t.Fatal(err)
			}
			now := start
			n := &nonces{assume: chosen, now: func() time.Time { return now }}
			accepts := func(nonce, signature string) bool { return n.refuse(nonce, signature) == "" }
			any, once := value == assume.AnyNonce, value == assume.OnceInFiveMinutes

			for offset, inside := range map[time.Duration]bool{
				0: true, -5 * time.Minute: true, 5 * time.Minute: true,
				-5*time.Minute - time.Millisecond: false, 5*time.Minute + time.Millisecond: false, -time.Hour: false,
			} {
				if got := accepts(milliseconds(now.Add(offset)), "at "+offset.String()); got != (inside || any) {
					t.Errorf("a nonce %v off: accepted %v", offset, got)
				}
			}
			for _, text := range []string{"", "random", "1718587017026.5"} {
				if accepts(text, "s") != any {
					t.Errorf("nonce %q", text)
				}
			}

			// The newest nonce that passes now passes for ten minutes, whenever
			// it comes.
			for begin := range 12 {
				accepts(milliseconds(now), fmt.Sprintf("before %d", begin))
				now = now.Add(time.Duration(begin) * time.Minute)
				nonce := milliseconds(now.Add(5 * time.Minute))
				first := fmt.Sprintf("first of %d", begin)
				if !accepts(nonce, first) {
					t.Errorf("a new request is refused, %v after the start", now.Sub(start))
				}
				then := now
				for range 10 {
					if accepts(nonce, first) == once {
						t.Errorf("a repeated request, %v after the start and %v later", then.Sub(start), now.Sub(then))
					}
					if !accepts(nonce, "another at "+now.String()) {
						t.Errorf("another request with the same nonce, %v later", now.Sub(then))
					}
					now = now.Add(time.Minute)
				}
				now = now.Add(time.Minute)
			}
		})
	}
}
