package assume

// Keys and values of Cobo's, for the code that asks.
const (
	CoboWrongState      = "cobo_wrong_state"
	InvalidParameter    = "invalid_parameter"
	Forbidden           = "forbidden"
	ServerError         = "server_error"
	CoboAfterCancel     = "cobo_after_cancel"
	GroupStaysNew       = "group_stays_new"
	GroupVanishes       = "group_vanishes"
	CoboFailedRequest   = "cobo_failed_request"
	Allowed             = "allowed"
	CoboSecondRequest   = "cobo_second_request"
	CoboRetiredNode     = "cobo_retired_node"
	CoboListRequests    = "cobo_list_tss_requests"
	Target              = "target"
	CoboDeletedGroup    = "cobo_deleted_group"
	Unavailable         = "unavailable"
	UnknownStatus       = "unknown_status"
	CoboUpgrade         = "cobo_upgrade"
	Synchronous         = "synchronous"
	Delayed             = "delayed"
	CoboRepeatedUpgrade = "cobo_repeated_upgrade"
	CoboDelete          = "cobo_delete"
	AtOnce              = "at_once"
	CoboApprovals       = "cobo_approvals"
	TSSRequests         = "tss_requests"
	Upgrades            = "upgrades"
	UpgradesAndDeletes  = "upgrades_and_deletes"
	CoboNonces          = "cobo_nonces"
	OnceInFiveMinutes   = "once_in_5m"
	WithinFiveMinutes   = "within_5m"
	AnyNonce            = "any"
)

var coboAssumptions = []Assumption{
	{CoboWrongState, []Value{
		{InvalidParameter, "400 with code 2006"},
		{Forbidden, "403 with code 2025"},
		{ServerError, "500 with code 1000, although nothing was done"},
	}, "Cobo: the answer to a call that does not fit the state of a group or TSS request, the same-node rule included"},
	{CoboAfterCancel, []Value{
		{GroupStaysNew, "the target group stays New"},
		{GroupVanishes, "the target group is deleted with it"},
	}, "Cobo: what a cancelled TSS request leaves; its own status is Success"},
	{CoboFailedRequest, []Value{
		{Allowed, "another TSS request may target the same New group"},
		{Refused, "the group takes no other TSS request"},
	}, "Cobo: a New group whose TSS request failed or was cancelled"},
	{CoboSecondRequest, []Value{
		{Allowed, "they run side by side"},
		{Refused, "the second one is refused"},
	}, "Cobo: a TSS request of a vault, for another group, while one is running"},
	{CoboRetiredNode, []Value{
		{Allowed, "a node is free again once its group is deleted or invalidated"},
		{Refused, "a node that once held a key of a vault never holds another one of it"},
	}, "Cobo: whether a retired TSS node may come back"},
	{CoboListRequests, []Value{
		{Target, "requests whose target is the group"},
		{Both, "those whose source it is, too"},
	}, "Cobo: what list TSS requests finds for a group"},
	{CoboDeletedGroup, []Value{
		{NotFound, "404; it is not listed"},
		{Unavailable, "it stays listed, with status Unavailable"},
		{UnknownStatus, "it stays listed, with a status that the API does not document"},
	}, "Cobo: a group that was deleted, or a Main Group that was invalidated"},
	{CoboUpgrade, []Value{
		{Synchronous, "the group in the answer is the Main Group"},
		{Delayed, "the group in the answer is as before; it becomes the Main Group a moment later"},
	}, "Cobo: when an upgrade takes effect"},
	{CoboRepeatedUpgrade, []Value{
		{Refused, "a wrong state"},
		{SameReply, "200 again"},
	}, "Cobo: upgrading the group that is the Main Group already"},
	{CoboDelete, []Value{
		{AtOnce, "the group is gone when the call is answered"},
		{Delayed, "it is gone a moment later (\"submitted\")"},
	}, "Cobo: when a delete takes effect"},
	{CoboApprovals, []Value{
		{TSSRequests, "nothing else: a TSS request waits in PendingKeyHolderConfirmation"},
		{Upgrades, "upgrades, too: answered with the group as before, and take effect when approved"},
		{UpgradesAndDeletes, "upgrades and deletes"},
	}, "Cobo: which operations besides TSS requests a governance approval holds up"},
	{CoboNonces, []Value{
		{WithinFiveMinutes, "a time in milliseconds within five minutes; the official SDKs would collide under anything stricter"},
		{OnceInFiveMinutes, "the same, and each signed request once: two equal reads in one millisecond collide, and a GET that net/http repeats by itself is refused"},
		{AnyNonce, "any text"},
	}, "Cobo: which nonces are accepted"},
}
