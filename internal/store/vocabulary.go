package store

// State of an open rotation. What each one promises, and which may follow
// which, is drawn in internal/rotation/doc.go.
type State string

const (
	Waiting  State = "waiting"
	Opening  State = "opening"
	Ceremony State = "ceremony"
	Prepared State = "prepared"
	Promoted State = "promoted"
	Failed   State = "failed"
)

// Trigger says why a rotation was started.
type Trigger string

const (
	Schedule  Trigger = "schedule"
	CatchUp   Trigger = "catchup"
	Emergency Trigger = "emergency"
	Manual    Trigger = "manual"
)

// Outcome is the decided fate of a share set.
type Outcome string

const (
	Baseline   Outcome = "baseline"
	Activated  Outcome = "activated"
	Abandoned  Outcome = "abandoned"
	Rejected   Outcome = "rejected"
	FailedSet  Outcome = "failed"
	Retired    Outcome = "retired"
	Reconciled Outcome = "reconciled"
)

// Attention is why a rotation waits for a person. The view attention says for
// each of them what to do.
type Attention string

const (
	BaselineMismatch  Attention = "baseline_mismatch"
	Drift             Attention = "drift"
	KeyAtRisk         Attention = "key_at_risk"
	PreparedShareLost Attention = "prepared_share_lost"
	PromoteRefused    Attention = "promote_refused"
	DoubtRemains      Attention = "in_doubt"
	CommitPending     Attention = "commit_pending"
	AttemptsUsedUp    Attention = "attempts_used_up"
	Mismatch          Attention = "verification"
	NeedsPerson       Attention = "terminal"
	PromotionStuck    Attention = "promotion_stuck"
	WaitsForApproval  Attention = "waits_for_approval"
)

// Wish is what a person asked for while a rotation was open.
type Wish string

const (
	// WishAbort ends the rotation before it is prepared.
	WishAbort Wish = "abort"
	// WishDiscard starts a prepared rotation over; the person has checked that
	// the old share set is active at the vendor.
	WishDiscard Wish = "discard"
	// WishReconcile has vendor, co-signer and record compared and the record
	// follow; then the rotation is closed. Nothing is opened under it, which the
	// database refuses as well.
	WishReconcile Wish = "reconcile"
)
