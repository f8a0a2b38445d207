package cobo

import (
	"context"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// noRequests is for groups whose TSS requests are none of ours to cancel.
const noRequests = ""

// remove deletes a group for good. may is asked about what the caller saw, and
// again about a fresh look immediately before the delete; its error ends it.
// There is no conditional delete at the vendor, so what changes after that last
// look is not noticed: that is why only a Signing Group of ours, or one that an
// upgrade of ours converted, or one that a group of ours has replaced, ever gets
// here.
//
// TSS requests that are described as own are cancelled first. Anybody else's keeps the
// group alive. A nil error means that the group is gone.
func (p *Provider) remove(ctx context.Context, vaultID string, g group, own string, may func(group) error) error {
	if err := may(g); err != nil {
		return err
	}
	if err := p.endRequests(ctx, vaultID, g.ID, own); err != nil {
		return err
	}
	again, err := p.getGroup(ctx, vaultID, g.ID)
	if notFound(err) { // a cancel may take the group along
		return p.gone(ctx, vaultID, g.ID, err)
	}
	if err != nil {
		return err
	}
	if err := may(again); err != nil {
		return err
	}
	key := "delete/" + g.ID
	if since, rests := p.submitted.rests(key, p.now()); rests {
		return p.gone(ctx, vaultID, g.ID, notCarriedOut("deleting group "+g.ID+" of vault "+vaultID, since, provider.Retryable))
	}
	err = p.deleteGroup(ctx, vaultID, g.ID)
	switch {
	case err == nil:
		err = notCarriedOut("deleting group "+g.ID+" of vault "+vaultID, p.submitted.note(key, p.now()), provider.Retryable)
	case inDoubt(err):
		// If it is still there, the delete may be repeated.
		err = provider.Errorf(provider.Retryable, provider.ReasonProviderError, "%w", err)
	case !refused(err):
		return err // nothing was sent
	}
	// A refusal is also what a group that is deleted already may get.
	return p.gone(ctx, vaultID, g.ID, err)
}

// gone returns nil if a group is, else what is to be said of one that is not.
// One answer "not found" is not believed: a list that shows the Main Group and
// not this one is.
func (p *Provider) gone(ctx context.Context, vaultID, groupID string, otherwise error) error {
	s, err := p.look(ctx, vaultID)
	if err != nil {
		return err
	}
	if _, err := s.main(); err != nil {
		return provider.Errorf(provider.Retryable, provider.ReasonProviderError, "looking whether group %s is gone: %w", groupID, err)
	}
	g, listed := s.find(groupID)
	switch {
	case !listed || !g.alive():
		p.submitted.forget("delete/" + groupID)
		return nil
	case notFound(otherwise):
		return provider.Errorf(provider.Retryable, provider.ReasonProviderError,
			"deleting group %s of vault %s: the vendor lists it and does not find it", groupID, vaultID)
	}
	return otherwise
}

// notCarriedOut is the error of what the vendor has taken and not done yet.
func notCarriedOut(what string, since time.Time, class provider.Class) error {
	return provider.Errorf(class, provider.ReasonProviderError,
		"%s: the vendor accepted it at %s and has not carried it out; it may wait for an approval", what, since.UTC().Format(time.RFC3339))
}

// endRequests cancels the TSS requests of ours, which are described as own, that
// are under way for a group, and refuses to go on while any is.
func (p *Provider) endRequests(ctx context.Context, vaultID, groupID, own string) error {
	running, err := p.running(ctx, vaultID, groupID)
	if err != nil {
		return err
	}
	for _, q := range running {
		if own == noRequests || q.Description != own || q.Target != groupID {
			return provider.Errorf(provider.Retryable, provider.ReasonInvalidState,
				"group %s of vault %s is not deleted: TSS request %s, which was not made for it, uses it", groupID, vaultID, q.ID)
		}
	}
	if len(running) == 0 {
		return nil
	}
	var last error
	for _, q := range running {
		// Whatever the answer: what is still under way tells.
		if last = p.cancelRequest(ctx, vaultID, q.ID); last != nil && !refused(last) && !inDoubt(last) {
			return last
		}
	}
	running, err = p.running(ctx, vaultID, groupID)
	switch {
	case err != nil:
		return err
	case len(running) == 0:
		return nil
	case refused(last):
		return last
	}
	return provider.Errorf(provider.Retryable, provider.ReasonProviderError,
		"cancelling TSS request %s of vault %s: it is still under way (%s)", running[0].ID, vaultID, quoted(running[0].Status))
}

// running are the TSS requests of a group that have not ended.
func (p *Provider) running(ctx context.Context, vaultID, groupID string) ([]tssRequest, error) {
	all, err := p.listRequests(ctx, vaultID, groupID)
	if notFound(err) {
		return nil, nil
	}
	var running []tssRequest
	for _, q := range all {
		if !q.ended() {
			running = append(running, q)
		}
	}
	return running, err
}
