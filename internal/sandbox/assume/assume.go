// Package assume is the one place that lists what the vendors do not document
// and the sandbox therefore has to decide. Each decision has a default, can be
// switched with --assume key=value, and is tested under each of its values.
package assume

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Assumption is one undocumented behaviour.
type Assumption struct {
	Key    string
	Values []Value // the first is the default
	About  string
}

// Value is one way a vendor might behave.
type Value struct {
	Name  string
	About string
}

// Keys and values, for the code that asks.
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

// all is the list. Where the vendor's own texts lean one way, that is the
// default.
var all = []Assumption{
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

// All lists every assumption, in a fixed order.
func All() []Assumption { return slices.Clone(all) }

// Set is one choice for every assumption. The zero Set has the defaults.
type Set struct{ chosen map[string]string }

// Parse takes choices by key. An unknown key or value is refused, with the
// list of those there are.
func Parse(chosen map[string]string) (Set, error) {
	for _, key := range slices.Sorted(maps.Keys(chosen)) {
		i := slices.IndexFunc(all, func(a Assumption) bool { return a.Key == key })
		if i < 0 {
			return Set{}, fmt.Errorf("unknown assumption %q; there are:\n%s", key, Describe())
		}
		if !all[i].allows(chosen[key]) {
			return Set{}, fmt.Errorf("assumption %s cannot be %q; there are: %s", key, chosen[key], strings.Join(all[i].names(), ", "))
		}
	}
	return Set{maps.Clone(chosen)}, nil
}

// Is asks whether the assumption has this value. Asking for a pair that is not
// in the list is a mistake in the code and panics.
func (s Set) Is(key, value string) bool {
	i := slices.IndexFunc(all, func(a Assumption) bool { return a.Key == key })
	if i < 0 || !all[i].allows(value) {
		panic("assume: no such assumption: " + key + "=" + value)
	}
	if chosen, ok := s.chosen[key]; ok {
		return chosen == value
	}
	return all[i].Values[0].Name == value
}

// Chosen is the value of every assumption, by key.
func (s Set) Chosen() map[string]string {
	out := make(map[string]string, len(all))
	for _, a := range all {
		out[a.Key] = a.Values[0].Name
	}
	maps.Copy(out, s.chosen)
	return out
}

// Describe is the list as text for people.
func Describe() string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "%s: %s\n", a.Key, a.About)
		for i, v := range a.Values {
			mark := ""
			if i == 0 {
				mark = " (default)"
			}
			fmt.Fprintf(&b, "    %s%s: %s\n", v.Name, mark, v.About)
		}
	}
	return b.String()
}

func (a Assumption) names() []string {
	var names []string
	for _, v := range a.Values {
		names = append(names, v.Name)
	}
	return names
}

func (a Assumption) allows(value string) bool { return slices.Contains(a.names(), value) }
