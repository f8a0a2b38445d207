package history

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// csvColumns are the names of the line's fields, in its order.
var csvColumns = []string{"previous", "wallet_id", "seq", "generation", "policy_id", "outcome", "trigger", "tick", "opened_at", "decided_at",
	"rotation_id", "attempt_id", "share_set", "replaced", "key_fingerprint", "actor", "vendor_said", "hash", "odd"}

// fields are what stands under csvColumns; null is empty.
func (l line) fields() []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	policy := ""
	if l.PolicyID != nil {
		policy = number(int64(*l.PolicyID))
	}
	odd := ""
	if l.Odd {
		odd = "true"
	}
	return []string{hex.EncodeToString(l.Previous), number(l.WalletID), number(int64(l.Seq)), number(int64(l.Generation)), policy,
		l.Outcome, value(l.Trigger), orEmpty(l.Tick), orEmpty(l.OpenedAt), orEmpty(l.DecidedAt), orEmpty(l.RotationID), orEmpty(l.AttemptID),
		l.ShareSet, value(l.Replaced), hex.EncodeToString(value(l.KeyFingerprint)), value(l.Actor), value(l.VendorSaid),
		hex.EncodeToString(l.Hash), odd}
}

func orEmpty[V fmt.Stringer](v *V) string {
	if v == nil {
		return ""
	}
	return (*v).String()
}
