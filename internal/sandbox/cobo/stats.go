package cobo

import (
	"regexp"

	"github.com/rotatord/rotatord/internal/sandbox/tally"
)

// Stats is what the vendor counted.
type Stats struct {
	// Requests received by operation, those that a fault swallowed included.
	// The sandbox shows them among all others.
	Requests   map[string]int        `json:"-"`
	Ceremonies tally.Ceremonies      `json:"ceremonies"` // TSS requests
	Vaults     map[string]VaultStats `json:"vaults"`
	Orphans    Orphans               `json:"orphans"`
	Webhooks   Deliveries            `json:"webhooks"`
}

// VaultStats counts for one vault.
type VaultStats struct {
	Groups          int                        `json:"groups"` // made so far, the first Main Group not counted
	TSSRequests     int                        `json:"tss_requests"`
	PeakTSSRequests int                        `json:"peak_tss_requests"` // most at the same time
	Promotions      map[string]tally.Promotion `json:"promotions"`        // upgrade calls and their effects, by group
	Deleted         map[string]string          `json:"deleted"`           // by delete calls: group to its type then
}

// Orphans are what an attempt left behind: groups that were made for one (its
// id is in a holder's name, or in the description of a TSS request for the
// group), never became Main Group and are not deleted; and TSS requests that
// name an attempt and are still running. While attempts are under way theirs
// are among them. A group that says that it replaces another is none once it has
// taken the other's place, but a second one for the same group is.
type Orphans struct {
	Groups      []string `json:"groups"`
	TSSRequests []string `json:"tss_requests"`
}

// attemptID is what an attempt's id looks like, in either case.
var attemptID = regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// ofAnAttempt says whether a group was made for one. The caller holds mu.
func (vt *vault) ofAnAttempt(g *group) bool {
	for _, h := range g.holders {
		if attemptID.MatchString(h.name) {
			return true
		}
	}
	for _, q := range vt.requests {
		if q.target == g.id && attemptID.MatchString(q.description) {
			return true
		}
	}
	return false
}

// replacing is what a group's holders are named that is made in place of another.
var replacing = regexp.MustCompile(`(?i)[0-9a-f]{12} replaces ([A-Za-z0-9_-]+)`)

// replaces is the id of the group that another was made in place of.
func (g *group) replaces() string {
	for _, h := range g.holders {
		if match := replacing.FindStringSubmatch(h.name); match != nil {
			return match[1]
		}
	}
	return ""
}

// pending says whether a group is an attempt's, made and neither promoted nor
// deleted, or is yet to replace another one. The caller holds mu.
func (vt *vault) pending(g *group) bool {
	return !g.deleted && !g.wasMain && vt.ofAnAttempt(g) && !vt.tookPlace(g)
}

// tookPlace says that a group replaced another: it has shares, the other is
// gone, and no other group did before. The caller holds mu.
func (vt *vault) tookPlace(g *group) bool {
	of := g.replaces()
	if old := vt.find(of); of == "" || old == nil || !old.deleted || g.status != StatusValid {
		return false
	}
	for _, other := range vt.groups {
		if other == g {
			return true
		}
		if !other.deleted && other.status == StatusValid && other.replaces() == of {
			return false
		}
	}
	return true
}

// Stats returns a copy of the counters.
func (v *Vendor) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	stats := Stats{
		Requests: v.requests.All(), Ceremonies: v.load.Ceremonies,
		Vaults:  make(map[string]VaultStats, len(v.vaults)),
		Orphans: Orphans{Groups: []string{}, TSSRequests: []string{}},
	}
	v.courier.mu.Lock()
	stats.Webhooks = v.courier.counted
	v.courier.mu.Unlock()
	for _, vt := range v.vaults {
		deleted := make(map[string]string, len(vt.deletions))
		for id, kind := range vt.deletions {
			deleted[id] = kind
		}
		stats.Vaults[vt.id] = VaultStats{
			Groups: len(vt.groups) - 1, TSSRequests: len(vt.requests), PeakTSSRequests: vt.peak,
			Promotions: vt.promotions.All(), Deleted: deleted,
		}
		for _, g := range vt.groups {
			if vt.pending(g) {
				stats.Orphans.Groups = append(stats.Orphans.Groups, g.id)
			}
		}
		for _, q := range vt.requests {
			if !q.ended() && attemptID.MatchString(q.description) {
				stats.Orphans.TSSRequests = append(stats.Orphans.TSSRequests, q.id)
			}
		}
	}
	return stats
}
