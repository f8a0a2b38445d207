package cobo

import (
	"fmt"
	"net/url"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/seed"
	"github.com/rotatord/rotatord/internal/sandbox/tally"
)

// vault is one root key per curve, and everyone who ever held shares of them.
type vault struct {
	at          int
	number      int // from 0
	id, name    string
	created     time.Time
	rootPubkeys map[mpc.Curve]string

	groups   []*group // deleted ones, too
	requests []*request

	generation int // Main Groups so far, the first one not counted
	running    int // TSS requests
	peak       int // of running
	promotions tally.Promotions
	deletions  map[string]string // group → its type when it was deleted by a call
}

// newVault makes a vault with a 2-of-2 Main Group of Cobo and one server node.
// The caller holds mu, or is New.
func (v *Vendor) newVault(random seed.Source, number int) (*vault, error) {
	vt := &vault{
		at: v.next(), number: number, id: random.UUID(), name: fmt.Sprintf("vault %d", number+1), created: v.now(),
		rootPubkeys: make(map[mpc.Curve]string), promotions: make(tally.Promotions), deletions: make(map[string]string),
	}
	server := v.nodes[number%len(v.nodes)]
	g := &group{
		at: v.next(), id: random.UUID(), kind: MainGroup, status: StatusValid, threshold: 2, created: v.now(), wasMain: true,
		keys: make(map[mpc.Curve]sharing), keyed: v.next(),
		holders: []*holder{
			v.coboHolder(number),
			{name: "server", kind: HolderAPI, nodeID: server.id, signer: true, status: StatusValid},
		},
	}
	for _, c := range curveNames {
		shares, err := mpc.GenerateShares(c.curve, g.threshold, len(g.holders), random)
		if err != nil {
			return nil, err
		}
		g.keys[c.curve] = sharing{id: random.Letters(20), shares: shares}
		vt.rootPubkeys[c.curve] = shares[0].RootPubkey()
	}
	vt.groups = []*group{g}
	return vt, nil
}

// main is the vault's Valid Main Group. The caller holds mu.
func (vt *vault) main() *group {
	for _, g := range vt.groups {
		if g.kind == MainGroup && g.status == StatusValid && !g.deleted {
			return g
		}
	}
	return nil
}

func (v *Vendor) listVaults(c *call) (any, *refusal) {
	query := c.URL.Query()
	if refusal := checkVaultType(query); refusal != nil {
		return nil, refusal
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var entries []entry[vaultJSON]
	for _, vt := range v.vaults {
		if query.Get("vault_type") == orgControlled && c.hit.Kind != faults.LoseState {
			entries = append(entries, entry[vaultJSON]{vt.at, vt.json(c.hit)})
		}
	}
	return paginate(query, entries)
}

func checkVaultType(query url.Values) *refusal {
	hasProject := query.Get("project_id") != ""
	switch query.Get("vault_type") {
	case "":
		return missing("vault_type")
	case orgControlled:
		if hasProject {
			return invalid("project_id is for User-Controlled vaults")
		}
	case userControlled:
		if !hasProject {
			return missing("project_id")
		}
	default:
		return invalid("vault_type")
	}
	return nil
}

func (v *Vendor) getVault(c *call) (any, *refusal) {
	if c.hit.Kind == faults.LoseState {
		return nil, notFound("vault")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return c.vault.json(c.hit), nil
}

func (vt *vault) json(hit faults.Hit) vaultJSON {
	out := vaultJSON{VaultID: vt.id, Name: vt.name, Type: orgControlled, Created: vt.created.UnixMilli()}
	for _, c := range curveNames {
		out.RootPubkeys = append(out.RootPubkeys, rootPubkey{told(hit, c.name, vt.rootPubkeys[c.curve]), c.name})
	}
	return out
}
