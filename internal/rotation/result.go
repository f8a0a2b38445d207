package rotation

// Result of a comparison of what vendor, co-signer and record say about a
// wallet.
type Result string

const (
	// Agree: all three name the same share set, key and address.
	Agree Result = "agree"
	// NoBaseline: nothing is on record yet, and the others agree.
	NoBaseline Result = "no_baseline"
	// InMotion: a rotation is past its opening and settles what may differ.
	InMotion Result = "in_motion"
	// Reconcilable: the vendor uses another share set than the one on record,
	// and the record may follow.
	Reconcilable Result = "reconcilable"
	// CommitPending: vendor and record agree; the co-signer has the share
	// prepared and not made current, so signing may fail.
	CommitPending Result = "commit_pending"
	// Drift: the vendor uses another share set than the one on record, and the
	// record may not follow.
	Drift Result = "drift"
	// KeyAtRisk: the co-signer has no share for the vendor's active set.
	KeyAtRisk Result = "key_at_risk"
	// Mismatch: public key or address differ.
	Mismatch Result = "mismatch"
	// Refused: the vendor does not know the wallet, or refuses to tell its
	// active share set.
	Refused Result = "refused"
	// Unreachable: somebody could not be asked.
	Unreachable Result = "unreachable"
)

// Results are all of them, in the order in which people read them.
var Results = []Result{Agree, NoBaseline, InMotion, Reconcilable, CommitPending, Drift, KeyAtRisk, Mismatch, Refused, Unreachable}

// Fine says that nobody has anything to do.
func (r Result) Fine() bool { return r == Agree || r == NoBaseline || r == InMotion }

// NextStep is what a person does about it; empty where there is nothing to do.
func (r Result) NextStep() string {
	switch r {
	case Reconcilable:
		return "request reconcile: the record follows"
	case CommitPending:
		return "request reconcile: the co-signer is told to commit"
	case Drift:
		return "find out who changed the share set at the vendor; bring the co-signer its share; then request reconcile"
	case KeyAtRisk:
		return "delete no share anywhere; restore the co-signer's share for the active set; then request reconcile"
	case Mismatch:
		return "find out who gives a wrong answer; correct it; then request reconcile"
	case Refused:
		return "ask the vendor about the wallet; disable it here if it is gone"
	case Unreachable:
		return "mend the cause and compare again"
	}
	return ""
}

// request says whether a request to reconcile is of any use: the engine looks
// again under its lease, and then acts, or calls a person.
func (r Result) request() bool {
	switch r {
	case Reconcilable, CommitPending, Drift, KeyAtRisk, Mismatch:
		return true
	}
	return false
}
