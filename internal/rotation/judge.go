package rotation

import (
	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// view is what vendor, co-signer and record say about a wallet.
type view struct {
	wallet   store.Wallet
	head     store.Head
	coSigned bool
	vendor   provider.Inspection
	held     cosigner.WalletStatus
	unheld   error // the co-signer's word that it holds nothing at all; nil: it does
}

// finding is what a view means and asks for. The look before an attempt acts
// on it, the comparison reports it.
type finding struct {
	result   Result
	baseline string                  // the public key to be recorded; empty: there is a baseline
	follow   bool                    // the record is to follow the vendor's active set
	commit   *cosigner.PreparedShare // that is to be made current at the co-signer; nil: none
	err      error                   // what a person must hear, once the record has followed; nil: nothing
}

// judge is rules 1 and 2. It is a pure function.
func judge(v view) finding {
	active, recorded := v.vendor.ActiveShareSet, v.head.ActiveShareSet
	switch {
	case v.unheld != nil && recorded == "":
		return finding{result: Mismatch, err: v.unheld}
	case v.unheld != nil:
		// It had one when the baseline was recorded.
		return finding{result: KeyAtRisk, err: attention(store.KeyAtRisk, mismatch("the vendor uses share set %s: %w", active, v.unheld))}
	case recorded == "":
		key, err := baselineKey(v.wallet, v.coSigned, v.vendor, v.held)
		if err != nil {
			return finding{result: Mismatch, err: attention(store.BaselineMismatch, err)}
		}
		return finding{result: NoBaseline, baseline: key}
	}
	if err := sameKey(v.wallet, v.head.PublicKey, v.vendor, v.coSigned, v.held); err != nil {
		return finding{result: Mismatch, err: attention(store.Mismatch, err)}
	}
	f := finding{result: Agree}
	if active != recorded {
		if err := mayFollow(v); err != nil {
			return finding{result: Drift, err: attention(store.Drift, err)}
		}
		f = finding{result: Reconcilable, follow: true}
	}
	if v.coSigned && v.held.CurrentShareSetID != active {
		return settle(f, v)
	}
	return f
}

// mayFollow is for a vendor whose active set is not the one on record: after a
// restore or failover of our database, or a rotation by hand. If the co-signer
// holds the vendor's set, nothing is lost and the record follows; else a
// person must look. Where there is no co-signer the vendor's parties hold it,
// and that the key is the one on record, which has been compared, is all that
// can be known; see also givenUp.
func mayFollow(v view) error {
	switch {
	case v.coSigned && !holds(v.held, v.vendor.ActiveShareSet):
		return mismatch("the vendor uses share set %s, on record is %s, and the co-signer does not hold the vendor's",
			v.vendor.ActiveShareSet, v.head.ActiveShareSet)
	case !v.coSigned && v.vendor.PublicKey == "":
		return mismatch("the vendor uses share set %s, on record is %s, and nobody tells the vendor's public key",
			v.vendor.ActiveShareSet, v.head.ActiveShareSet)
	}
	return nil
}

// settle makes sure that the co-signer's current share will be the one that
// fits the active set; a commit that never reached it is made up for.
func settle(f finding, v view) finding {
	active := v.vendor.ActiveShareSet
	switch able := prepared(v.held, active); len(able) {
	case 0:
		f.result = KeyAtRisk
		f.err = attention(store.KeyAtRisk, mismatch("the vendor's active share set is %s, but the co-signer's current share is of %s",
			active, quoted(v.held.CurrentShareSetID)))
	case 1:
		f.commit = &able[0]
		if !f.follow {
			f.result = CommitPending
		}
	default:
		f.result = KeyAtRisk
		f.err = attention(store.KeyAtRisk, mismatch("the co-signer has prepared %d shares of the active share set %s, and nobody can tell which one fits",
			len(able), active))
	}
	return f
}
