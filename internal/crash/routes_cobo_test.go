//go:build crash

package crash

import (
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

const (
	createGroupCall   = "call wait/begin/open POST /v2/wallets/mpc/vaults/*/key_share_holder_groups"
	createRequestCall = "call wait/begin/open POST /v2/wallets/mpc/vaults/*/tss_requests"
	upgradeCall       = "call promote PUT /v2/wallets/mpc/vaults/*/key_share_holder_groups/*"
)

// checkpoints of one attempt: the plan, the group, the TSS request.
var checkpoints = map[string]int{"before record Checkpoint": 3, "after record Checkpoint": 3}

var coboRoutes = []route{
	{name: "straight", vendor: atCobo, twice: checkpoints},
	{name: "the reshare fails once", vendor: atCobo,
		arrange: breaking(faults.Fault{Operation: "cobo.ceremony", Kind: faults.Status, Times: 1})},
	{name: "the reply to the group's creation is lost", vendor: atCobo,
		arrange: breaking(faults.Fault{Operation: "cobo.create_group", Kind: faults.LostReply, Times: 1})},
	{name: "the group's creation is lost", vendor: atCobo,
		arrange: breaking(faults.Fault{Operation: "cobo.create_group", Kind: faults.LostRequest, Times: 1})},
	{name: "the reply to the TSS request's creation is lost", vendor: atCobo,
		arrange: breaking(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.LostReply, Times: 1})},
	{name: "the TSS request's creation is lost", vendor: atCobo,
		arrange: breaking(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.LostRequest, Times: 1})},
	{name: "the reply to the upgrade is lost", vendor: atCobo,
		arrange: breaking(faults.Fault{Operation: "cobo.upgrade_group", Kind: faults.LostReply, Times: 1})},
	{name: "the clean-up fails once", vendor: atCobo,
		arrange: breaking(faults.Fault{Operation: "cobo.delete_group", Kind: faults.LostRequest, Times: 1})},
	{name: "a person aborts", vendor: atCobo, undone: true, person: abortsOnce,
		arrange: breaking(slowReshare)},
	{name: "taken over with a plan", vendor: atCobo, arrange: takenOver("after record Checkpoint")},
	{name: "taken over with a group that is not on record", vendor: atCobo, arrange: takenOver("after " + createGroupCall)},
	{name: "taken over with a group", vendor: atCobo, arrange: takenOver("after record Checkpoint, 2")},
	{name: "taken over with a TSS request that is not on record", vendor: atCobo, arrange: takenOver("after " + createRequestCall)},
	{name: "taken over with a TSS request", vendor: atCobo, arrange: takenOver("after record Checkpoint, 3")},
	{name: "taken over when prepared", vendor: atCobo, arrange: takenOver("after record Prepared")},
	{name: "taken over after the upgrade", vendor: atCobo, arrange: takenOver("after " + upgradeCall)},
	{name: "taken over while cleaning up", vendor: atCobo, arrange: takenOver("after record TakeRetirements")},
}
