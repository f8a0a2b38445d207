package cobo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// reshare gets a new group its shares: it asks for a TSS request, or looks how
// the one that was asked for goes on.
func (f *refreshing) reshare(ctx context.Context, w work) error {
	vaultID := f.s.vault.ID
	r, _ := w.new.replaces()
	all, err := f.p.listRequests(ctx, vaultID, w.new.ID)
	if err != nil && !notFound(err) {
		return err
	}
	ours := slices.DeleteFunc(all, func(q tssRequest) bool { return q.Description != r.mark() || q.Target != w.new.ID })
	for _, q := range ours {
		if !q.ended() {
			return f.waitFor(q, w)
		}
	}
	if len(ours) == 0 {
		return f.request(ctx, w, r)
	}
	q := ours[len(ours)-1]
	if q.Status == requestSuccess {
		key := "replacement/" + w.new.ID
		if now := f.p.now(); now.Sub(f.p.settling.note(key, now)) < f.p.settle {
			return after(minPoll, "TSS request %s of vault %s has ended, and group %s has no shares yet", q.ID, vaultID, w.new.ID)
		}
		f.p.settling.forget(key)
	}
	// The group is of no use any more. The next try begins with another.
	if err := f.p.remove(ctx, vaultID, *w.new, r.mark(), unborn(vaultID, r)); err != nil {
		return err
	}
	reason := provider.ReasonProviderError
	if q.Status == requestConfirmationFailed {
		reason = provider.ReasonPartyUnavailable
	}
	return provider.Errorf(provider.Retryable, reason,
		"TSS request %s ended as %s and gave group %s no shares: %s %s of vault %s is not replaced yet",
		q.ID, quoted(q.Status), w.new.ID, w.old.Type, w.old.ID, vaultID)
}

// unborn refuses to delete anything but a group of ours without shares.
func unborn(vaultID string, r replacement) func(group) error {
	return func(g group) error {
		if now, ours := g.replaces(); !ours || now != r || !g.empty() || g.Type != signingGroup && g.Type != recoveryGroup {
			return mismatch("group %s of vault %s is not what it was a moment ago: it is not deleted", g.ID, vaultID)
		}
		return nil
	}
}

// request makes the TSS request for a new group. Between us and the rotation of
// the same vault, which another replica may begin just now, there is no lock at
// the vendor. So each makes its group first and looks for the other's before and
// after it asks; of the two, this one gives way.
func (f *refreshing) request(ctx context.Context, w work, r replacement) error {
	vaultID := f.s.vault.ID
	if err := f.undisturbed(ctx, w.old); err != nil {
		return err
	}
	source, err := f.p.source(ctx, vaultID, f.in.main)
	if err != nil {
		return err
	}
	if err := f.alone(ctx, w); err != nil {
		return err
	}
	q, err := f.p.createRequest(ctx, vaultID, newTSSRequest{Type: keyGenFromKeyGroup, Target: w.new.ID, Source: source, Description: r.mark()})
	if err != nil {
		return tryAgain(err)
	}
	if err := f.alone(ctx, w); err != nil {
		if ending := f.p.endRequests(ctx, vaultID, w.new.ID, r.mark()); ending != nil {
			return ending
		}
		return err
	}
	return after(minPoll, "TSS request %s of vault %s makes the shares of group %s, which replaces %s", q.ID, vaultID, w.new.ID, w.old.ID)
}

// alone answers that the rotation goes first if one has begun.
func (f *refreshing) alone(ctx context.Context, w work) error {
	groups, err := f.p.listGroups(ctx, f.s.vault.ID)
	if err != nil {
		return err
	}
	if o := (state{f.s.vault, groups}).others(f.in); o.pending != nil {
		return after(maxPoll, "group %s of vault %s waits for the rotation that has begun", w.old.ID, f.s.vault.ID)
	}
	return nil
}

// waitFor answers for a TSS request that has not ended.
func (f *refreshing) waitFor(q tssRequest, w work) error {
	doing := fmt.Sprintf("TSS request %s of vault %s makes the shares of group %s, which replaces %s", q.ID, f.s.vault.ID, w.new.ID, w.old.ID)
	switch q.Status {
	case requestPending, requestProcessing, requestGenerating:
		return f.waits(f.p.since(q), doing, f.s.laggards(q, w.new.ID))
	}
	return &provider.NotYet{CheckAgain: maxPoll, Doing: doing, WaitsFor: "it to leave a status that rotatord does not know: " + quoted(q.Status)}
}

// since is when a TSS request was made, or was first seen if the vendor does not
// tell.
func (p *Provider) since(q tssRequest) time.Time {
	if q.Created > 0 {
		return time.UnixMilli(q.Created)
	}
	return p.settling.note("request/"+q.ID, p.now())
}

// giveWay takes back, before a rotation begins, what would be in its way: a new
// group that is to replace another one and has no TSS request, or one that waits
// for people. The retirement begins it anew afterwards. A TSS request that goes
// on as it should is left to end.
func (p *Provider) giveWay(ctx context.Context, s state) (state, error) {
	gave := false
	for _, g := range s.groups {
		r, ours := g.replaces()
		if !ours || !g.empty() || g.Type != signingGroup && g.Type != recoveryGroup {
			continue
		}
		running, err := p.running(ctx, s.vault.ID, g.ID)
		if err != nil {
			return s, err
		}
		if slices.ContainsFunc(running, func(q tssRequest) bool {
			return q.Description != r.mark() || p.now().Sub(p.since(q)) < p.opts.ApprovalAttention
		}) {
			continue // nothingRuns has it wait
		}
		p.log.Info("a group that is to replace another one gives way to the rotation", "vault", s.vault.ID, "group", g.ID, "replaces", r.of)
		if err := p.remove(ctx, s.vault.ID, g, r.mark(), unborn(s.vault.ID, r)); err != nil {
			return s, err
		}
		gave = true
	}
	if !gave {
		return s, nil
	}
	return p.look(ctx, s.vault.ID)
}

// noneReplaced refuses to ask for a TSS request beside that of a group which
// replaces another one: it was asked for since the rotation looked.
func (p *Provider) noneReplaced(ctx context.Context, vaultID string) error {
	if !p.opts.RefreshOtherGroups {
		return nil
	}
	groups, err := p.listGroups(ctx, vaultID)
	if err != nil {
		return err
	}
	return p.nothingRuns(ctx, state{vault{ID: vaultID}, slices.DeleteFunc(groups, func(g group) bool {
		_, ours := g.replaces()
		return !ours || !g.empty()
	})})
}
