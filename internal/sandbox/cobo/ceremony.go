package cobo

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/seed"
)

// begin starts a request that is on record. The caller holds mu.
func (v *Vendor) begin(vt *vault, q *request) {
	vt.running++
	vt.peak = max(vt.peak, vt.running)
	v.load.Open(v.now())
	q.ceremony = v.faults.Decide(opCeremony, vt.id)
	switch q.call.Kind {
	case faults.Reject, faults.WrongPublicKey, faults.LoseState:
		q.ceremony.Kind, q.ceremony.Curve = q.call.Kind, q.call.Curve
	}
	v.announce(vt, q, eventCreated)
	if v.closed {
		return
	}
	v.background.Go(func() { v.run(vt, q) })
}

// end of a request, whatever its status. The caller holds mu.
func (v *Vendor) end(vt *vault, q *request, status string) {
	q.status = status
	close(q.stop)
	vt.running--
	v.load.End()
	switch status {
	case Success:
		v.announce(vt, q, eventSucceeded)
	case KeyHolderConfirmationFailed, KeyGeneratingFailed:
		v.announce(vt, q, eventFailed)
	default:
		v.announce(vt, q, eventUpdated)
	}
}

// run takes a request through its statuses. Every step gives up when the
// request was ended by someone else meanwhile.
func (v *Vendor) run(vt *vault, q *request) {
	var approval time.Duration
	if q.call.Kind == faults.ApprovalDelay {
		approval = q.call.Late
	}
	if !v.awaitApproval(q, approval) || !v.awaitNodes(vt, q) {
		return
	}
	if q.ceremony.Kind == faults.Reject {
		v.fail(vt, q, KeyHolderConfirmationFailed)
		return
	}
	for _, status := range []string{MPCProcessing, KeyGenerating} {
		if !v.enter(vt, q, status) || !v.pause(v.options.Pace, q.stop) {
			return
		}
	}
	if !v.pause(q.ceremony.Delay, q.stop) {
		return
	}
	if q.ceremony.Kind == faults.Status {
		v.fail(vt, q, KeyGeneratingFailed)
		return
	}
	v.generate(vt, q)
}

// awaitApproval waits for the holders, and for people if there are any.
func (v *Vendor) awaitApproval(q *request, people time.Duration) bool {
	timer := time.NewTimer(v.options.Pace + people)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-q.approved:
		return true
	case <-q.stop:
		return false
	case <-v.ctx.Done():
		return false
	}
}

// awaitNodes waits until every node that is to take part is online.
func (v *Vendor) awaitNodes(vt *vault, q *request) bool {
	for {
		v.mu.Lock()
		ready, turn := v.online(vt, q), v.nodeTurn
		v.mu.Unlock()
		if ready {
			return true
		}
		select {
		case <-turn:
		case <-q.stop:
			return false
		case <-v.ctx.Done():
			return false
		}
	}
}

// online says whether all nodes of a request are. The caller holds mu.
func (v *Vendor) online(vt *vault, q *request) bool {
	var holders []*holder
	holders = append(holders, vt.find(q.target).holders...)
	source := vt.find(q.source.ID)
	for _, i := range dealers(source, q.source.TSSNodeIDs) {
		holders = append(holders, source.holders[i])
	}
	return !slices.ContainsFunc(holders, func(h *holder) bool {
		n := v.node(h.nodeID)
		return n == nil || !n.online
	})
}

// dealers are the holders of a source group that take part: those named, or
// as many as are needed.
func dealers(source *group, named []string) []int {
	var indices []int
	for i, h := range source.holders {
		if len(named) > 0 && slices.Contains(named, h.nodeID) || len(named) == 0 && len(indices) < source.threshold {
			indices = append(indices, i)
		}
	}
	return indices
}

// enter gives a running request another status.
func (v *Vendor) enter(vt *vault, q *request, status string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if q.ended() {
		return false
	}
	q.status = status
	v.announce(vt, q, eventUpdated)
	return true
}

func (v *Vendor) fail(vt *vault, q *request, status string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if q.ended() {
		return
	}
	v.end(vt, q, status)
	vt.find(q.target).spent = true
}

// generate reshares both curves and books the result.
func (v *Vendor) generate(vt *vault, q *request) {
	v.mu.Lock()
	source, target := vt.find(q.source.ID), vt.find(q.target)
	v.mu.Unlock()
	// No lock for the arithmetic: groups stay on record, their holders never
	// change, and a source has its key already.
	keys, err := reshare(source, target, q)
	v.mu.Lock()
	gone := source.deleted || target.deleted || target.status != StatusNew
	if err != nil || gone || q.ended() {
		v.mu.Unlock()
		v.fail(vt, q, KeyGeneratingFailed)
		return
	}
	defer v.mu.Unlock()
	if q.ceremony.Kind != faults.LoseState {
		v.complete(vt, q, target, keys)
	}
	v.end(vt, q, Success)
}

// complete gives a group its key; a recovered Main Group replaces the old one
// at once. The caller holds mu.
func (v *Vendor) complete(vt *vault, q *request, target *group, keys map[mpc.Curve]sharing) {
	target.keys, target.keyed = keys, v.next()
	if q.kind == Recovery {
		if old := vt.main(); old != nil {
			v.drop(old)
		}
		target.wasMain = true
		vt.generation++
		vt.promotions.Of(target.id).Effects++
	}
	target.status = StatusValid
}

func reshare(source, target *group, q *request) (map[mpc.Curve]sharing, error) {
	names := seed.New(q.id, 0)
	keys := make(map[mpc.Curve]sharing)
	for _, c := range curveNames {
		var old []mpc.ThresholdShare
		for _, i := range dealers(source, q.source.TSSNodeIDs) {
			old = append(old, source.keys[c.curve].shares[i])
		}
		shares, err := mpc.Reshare(old, target.threshold, len(target.holders), rand.Reader)
		if q.ceremony.Kind == faults.WrongPublicKey && c.name == struckCurve(q.ceremony) {
			shares, err = mpc.GenerateShares(c.curve, target.threshold, len(target.holders), rand.Reader)
		}
		if err != nil {
			return nil, fmt.Errorf("resharing %s: %w", c.name, err)
		}
		keys[c.curve] = sharing{id: names.Letters(20), shares: shares}
	}
	return keys, nil
}
