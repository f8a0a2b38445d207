package cobo

import (
	"slices"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// The operations, as faults and counters name them.
const (
	opListVaults      = "cobo.list_vaults"
	opGetVault        = "cobo.get_vault"
	opListCoboHolders = "cobo.list_cobo_holders"
	opListGroups      = "cobo.list_groups"
	opGetGroup        = "cobo.get_group"
	opCreateGroup     = "cobo.create_group"
	opUpgradeGroup    = "cobo.upgrade_group"
	opDeleteGroup     = "cobo.delete_group"
	opCreateRequest   = "cobo.create_tss_request"
	opListRequests    = "cobo.list_tss_requests"
	opGetRequest      = "cobo.get_tss_request"
	opCancelRequest   = "cobo.cancel_tss_request"
	opListHolders     = "cobo.list_holders"
	opGetHolder       = "cobo.get_holder"
	opCeremony        = "cobo.ceremony" // the TSS nodes' part, drawn once per TSS request
	opWebhook         = "cobo.webhook"  // drawn once per delivery
)

// registerFaults says what each operation can suffer, besides the generic
// kinds. A fault's wallet is the vault.
//
//	status            429, 414, 502, 503 and 504 come from a proxy: not JSON, not signed
//	reject            reads: 403; others: as in a wrong state
//	lose_state        reads: nothing is there; others: answered as if done, and nothing done
//	wrong_public_key  reads: another root key in this answer
//	holder_offline    reads: in this answer the holders that are not Cobo's are offline
//	approval_delay    upgrade_group, delete_group: takes effect after delay
//
// Of create_tss_request:
//
//	approval_delay    it waits for delay before holders confirm
//	reject            holders do not confirm: KeyHolderConfirmationFailed
//	wrong_public_key  the new group gets the key of another root, on one curve
//	lose_state        it ends in Success and the group stays New
//
// Of ceremony, decided apart from the call, so that it combines with
// approval_delay: the same but for approval_delay, and
//
//	latency           generating takes so much longer
//	status            KeyGeneratingFailed
//
// Of webhook: latency; status, lost_request: does not arrive and is sent again;
// lost_reply: arrives, and is sent again (doubled); late_effect: arrives delay
// later, after others (out of order); lose_state: never arrives.
func registerFaults(set *faults.Set) {
	generic := []faults.Kind{faults.Latency, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.LateReply, faults.DropStream}
	every := []faults.Kind{faults.Status, faults.Reject}
	for operation, own := range map[string][]faults.Kind{
		opListVaults:      {faults.LoseState, faults.WrongPublicKey},
		opGetVault:        {faults.LoseState, faults.WrongPublicKey},
		opListCoboHolders: {faults.LoseState},
		opListGroups:      {faults.LoseState, faults.WrongPublicKey, faults.HolderOffline},
		opGetGroup:        {faults.LoseState, faults.WrongPublicKey, faults.HolderOffline},
		opCreateGroup:     {faults.LoseState},
		opUpgradeGroup:    {faults.LoseState, faults.ApprovalDelay},
		opDeleteGroup:     {faults.LoseState, faults.ApprovalDelay},
		opCreateRequest:   {faults.LoseState, faults.ApprovalDelay, faults.WrongPublicKey},
		opListRequests:    {faults.LoseState},
		opGetRequest:      {faults.LoseState},
		opCancelRequest:   {faults.LoseState},
		opListHolders:     {faults.LoseState, faults.HolderOffline},
		opGetHolder:       {faults.LoseState, faults.HolderOffline},
	} {
		set.Register(faults.Operation{Name: operation, Generic: generic, Own: slices.Concat(every, own)})
	}
	set.Register(faults.Operation{Name: opCeremony, Own: []faults.Kind{
		faults.Latency, faults.Status, faults.Reject, faults.WrongPublicKey, faults.LoseState,
	}})
	set.Register(faults.Operation{Name: opWebhook, Own: []faults.Kind{
		faults.Latency, faults.Status, faults.LostRequest, faults.LostReply, faults.LateEffect, faults.LoseState,
	}})
}
