package cobo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

const (
	// inTurn is when a retirement looks again that waits for an earlier one.
	inTurn = time.Minute
	// personPoll is how often it is looked whether a person has done what only a
	// person can do.
	personPoll = time.Hour
)

// goOn is the answer after a step: the next one may follow at once.
func goOn(format string, args ...any) error {
	return &provider.NotYet{Doing: fmt.Sprintf(format, args...)}
}

func after(d time.Duration, format string, args ...any) error {
	return &provider.NotYet{CheckAgain: d, Doing: fmt.Sprintf(format, args...)}
}

// refreshing is one look at the groups beside the Main Group.
type refreshing struct {
	p    *Provider
	r    provider.Retirement
	s    state
	in   scope
	keys rootKeys
	o    others
}

// refresh replaces all Signing and Recovery Groups that have shares of before the
// rotation by groups on other nodes, made from the new Main Group, and deletes
// them. It takes one step at a time, creates nothing that it has not looked for,
// and remembers nothing: what is to be done follows from what the vendor lists,
// so a crash between two steps changes nothing.
//
// The old Main Group comes before all of this, because its nodes may be needed,
// and because it is what the grace period was for. Then one group is replaced
// after the other: each frees its nodes for the next, so the pool needs no more
// than what one of them takes.
func (p *Provider) refresh(ctx context.Context, r provider.Retirement, refs vendorRefs, s state) (said string, err error) {
	main, err := s.main()
	if err != nil {
		return "", err
	}
	if err := s.succeeded(r, refs, main); err != nil {
		return "", err
	}
	if main.ID != r.ActiveShareSet {
		// Its own retirement may not be on record yet either, and then Later does
		// not name the group that it has converted.
		return "", after(inTurn, "the Main Group of vault %s is %s, which is not on record yet", s.vault.ID, main.ID)
	}
	if len(r.Earlier) > 0 {
		// Two would get in each other's way.
		return "", after(inTurn, "the other groups of vault %s wait for the retirement of %s, which comes first", s.vault.ID, strings.Join(r.Earlier, ", "))
	}
	of, ours := main.attempt()
	switch {
	case !ours && main.ID == r.NewShareSet && refs.Attempt != nobody:
		return "", mismatch("the Main Group %s of vault %s is ours and does not show our mark: groups that are made in place of others would not be found again, so none is", main.ID, s.vault.ID)
	case !ours:
		return "the vendor accepted the clean-up; the other groups are left to the next rotation, because people have changed the Main Group", nil
	}
	since := refs.Attempt
	if since == nobody {
		since = of
	}
	keys, err := s.keys()
	if err != nil {
		return "", err
	}
	set, err := readSettings(r.Wallet)
	if err != nil {
		return "", err
	}
	f := refreshing{p: p, r: r, s: s, keys: keys}
	f.in = scope{main: main, of: of, since: since, born: main.Created, keep: set.Keep, retiring: slices.Concat([]string{r.OldShareSet}, r.Later)}
	if g, listed := s.find(r.NewShareSet); listed {
		f.in.born = g.Created
	}
	f.o = s.others(f.in)
	if err := f.step(ctx); err != nil {
		return "", err
	}
	return f.said(), nil
}

// step does the next thing. It returns nil when there is none.
func (f *refreshing) step(ctx context.Context) error {
	if len(f.o.surplus) > 0 {
		return f.sweep(ctx, f.o.surplus[0])
	}
	if len(f.o.work) > 0 {
		w := f.o.work[0]
		switch {
		case w.new == nil:
			return f.create(ctx, w.old)
		case w.new.empty():
			return f.reshare(ctx, w)
		case w.new.Status == groupValid:
			return f.exchange(ctx, w)
		}
		return after(maxPoll, "group %s of vault %s, which replaces %s, has the status %s", w.new.ID, f.s.vault.ID, w.old.ID, quoted(w.new.Status))
	}
	// With a later rotation it is for the retirement of that to say.
	if len(f.o.left) > 0 && len(f.r.Later) == 0 {
		return &provider.NotYet{CheckAgain: personPoll, Person: true,
			Doing:    "vault " + f.s.vault.ID + " still has shares of before its rotation: " + strings.Join(f.o.left, "; "),
			WaitsFor: "a person who replaces or deletes it in the Portal, or names it in keep_groups of the vault's settings"}
	}
	return nil
}

// said is what goes on record when all is done.
func (f *refreshing) said() string {
	said := append([]string{"the vendor accepted the clean-up"}, f.o.done...)
	for _, id := range f.o.kept {
		said = append(said, "group "+id+" was left as keep_groups says")
	}
	return strings.Join(append(said, f.o.left...), "; ")
}

// sweep deletes a group of ours that is one too many: a call that was believed
// lost took effect later, or an earlier rotation left it.
func (f *refreshing) sweep(ctx context.Context, g group) error {
	r, _ := g.replaces()
	f.p.log.Warn("deleting a group that replaces another one twice, or none", "vault", f.s.vault.ID, "group", g.ID, "replaces", r.of)
	err := f.p.remove(ctx, f.s.vault.ID, g, r.mark(), func(again group) error {
		return f.anew(ctx, again, func(_ state, o others) bool {
			return slices.ContainsFunc(o.surplus, func(x group) bool { return x.ID == g.ID })
		})
	})
	if err != nil {
		return err
	}
	return goOn("group %s of vault %s was deleted", g.ID, f.s.vault.ID)
}

// anew judges the vault once more, immediately before a group is deleted. again
// is that group as it was read last.
func (f *refreshing) anew(ctx context.Context, again group, may func(state, others) bool) error {
	s, err := f.p.look(ctx, f.s.vault.ID)
	if err != nil {
		return err
	}
	main, err := s.main()
	if err != nil {
		return err
	}
	keys, err := s.keys()
	if err != nil {
		return err
	}
	was, listed := f.s.find(again.ID)
	now, lists := s.find(again.ID)
	before, _ := was.replaces()
	r, _ := again.replaces()
	held, err := keysOf(again.Keys, "group "+again.ID)
	switch {
	case err != nil:
		return err
	case main.ID != f.in.main.ID || keys.String() != f.keys.String():
		return mismatch("the Main Group of vault %s changed while group %s was to be deleted: it is not", s.vault.ID, again.ID)
	case !listed || again.Type != was.Type || lists && now.Type != was.Type || r != before ||
		!sameNodes(nodesOf(again.customers()), nodesOf(was.customers())):
		return mismatch("group %s of vault %s is not what it was a moment ago: it is not deleted", again.ID, s.vault.ID)
	case len(held) > 0 && held.String() != keys.String():
		return mismatch("group %s of vault %s has not the root keys of the vault: it is not deleted", again.ID, s.vault.ID)
	case !lists || !now.alive():
		return nil // it is gone, and remove finds that out
	case !may(s, s.others(f.in)):
		return provider.Errorf(provider.Retryable, provider.ReasonInvalidState,
			"group %s of vault %s was to be deleted, and something changed meanwhile: it is not", again.ID, s.vault.ID)
	}
	return nil
}

// undisturbed returns nil if a TSS request may be made: none is under way, ours
// or a person's, and neither is an attempt to rotate the Main Group.
func (f *refreshing) undisturbed(ctx context.Context, old group) error {
	if f.o.pending != nil {
		return after(maxPoll, "group %s of vault %s waits for the rotation that is under way", old.ID, f.s.vault.ID)
	}
	q, runs, err := f.p.underWay(ctx, f.s)
	if err == nil && runs {
		err = after(maxPoll, "group %s of vault %s waits for TSS request %s (%s): there must be one at a time", old.ID, f.s.vault.ID, q.ID, quoted(q.Status))
	}
	return err
}

// create makes the group that is to replace another one: the same on other nodes.
// When its outcome is unknown, the next look tells.
func (f *refreshing) create(ctx context.Context, old group) error {
	if err := f.undisturbed(ctx, old); err != nil {
		return err
	}
	pool, err := f.p.pool(f.r.Wallet)
	if err != nil {
		return err
	}
	nodes, err := f.s.chooseFor(old, f.in.main, pool)
	if err != nil {
		return err
	}
	if _, err := f.p.source(ctx, f.s.vault.ID, f.in.main); err != nil {
		return err // there would be nobody to make its shares
	}
	r := replacement{f.in.of, old.ID}
	spec := newGroup{Type: old.Type, Participants: old.Participants, Threshold: old.Threshold}
	for i, h := range old.customers() {
		spec.Holders = append(spec.Holders, newHolder{
			Name: r.holderName(i), Type: holderAPI, Node: nodes[i], Signer: h.Signer == nil || *h.Signer,
		})
	}
	g, err := f.p.createGroup(ctx, f.s.vault.ID, spec)
	if err != nil {
		return tryAgain(err)
	}
	if _, known := f.s.find(g.ID); known {
		return mismatch("the vendor answered with group %s of vault %s, which was there before it was asked for a new one", g.ID, f.s.vault.ID)
	}
	return goOn("group %s of vault %s was created to replace %s", g.ID, f.s.vault.ID, old.ID)
}

// tryAgain: which codes a wrong state gives is not documented, and the state may
// be of somebody else's making since the look. The next look tells; a person hears
// of it when that does not help.
func tryAgain(err error) error {
	if class, reason := provider.ClassOf(err); refused(err) && class == provider.Terminal && reason != provider.ReasonAuth {
		return provider.Errorf(provider.Retryable, reason, "%w", err)
	}
	return err
}

// exchange deletes a group whose replacement is complete.
func (f *refreshing) exchange(ctx context.Context, w work) error {
	vaultID := f.s.vault.ID
	absent, err := f.fits(w, f.s)
	switch key := "replacement/" + w.new.ID; {
	case errors.Is(err, errIncomplete):
		if now := f.p.now(); now.Sub(f.p.settling.note(key, now)) < f.p.settle {
			return after(minPoll, "group %s of vault %s is not complete yet", w.new.ID, vaultID)
		}
		f.p.settling.forget(key)
		return err
	case err != nil:
		return err
	case len(absent) > 0:
		since := f.p.settling.note(key, f.p.now())
		return f.waits(since, fmt.Sprintf("group %s of vault %s is kept until %s can take its place", w.old.ID, vaultID, w.new.ID), absent)
	}
	err = f.p.remove(ctx, vaultID, w.old, noRequests, func(again group) error {
		return f.anew(ctx, again, func(s state, o others) bool {
			return slices.ContainsFunc(o.work, func(x work) bool {
				if x.old.ID != w.old.ID || x.new == nil || x.new.ID != w.new.ID || x.new.Status != groupValid {
					return false
				}
				absent, err := f.fits(x, s)
				return err == nil && len(absent) == 0
			})
		})
	})
	if err != nil {
		return err
	}
	f.p.settling.forget("replacement/" + w.new.ID)
	f.p.log.Info("a group was replaced and deleted", "vault", vaultID, "type", w.old.Type, "old", w.old.ID, "new", w.new.ID)
	return goOn("group %s of vault %s was replaced by %s and deleted", w.old.ID, vaultID, w.new.ID)
}

// fits is what a group must prove before the one that it replaces is deleted: the
// same as "prepared", see verify. On which nodes it was to be is not on record;
// none of them may be in any other group.
func (f *refreshing) fits(w work, s state) (absent []holder, err error) {
	g := *w.new
	if g.Type != w.old.Type || len(g.customers()) != len(w.old.customers()) || slices.ContainsFunc(g.customers(), func(h holder) bool { return h.Type != holderAPI }) {
		return nil, mismatch("group %s of vault %s is not as %s, which it replaces", g.ID, s.vault.ID, w.old.ID)
	}
	var rest []group
	for _, other := range s.groups {
		if other.ID == g.ID {
			continue
		}
		rest = append(rest, other)
		for _, node := range nodesOf(g.customers()) {
			if other.alive() && slices.Contains(nodesOf(other.customers()), node) {
				return nil, mismatch("groups %s and %s of vault %s are both on TSS node %s", g.ID, other.ID, s.vault.ID, node)
			}
		}
	}
	asked := vendorRefs{Nodes: nodesOf(g.customers()), Participants: w.old.Participants, Threshold: w.old.Threshold}
	_, absent, err = asked.complete(s.vault.ID, f.keys, g, rest)
	return absent, err
}

// waits is the answer while people or parties are waited for. It names them once
// it has lasted.
func (f *refreshing) waits(since time.Time, doing string, who []holder) error {
	waited := f.p.now().Sub(since)
	n := &provider.NotYet{CheckAgain: pollAfter(waited), Doing: doing}
	if waited >= f.p.opts.ApprovalAttention {
		n.WaitsFor = waitingFor(who) + ", since " + since.UTC().Format(time.RFC3339)
	}
	return n
}

// chooseFor picks the nodes of the group that replaces another. Enough must be
// left for the next rotation of the Main Group, with those that become free:
// what is beside it must not be what stops it.
func (s state) chooseFor(old, main group, pool []string) ([]string, error) {
	holding := nodesOf(old.customers())
	able, busy := s.able(pool, holding)
	freed := 0
	for _, node := range holding {
		if slices.Contains(pool, node) {
			freed++
		}
	}
	if len(able) >= len(holding) && len(able)-len(holding)+freed >= len(main.customers()) {
		return able[:len(holding)], nil
	}
	return nil, provider.Errorf(provider.Retryable, provider.ReasonInvalidState,
		"%s %s of vault %s waits for TSS nodes: its replacement takes %d, and the next rotation %d; of the pool %d are free; add to tss_nodes (%s)",
		old.Type, old.ID, s.vault.ID, len(holding), len(main.customers()), len(able), busy)
}
