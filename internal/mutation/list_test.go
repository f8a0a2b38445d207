package mutation

// mutation is one way to break the code.
type mutation struct {
	name string // what no longer holds
	file string
	// from must occur once in the file; it is replaced by to.
	from, to string
	// by are the tests that must fail, by package. Without the mutation they
	// pass, as every run of all tests shows.
	by map[string]string
}

const (
	rotation  = "internal/rotation"
	store     = "internal/store"
	scheduler = "internal/scheduler"
	cobo      = "internal/provider/cobo"
	dynamic   = "internal/provider/dynamic"
)

var mutations = []mutation{
	{
		name: "the intent is not recorded",
		file: "internal/rotation/wait.go",
		from: `	if err := j.opening.record(ctx, j.Lease.Epoch(), store.OpeningStep{
		WalletID: r.Wallet.ID, AttemptID: id, OldShareSet: r.Head.ActiveShareSet, At: now,
	}); err != nil {
		return false, err
	}
`,
		by: map[string]string{rotation: "TestRule3IntentBeforeAction"},
	},
	{
		name: "promoted before prepared is on record",
		file: "internal/rotation/ceremony.go",
		from: `	if err := j.recordPrepared(ctx, status.Fingerprint, false); err != nil {`,
		to: `	if err := p.Promote(ctx, j.attempt()); err != nil {
		return j.failed(err)
	}
	if err := j.recordPrepared(ctx, status.Fingerprint, false); err != nil {`,
		by: map[string]string{rotation: "TestRule3IntentBeforeAction"},
	},
	{
		name: "prepared without a look at the new share",
		file: "internal/rotation/ceremony.go",
		from: `		return fits(s, r.PendingShareSet, r.Head.PublicKey, j.known.Address)`,
		to:   `		return nil`,
		by:   map[string]string{rotation: "TestVerify"},
	},
	{
		name: "the co-signer is not asked before a promote",
		file: "internal/rotation/promote.go",
		from: `	if p.CoSigned() {
		if err := j.stillPrepared(ctx); err != nil {`,
		to: `	if false {
		if err := j.stillPrepared(ctx); err != nil {`,
		by: map[string]string{rotation: "TestRule4CoSignerAskedBeforeEveryPromote"},
	},
	{
		name: "the co-signer is not asked before a repeated promote",
		file: "internal/rotation/promote.go",
		from: `	j.fresh = false
	if r.Wish == store.WishDiscard {
		// The co-signer keeps the share.
		return j.failed(provider.Errorf(provider.Retryable, provider.ReasonInvalidState, "discarded by %s", r.WishActor))
	}
	if p.CoSigned() {`,
		to: `	first := j.fresh
	j.fresh = false
	if r.Wish == store.WishDiscard {
		// The co-signer keeps the share.
		return j.failed(provider.Errorf(provider.Retryable, provider.ReasonInvalidState, "discarded by %s", r.WishActor))
	}
	if p.CoSigned() && first {`,
		by: map[string]string{rotation: "TestRule4CoSignerAskedBeforeEveryPromote"},
	},
	{
		name: "abort and discard are sent before the abandonment is on record",
		file: "internal/rotation/failure.go",
		from: `		if err := record(f); err != nil {`,
		to: `		if err := j.discard(j.ctx, j.Providers[r.Wallet.Provider]); err != nil {
			return false, err
		}
		if err := record(f); err != nil {`,
		by: map[string]string{rotation: "TestRule3IntentBeforeAction"},
	},
	{
		name: "the intent is written without a look at the epoch",
		file: "internal/store/steps.go",
		from: `r.owner = $1 AND r.wish IS NULL AND s.active_share_set = t.old_share_set`,
		to:   `$1::bigint > 0 AND r.wish IS NULL AND s.active_share_set = t.old_share_set`,
		by:   map[string]string{store: "TestZombieChangesNothing"},
	},
	{
		name: "prepared is written without a look at the epoch",
		file: "internal/store/steps.go",
		from: `r.owner = $1 AND (r.wish IS NULL OR t.swapped)`,
		to:   `$1::bigint > 0 AND (r.wish IS NULL OR t.swapped)`,
		by:   map[string]string{store: "TestZombieChangesNothing"},
	},
	{
		name: "the history is written without a look at the epoch",
		file: "internal/store/history.go",
		from: `AND s.hash = t.previous` + "` + whereWallet + `" + ` AND r.owner = $1 AND ` + "`" + ` + whereRotation + ` + "`" + `
    RETURNING t.*, r.fingerprint, r.refs),
r AS (
    UPDATE rotations r SET ` + "` + setRotation + `" + `
      FROM w t WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.owner = $1 AND `,
		to: `AND s.hash = t.previous` + "` + whereWallet + `" + ` AND $1::bigint > 0 AND ` + "`" + ` + whereRotation + ` + "`" + `
    RETURNING t.*, r.fingerprint, r.refs),
r AS (
    UPDATE rotations r SET ` + "` + setRotation + `" + `
      FROM w t WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND `,
		by: map[string]string{store: "TestZombieChangesNothing"},
	},
	{
		name: "calls may outlast the lease",
		file: "internal/rotation/calls.go",
		from: `	if until := j.Lease.Until(); until.Before(end) {
		end = until
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	return ctx, cancel, nil`,
		to: `	ctx, cancel := context.WithDeadline(ctx, end)
	return ctx, cancel, nil`,
		by: map[string]string{rotation: "TestRule9Fencing"},
	},
	{
		name: "a time-out of a swap counts as its failure",
		file: "internal/rotation/promote.go",
		from: `	if err := j.doubt(ctx, asked); err != nil {`,
		to: `	if asked != nil {
		return j.failed(asked)
	}
	if err := j.doubt(ctx, asked); err != nil {`,
		by: map[string]string{rotation: "TestRule5NothingStartsOver|TestRule8UnknownOutcomesAreAsked"},
	},
	{
		name: "the reply to a swap is believed",
		file: "internal/rotation/promote.go",
		from: `	active, err := j.active(ctx, p)
	switch {
	case err != nil:
		return j.stay(err)
	case active == r.PendingShareSet:
		j.Metrics`,
		to: `	active, err := j.active(ctx, p)
	if asked == nil {
		active = r.PendingShareSet
	}
	switch {
	case err != nil:
		return j.stay(err)
	case active == r.PendingShareSet:
		j.Metrics`,
		by: map[string]string{rotation: "TestRule8UnknownOutcomesAreAsked"},
	},
	{
		name: "what the co-signer does not hold is followed",
		file: "internal/rotation/checks.go",
		from: `func holds(held cosigner.WalletStatus, shareSet string) bool {
`,
		to: `func holds(held cosigner.WalletStatus, shareSet string) bool {
	if shareSet != "" {
		return true
	}
`,
		by: map[string]string{rotation: "TestRule2LookBeforeEachAttempt"},
	},
	{
		name: "a record that was set back is worked on with what was known before",
		file: "internal/rotation/engine.go",
		from: `			j.closeSession()
			j.fresh = false
`,
		by: map[string]string{rotation: "TestRecordIsSetBackUnderALivingReplica"},
	},
	{
		name: "an abort gives up what the vendor uses",
		file: "internal/rotation/ceremony.go",
		from: `	case active == r.PendingShareSet && !p.CoSigned():`,
		to:   `	case false:`,
		by:   map[string]string{rotation: "TestRecordIsSetBackUnderALivingReplica"},
	},
	{
		name: "an abort keeps the record from what has happened",
		file: "internal/store/steps.go",
		from: `(r.wish IS NULL OR t.swapped)`,
		to:   `r.wish IS NULL`,
		by:   map[string]string{rotation: "TestRecordIsSetBackUnderALivingReplica"},
	},
	{
		name: "the grace period is not waited for",
		file: "internal/rotation/promote.go",
		from: `		step.DueAt = now.Add(grace)`,
		to:   `		step.DueAt = now.Add(0 * grace)`,
		by:   map[string]string{rotation: "TestRule7CleanUpOnlyAfterGrace"},
	},
	{
		name: "what is in use is cleaned up",
		file: "internal/rotation/retire.go",
		from: `	case v.ActiveShareSet == d.OldShareSet:`,
		to:   `	case false:`,
		by:   map[string]string{rotation: "TestRule7CleanUpOnlyAfterGrace"},
	},
	{
		name: "the history's hash leaves out who asked",
		file: "internal/store/chain.go",
		from: `	e.text(r.Actor)
`,
		by: map[string]string{store: "TestEncodingIsFixed"},
	},
	{
		name: "a group is deleted without another look at it",
		file: "internal/provider/cobo/remove.go",
		from: `	if err := may(again); err != nil {`,
		to: `	_ = again
	if err := may(g); err != nil {`,
		by: map[string]string{cobo: "TestTheAnswerChangesBeforeTheDelete"},
	},
}
