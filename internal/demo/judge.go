package demo

import (
	"context"
	"fmt"

	"github.com/rotatord/rotatord/internal/sandbox"
)

// evidence is what a verdict is made of. Neither side of it comes from the
// daemon's own counters.
type evidence struct {
	policies []policy
	record   []recorded                     // the database
	before   map[string]sandbox.WalletState // vendor and co-signer, before the first rotation
	after    map[string]sandbox.WalletState // and now, proven by signatures
	tampered map[string]string
	orphans  []string // what attempts left behind at the vendor
	// full: the demo was long enough for two rotations of each wallet.
	full bool
}

func (s *stage) judge(ctx context.Context, interrupted bool) (*Summary, error) {
	e := evidence{policies: s.policies(), before: s.before, full: s.For >= fullLength && !interrupted}
	var err error
	if e.record, err = s.operator.record(ctx); err != nil {
		return nil, err
	}
	s.Screen.Line("asking the sandbox to sign with every wallet, and with every old share")
	if e.after, err = s.truth(ctx); err != nil {
		return nil, err
	}
	if e.orphans, err = s.orphans(ctx); err != nil {
		return nil, err
	}
	if e.tampered, err = s.tampered(ctx, e.record); err != nil {
		return nil, err
	}
	summary := e.summary()
	summary.Interrupted = interrupted
	return summary, nil
}

// rotationsAsked is how often each wallet must have rotated in a full demo.
const rotationsAsked = 2

// checks are all that must hold. Each returns what is wrong with a wallet, or
// nothing.
func (e *evidence) checks() []check {
	return []check{
		{"every wallet rotated at least twice", !e.full, func(r recorded) string {
			if n := e.after[r.ExternalID].Generation; n < rotationsAsked {
				return fmt.Sprintf("rotated %d times", n)
			}
			return ""
		}},
		{"every wallet signs under its original public key", false, func(r recorded) string {
			now := e.after[r.ExternalID]
			switch {
			case now.PublicKey != e.before[r.ExternalID].PublicKey:
				return "its public key changed"
			case !now.CanSign:
				return "it cannot sign"
			}
			return ""
		}},
		{"no old share signs", false, func(r recorded) string {
			switch now := e.after[r.ExternalID]; {
			case now.OldShareSigns:
				return "an old share still signs"
			case now.Retiring:
				return "the vendor still keeps its old shares"
			}
			return ""
		}},
		{"vendor, co-signer and record agree on every active share set", false, func(r recorded) string {
			now := e.after[r.ExternalID]
			recorded := r.Active
			if r.Generation == 0 && recorded == "" {
				// Nothing is on record before the first look at a wallet.
				recorded = e.before[r.ExternalID].ActiveShareSet
			}
			coSigner := now.CosignerShareSet
			if now.Provider == coboName { // its parties are the vendor's and the TSS nodes
				coSigner = now.ActiveShareSet
			}
			if now.ActiveShareSet != recorded || coSigner != recorded || now.Generation != r.Generation {
				return fmt.Sprintf("vendor %s (generation %d), co-signer %s, record %s (generation %d)",
					now.ActiveShareSet, now.Generation, coSigner, recorded, r.Generation)
			}
			return ""
		}},
		{"every history verifies", false, func(r recorded) string { return e.tampered[r.ExternalID] }},
		{"no wallet waits for a person", false, func(r recorded) string { return r.Attention }},
	}
}

// check is one thing that must hold for every wallet.
type check struct {
	name    string
	skipped bool
	wrong   func(recorded) string
}

// examples is how many wallets a failed check names.
const examples = 3

func (e *evidence) summary() *Summary {
	s := &Summary{Policies: e.perPolicy(), OK: true}
	for _, c := range e.checks() {
		result := Check{Name: c.name, OK: true, Skipped: c.skipped}
		for _, r := range e.record {
			if c.skipped {
				break
			}
			if wrong := c.wrong(r); wrong != "" {
				result.OK, s.OK = false, false
				if result.Failed++; result.Failed <= examples {
					result.Examples = append(result.Examples, fmt.Sprintf("wallet %d, %s: %s", r.ID, r.Policy, wrong))
				}
			}
		}
		s.Checks = append(s.Checks, result)
	}
	nothingLeft := Check{Name: "nothing that an attempt opened is left at the vendor", OK: len(e.orphans) == 0, Failed: len(e.orphans),
		Examples: e.orphans[:min(len(e.orphans), examples)]}
	s.Checks, s.OK = append(s.Checks, nothingLeft), s.OK && nothingLeft.OK
	if len(e.record) != len(e.before) {
		s.OK = false
		s.Checks = append(s.Checks, Check{Name: "every wallet of the sandbox is on record", Failed: len(e.before) - len(e.record)})
	}
	return s
}

func (e *evidence) perPolicy() []PolicySummary {
	rows := make([]PolicySummary, len(e.policies))
	for i, p := range e.policies {
		row := &rows[i]
		row.Policy, row.Schedule = p.name, p.schedule()
		for _, r := range e.record {
			if r.Policy != p.name {
				continue
			}
			now := e.after[r.ExternalID]
			row.Wallets++
			row.Rotations += r.Generation
			row.Failures += r.Failures
			row.OldestSeconds = max(row.OldestSeconds, r.Age.Seconds())
			row.OldShares += now.Generation
			if now.CanSign {
				row.CanSign++
			}
			if !now.OldShareSigns {
				row.OldSharesDead += now.Generation
			}
		}
	}
	return rows
}
