package cobo

import (
	"context"
	"errors"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// settleTime is how long a TSS request may be Success while its group is not
// complete: two lists of the vendor's need not change at one moment. A request
// that was cancelled looks the same for ever.
const settleTime = 30 * time.Second

// session is a TSS request that goes on at the vendor. It holds nothing open.
type session struct {
	p       *Provider
	attempt provider.Attempt
	group   string // the pending share set
	refs    vendorRefs
}

// Close does nothing: the TSS request goes on.
func (s *session) Close() error { return nil }

// Await asks the vendor once. A request that has not ended is "not yet", and so
// is a vendor that cannot be asked just now: hours of people's approvals are
// not given up for a lost connection. Every status that ends a request is
// followed by reading the vault, because Success is also what a cancelled
// request ends in.
func (s *session) Await(ctx context.Context) (provider.Readiness, error) {
	ready, err := s.ask(ctx)
	class, _ := provider.ClassOf(err)
	var v *verdictError
	switch {
	case err == nil:
		return ready, nil
	case ctx.Err() != nil:
		reason := provider.ReasonInternal
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			reason = provider.ReasonTimeout
		}
		return provider.Readiness{}, provider.Errorf(provider.Retryable, reason,
			"waiting for the TSS request of vault %s: %w", s.attempt.Wallet.ExternalID, ctx.Err())
	case errors.As(err, &v):
		return provider.Readiness{}, v.err
	case class == provider.Retryable || class == provider.RateLimited:
		s.p.log.Warn("a TSS request cannot be asked about", "vault", s.attempt.Wallet.ExternalID, "request", s.refs.Request, "error", err)
		again := s.notYet("")
		again.CheckAgain = max(again.CheckAgain, provider.RetryAfter(err))
		return again, nil
	}
	return provider.Readiness{}, err
}

// verdictError is an error that the vendor's answers amount to, as opposed to
// one of asking.
type verdictError struct{ err error }

func (v *verdictError) Error() string { return v.err.Error() }

func verdictf(class provider.Class, reason provider.Reason, format string, args ...any) error {
	return &verdictError{provider.Errorf(class, reason, format, args...)}
}

func (s *session) ask(ctx context.Context) (provider.Readiness, error) {
	w := s.attempt.Wallet
	q, err := s.p.getRequest(ctx, w.ExternalID, s.refs.Request)
	if notFound(err) {
		return provider.Readiness{}, verdictf(provider.Retryable, provider.ReasonInvalidState, "the vendor no longer knows the TSS request: %w", err)
	}
	if err != nil {
		return provider.Readiness{}, err
	}
	if err := q.belongs(s.group, s.attempt.ID); err != nil {
		return provider.Readiness{}, err
	}
	if !q.ended() {
		return s.underWay(ctx, q), nil
	}
	st, err := s.p.look(ctx, w.ExternalID)
	if err != nil {
		return provider.Readiness{}, err
	}
	return s.judge(q, st)
}

// judge decides about a TSS request that has ended.
func (s *session) judge(q tssRequest, st state) (provider.Readiness, error) {
	if _, err := st.main(); err != nil {
		return s.settle(q, err) // a list without it is not to be believed at once
	}
	g, ok := st.find(s.group)
	switch {
	case !ok:
		return s.settle(q, verdictf(provider.Retryable, provider.ReasonInvalidState,
			"TSS request %s ended as %s, and its group %s is gone", q.ID, quoted(q.Status), s.group))
	case q.Status != requestSuccess && g.Status == groupValid:
		return provider.Readiness{}, mismatch("TSS request %s ended as %s, and its group %s is Valid", q.ID, quoted(q.Status), s.group)
	case q.Status == requestConfirmationFailed:
		return provider.Readiness{}, verdictf(provider.Retryable, provider.ReasonPartyUnavailable,
			"TSS request %s was not confirmed by its key share holders: rejected, or out of time", q.ID)
	case q.Status != requestSuccess:
		return provider.Readiness{}, verdictf(provider.Retryable, provider.ReasonProviderError,
			"TSS request %s ended as %s", q.ID, quoted(q.Status))
	case g.Status == groupNew:
		return s.settle(q, verdictf(provider.Retryable, provider.ReasonInvalidState,
			"TSS request %s ended as Success and its group %s has no key: it was cancelled", q.ID, s.group))
	case g.Status != groupValid:
		return s.notYet("the vendor to make group " + s.group + " Valid, which is " + quoted(g.Status)), nil
	}
	keys, absent, err := s.refs.verify(st, g, s.attempt.OldShareSet)
	switch {
	case errors.Is(err, errIncomplete):
		return s.settle(q, err)
	case err != nil:
		return provider.Readiness{}, err
	case len(absent) > 0:
		return s.notYet(s.overdue(waitingFor(absent))), nil
	}
	s.p.settling.forget(q.ID)
	return provider.Readiness{Ready: true, ShareSet: g.ID, PublicKey: keys.String()}, nil
}

// settle gives the vendor time to make its answers agree, then says what they
// amount to.
func (s *session) settle(q tssRequest, err error) (provider.Readiness, error) {
	now := s.p.now()
	if now.Sub(s.p.settling.note(q.ID, now)) < s.p.settle {
		return provider.Readiness{CheckAgain: minPoll}, nil
	}
	s.p.settling.forget(q.ID)
	return provider.Readiness{}, err
}
