package assume

// Keys and values of Dynamic's, for the code that asks.
const (
	SecondRefresh     = "second_refresh"
	Coexists          = "coexists"
	InvalidatesOlder  = "invalidates_older"
	Refused           = "refused"
	Same              = "same"
	OldShare          = "old_share"
	SignsUntilSwap    = "signs_until_swap"
	DiesAtCeremonyEnd = "dies_at_ceremony_end"
	PendingSets       = "pending_sets"
	Kept              = "kept"
	Expire            = "expire"
	FailedCeremony    = "failed_ceremony"
	Discards          = "discards"
	LeavesPending     = "leaves_pending"
	BareLocations     = "bare_locations"
	ConfirmsActive    = "confirms_active"
	SwapsNewest       = "swaps_newest"
	RepeatedLocations = "repeated_locations"
	SameReply         = "same_reply"
	AlreadyBackedUp   = "already_backed_up"
	LocationsReply    = "locations_reply"
	Activated         = "activated"
	PendingOnce       = "pending_once"
	RefreshFields     = "refresh_fields"
	Full              = "full"
	Legacy            = "legacy"
	RefreshReply      = "refresh_reply"
	ByAccept          = "by_accept"
	JSONOnly          = "json_only"
	StaleShareSet     = "stale_share_set"
	NotFound          = "not_found"
	Unprocessable     = "unprocessable"
	WalletReply       = "wallet_reply"
	Both              = "both"
	WalletOnly        = "wallet"
	UserOnly          = "user"
	JWTLifetime       = "jwt_lifetime"
	OneHour           = "1h"
	TwoSeconds        = "2s"
	RateLimits        = "rate_limits"
	Off               = "off"
	Documented        = "documented"
)

var dynamicAssumptions = []Assumption{
	{SecondRefresh, []Value{
		{Coexists, "a second pending set appears beside the first"},
		{InvalidatesOlder, "the older pending set and its room end"},
		{Refused, "409 while one is pending"},
		{Same, "the pending set that is there is answered again; in a new room if its ceremony is over"},
	}, "Dynamic: POST refresh while another share set of the wallet is pending"},
	{OldShare, []Value{
		{SignsUntilSwap, "the active set signs until locations swaps it (\"atomic swap\")"},
		{DiesAtCeremonyEnd, "the active set no longer signs once a ceremony on it is complete (\"the old shares no longer sign\"); it can still be refreshed from"},
	}, "Dynamic: what the old share can do between ceremony and swap"},
	{PendingSets, []Value{
		{Kept, "a pending set waits for ever"},
		{Expire, "a pending set is gone ten minutes after its refresh"},
	}, "Dynamic: life of a pending set that nobody activates"},
	{FailedCeremony, []Value{
		{Discards, "the pending set is gone"},
		{LeavesPending, "the pending set stays, incomplete"},
	}, "Dynamic: what is left of a refresh whose ceremony failed or was never joined"},
	{BareLocations, []Value{
		{ConfirmsActive, "nothing is swapped: the active set is resolved from the wallet"},
		{SwapsNewest, "the newest complete pending set is swapped in"},
		{Refused, "422 share_set_id_required"},
	}, "Dynamic: locations without shareSetId"},
	{RepeatedLocations, []Value{
		{SameReply, "201 again"},
		{AlreadyBackedUp, "422 key_share_already_backed_up"},
	}, "Dynamic: locations for the set that is active already"},
	{LocationsReply, []Value{
		{Activated, "the set is swapped in at once"},
		{PendingOnce, "the first call for a set answers passwordUpdateStatus pending and swaps nothing"},
	}, "Dynamic: whether locations is done when it answers"},
	{RefreshFields, []Value{
		{Full, "shareSetId, shareSetType and accountAddress are there"},
		{Legacy, "an older backend: no shareSetId in the reply, nor in ceremony_complete"},
	}, "Dynamic: what a refresh reply names"},
	{RefreshReply, []Value{
		{ByAccept, "event stream when the request accepts one, else JSON"},
		{JSONOnly, "plain JSON, whatever was asked for"},
	}, "Dynamic: what decides between the two representations"},
	{StaleShareSet, []Value{
		{NotFound, "404 with a code"},
		{Unprocessable, "422 with code wallet_not_active"},
	}, "Dynamic: a shareSetId that is not (or no longer) what the call needs"},
	{WalletReply, []Value{
		{Both, "the wallet object and the user's fields"},
		{WalletOnly, "the wallet object, as the wallet packages read it"},
		{UserOnly, "the user with filtered credentials, as the OpenAPI says"},
	}, "Dynamic: shape of byWalletAddress"},
	{JWTLifetime, []Value{
		{OneHour, "an hour"},
		{TwoSeconds, "two seconds, to see re-authentication"},
	}, "Dynamic: life of the exchanged JWT"},
	{RateLimits, []Value{
		{Off, "none"},
		{Documented, "the documented ones per IP and environment; /server, which has none documented, is given those of /environments"},
	}, "Dynamic: whether requests are limited"},
}
