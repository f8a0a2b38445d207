package cobo

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// A TSS request of server co-signers takes about half a minute, one that people
// must approve takes hours.
const minPoll, maxPoll = 2 * time.Second, 30 * time.Second

// pollAfter is when to ask again: the longer it lasts, the rarer, spread by a
// quarter so that vaults that began together do not ask together.
func pollAfter(waited time.Duration) time.Duration {
	d := min(max(waited/8, minPoll), maxPoll)
	return max(d-time.Duration(rand.Int64N(int64(d)/4+1)), minPoll)
}

func (s *session) waited() time.Duration { return s.p.now().Sub(s.refs.RequestedAt) }

func (s *session) notYet(waitsFor string) provider.Readiness {
	return provider.Readiness{CheckAgain: pollAfter(s.waited()), WaitsFor: waitsFor}
}

// overdue is who is waited for, once it has lasted long enough that a person
// should know.
func (s *session) overdue(who string) string {
	if s.waited() < s.p.opts.ApprovalAttention {
		return ""
	}
	return who + ", since " + s.refs.RequestedAt.UTC().Format(time.RFC3339)
}

// underWay answers for a TSS request that has not ended.
func (s *session) underWay(ctx context.Context, q tssRequest) provider.Readiness {
	switch q.Status {
	case requestPending, requestProcessing, requestGenerating:
	default:
		// Not success, and perhaps not even under way: a person should look.
		return s.notYet("TSS request " + q.ID + " to leave a status that rotatord does not know: " + quoted(q.Status))
	}
	if s.waited() < s.p.opts.ApprovalAttention {
		return s.notYet("")
	}
	// Who it is that has not confirmed is not told. Whoever is offline or a
	// person comes into question; with nobody of that kind it is an approval at
	// the vendor, or a callback server.
	st, err := s.p.look(ctx, s.attempt.Wallet.ExternalID)
	if err != nil {
		s.p.log.Warn("the holders that a TSS request waits for cannot be read", "vault", s.attempt.Wallet.ExternalID, "error", err)
		return s.notYet(s.overdue(waitingFor(nil)))
	}
	return s.notYet(s.overdue(waitingFor(st.laggards(q, s.group))))
}

// laggards are the holders that keep a TSS request from going on, as far as one
// can see from outside: of its target, and of its source if they take part.
func (s state) laggards(q tssRequest, target string) []holder {
	var found []holder
	add := func(h holder) {
		for _, other := range found {
			if other.Node == h.Node {
				return
			}
		}
		if !h.ready() || h.Type == holderMobile {
			found = append(found, h)
		}
	}
	if g, ok := s.find(target); ok {
		for _, h := range g.Holders {
			add(h)
		}
	}
	if q.Source == nil {
		return found
	}
	if g, ok := s.find(q.Source.ID); ok {
		for _, h := range g.Holders {
			if len(q.Source.Nodes) == 0 || slices.Contains(q.Source.Nodes, h.Node) {
				add(h)
			}
		}
	}
	return found
}

// waitingFor names holders for operators: by their nodes, which are ours to
// name.
func waitingFor(holders []holder) string {
	var names []string
	for _, h := range holders {
		why := "offline"
		switch {
		case h.Type == holderMobile:
			why = "a phone"
		case h.online():
			why = quoted(h.Status)
		}
		names = append(names, h.Node+" ("+why+")")
	}
	if len(names) == 0 {
		return "an approval in the vendor's Portal or by a callback server"
	}
	return strings.Join(names, ", ")
}
