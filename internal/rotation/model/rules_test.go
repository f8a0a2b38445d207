package model

// rule is one of the rules of a rotation. With any of them switched off, the
// search must find harm.
type rule uint32

const (
	intentFirst rule = 1 << iota
	referenceFirst
	preparedFirst
	askedBeforePromote
	swapBeforeCommit
	statusProvesNothing
	doubtIsNoRefusal
	abandonedFirst
	discardBeforeNext
	neverAdopted
	lookBeforeAttempt
	commitBeforeClosing
	lookBeforeRemoving
	graceBeforeRemoving
	epochOnEveryWrite
	guardOnPromotion
	wishHeeded
	everyRule = 1<<iota - 1
)

func (r rule) on(which rule) bool { return r&which != 0 }

// The parties among which the rules are tried.
var (
	withCoSigner = parties{name: "with a co-signer, a person errs", coSigned: true, personErrs: true}
	newestOnly   = parties{name: "with a co-signer, the newest set wins", coSigned: true, newestWins: true}
	without      = parties{name: "without a co-signer, the vendor deletes what it is told to", deletesActive: true}
	withoutErrs  = parties{name: "without a co-signer, a person errs", personErrs: true}
	allParties   = []parties{withCoSigner, newestOnly, without, withoutErrs}
)

// without is what becomes of a rotation without a rule, and among whom.
type withoutRule struct {
	rule    rule
	says    string
	parties parties
	harm    wrong
}

// table has each rule with the worst that its absence leads to, or with one of
// the worst.
var table = []withoutRule{
	{intentFirst, "the intent to open is durable before the vendor is asked", withCoSigner, leftover},
	{referenceFirst, "the reference of the pending set is durable before the ceremony", withCoSigner, leftover},
	{preparedFirst, "promoted is only what is prepared on record", without, keyLost},
	{askedBeforePromote, "the co-signer is asked immediately before each promotion", withCoSigner, keyLost},
	{swapBeforeCommit, "the co-signer commits only what the vendor has made active", withCoSigner, keyLost},
	{statusProvesNothing, "a status code proves nothing, the vendor's word about its active set does", withCoSigner, keyLost},
	{doubtIsNoRefusal, "a time-out is no refusal", without, keyLost},
	{abandonedFirst, "abandoned is durable before anybody is told", without, keyLost},
	{discardBeforeNext, "everybody is told of an abandoned attempt before the next one begins", withCoSigner, adoptedAbandoned},
	{neverAdopted, "an abandoned set is never adopted", withoutErrs, adoptedAbandoned},
	{lookBeforeAttempt, "the vendor is looked at before each attempt", without, unsettled},
	{commitBeforeClosing, "a rotation is over when the co-signer has committed", withCoSigner, unsettled},
	{lookBeforeRemoving, "nothing is deleted without another look", without, keyLost},
	{graceBeforeRemoving, "nothing is deleted before its grace period is over", without, keyLost},
	{graceBeforeRemoving, "the co-signer drops nothing before its grace period is over", withCoSigner, keyLost},
	{epochOnEveryWrite, "every write carries the epoch", without, keyLost},
	{epochOnEveryWrite | guardOnPromotion, "a promotion is recorded from prepared and over the set it replaces, or at least under the epoch", withCoSigner, recordedTwice},
	{epochOnEveryWrite | guardOnPromotion, "the same", withCoSigner, twoHeads},
	{wishHeeded, "a wish that came in between is heeded when the rotation is taken in hand", without, stuck},
	// These are found before any harm is done.
	{preparedFirst, "promoted is only what is prepared on record", withCoSigner, promotedUnprepared},
	{swapBeforeCommit, "the co-signer commits only what the vendor has made active", withCoSigner, committedUnproven},
	{statusProvesNothing, "a status code proves nothing, the vendor's word about its active set does", without, recordedUntrue},
	{doubtIsNoRefusal, "a time-out is no refusal", newestOnly, promotedAbandoned},
	{abandonedFirst, "abandoned is durable before anybody is told", withCoSigner, toldUnrecorded},
	{epochOnEveryWrite, "every write carries the epoch", withCoSigner, staleWrite},
}
