package cobo

import (
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
	sandbox "github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

func TestInspect(t *testing.T) {
	user := testVaultView()
	user.Type = "User-Controlled"
	otherVault := testVaultView()
	otherVault.ID = "other"
	oneKey := testVaultView()
	oneKey.RootPubkeys = oneKey.RootPubkeys[:1]
	noKeys := testVaultView()
	noKeys.RootPubkeys = nil
	otherKey := testVaultView()
	otherKey.RootPubkeys = []rootKey{{Curve: "SECP256K1", RootPubkey: secpKey}, {Curve: "ED25519", RootPubkey: "xpubOther"}}
	swappedKeys := testVaultView()
	swappedKeys.RootPubkeys = []rootKey{{Curve: "SECP256K1", RootPubkey: edKey}, {Curve: "ED25519", RootPubkey: secpKey}}
	twice := testVaultView()
	twice.RootPubkeys = append(twice.RootPubkeys, twice.RootPubkeys[0])
	old := func(change func(*group)) []group { return []group{with(oldMain(), change)} }
	second := with(oldMain(), func(g *group) { g.ID = "second" })
	for name, tt := range map[string]struct {
		vault  vault
		groups []group
		class  provider.Class // empty: no error
		found  bool           // beside an error
	}{
		"as usual": {testVaultView(), []group{oldMain()}, "", true},
		"other groups beside it": {testVaultView(), []group{newOurs(), oldMain(), groupOn("r", "RecoveryGroup", groupValid, nodeC),
			with(second, func(g *group) { g.Status = groupUnavailable }), with(second, func(g *group) { g.ID, g.Status = "third", groupNew })}, "", true},
		"its node is offline":     {testVaultView(), old(func(g *group) { g.Holders[1].Online = &no }), "", true},
		"Cobo's holder not shown": {testVaultView(), old(func(g *group) { g.Holders = g.Holders[1:] }), "", true},
		"a type that is not told": {vault{ID: testVault, RootPubkeys: testVaultView().RootPubkeys}, []group{oldMain()}, "", true},

		"two Main Groups":           {testVaultView(), []group{oldMain(), second}, provider.Verification, false},
		"none":                      {testVaultView(), nil, provider.Terminal, false},
		"only a New one":            {testVaultView(), old(func(g *group) { g.Status = groupNew }), provider.Terminal, false},
		"a status nobody knows":     {testVaultView(), old(func(g *group) { g.Status = "Frozen" }), provider.Terminal, false},
		"a phone is being changed":  {testVaultView(), old(func(g *group) { g.Status, g.Holders[1].Type = groupUnavailable, holderMobile }), provider.Terminal, false},
		"another vault":             {otherVault, []group{oldMain()}, provider.Verification, false},
		"vault without keys":        {noKeys, []group{oldMain()}, provider.Verification, false},
		"group without keys":        {testVaultView(), old(func(g *group) { g.Keys = nil }), provider.Verification, false},
		"neither has keys":          {noKeys, old(func(g *group) { g.Keys = nil }), provider.Verification, false},
		"the vault has one more":    {testVaultView(), old(func(g *group) { g.Keys = g.Keys[:1] }), provider.Verification, false},
		"the group has one more":    {oneKey, []group{oldMain()}, provider.Verification, false},
		"one curve differs":         {otherKey, []group{oldMain()}, provider.Verification, false},
		"the curves are mixed up":   {swappedKeys, []group{oldMain()}, provider.Verification, false},
		"a curve twice":             {twice, []group{oldMain()}, provider.Verification, false},
		"a user's vault":            {user, []group{oldMain()}, provider.Terminal, true},
		"a phone holds a share":     {testVaultView(), old(func(g *group) { g.Holders[1].Type = holderMobile }), provider.Terminal, true},
		"a new kind of holder":      {testVaultView(), old(func(g *group) { g.Holders[1].Type = "Card" }), provider.Terminal, true},
		"a holder without a node":   {testVaultView(), old(func(g *group) { g.Holders[1].Node = "" }), provider.Terminal, true},
		"a holder that is not told": {testVaultView(), old(func(g *group) { g.Participants = 3 }), provider.Terminal, true},
		"no threshold":              {testVaultView(), old(func(g *group) { g.Threshold = 0 }), provider.Terminal, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, nil)
			w.answer(routeVault, w.says(200, tt.vault))
			w.groups(tt.groups...)
			found, err := w.p.Inspect(t.Context(), attempt().Wallet)
			if class, _ := provider.ClassOf(err); (err == nil) != (tt.class == "") || err != nil && class != tt.class {
				t.Errorf("%v", err)
			}
			want := provider.Inspection{}
			if tt.found {
				want = provider.Inspection{ActiveShareSet: oldGroupID, PublicKey: rootText}
			}
			if found != want {
				t.Errorf("found %+v, want %+v", found, want)
			}
			if err != nil {
				// What is refused is never begun.
				rec := &recorder{}
				if _, err := w.p.Open(t.Context(), attempt(), rec.checkpoint); err == nil || len(rec.pending)+len(w.changes()) > 0 {
					t.Errorf("opened: %v", err)
				}
			}
		})
	}
	w := newWire(t, nil)
	for _, id := range []string{"", "../x", "a/b", "x y"} {
		_, err := w.p.Inspect(t.Context(), provider.Wallet{ExternalID: id})
		wantClass(t, err, provider.Terminal, provider.ReasonInvalidState)
	}
	if n := len(w.asked("")); n > 0 {
		t.Errorf("%d requests", n)
	}
}

// TestWrongKeyOnOneCurve: an answer with another root key on one curve, wherever
// it is, stops everything that reads it.
func TestWrongKeyOnOneCurve(t *testing.T) {
	for _, curve := range []string{"ED25519", "SECP256K1"} {
		for _, operation := range []string{"get_vault", "list_groups"} {
			o := newOrganisation(t, nil, nil)
			a := o.prepare()
			o.fail(wrongKey(operation, curve))
			_, err := o.p.Inspect(t.Context(), a.Wallet)
			o.wantErr(err, provider.Verification, provider.ReasonVerification)
			o.fail(wrongKey(operation, curve))
			o.wantErr(o.p.Promote(t.Context(), a), provider.Verification, provider.ReasonVerification)
			o.wantActive(a.OldShareSet)
		}
	}
}

// TestFaultsOfReading: nothing that happens to a read is in doubt.
func TestFaultsOfReading(t *testing.T) {
	for _, operation := range []string{"get_vault", "list_groups"} {
		for name, tt := range map[string]struct {
			fault  faults.Fault
			class  provider.Class
			reason provider.Reason
		}{
			"lost request": {breaks(operation, faults.LostRequest), provider.Retryable, provider.ReasonProviderError},
			"lost reply":   {breaks(operation, faults.LostReply), provider.Retryable, provider.ReasonProviderError},
			"half a reply": {breaks(operation, faults.DropStream), provider.Retryable, provider.ReasonProviderError},
			"slow":         {breaks(operation, faults.Latency), provider.Retryable, provider.ReasonTimeout},
			"429":          {status(operation, 429), provider.RateLimited, provider.ReasonRateLimited},
			"401":          {status(operation, 401), provider.Terminal, provider.ReasonAuth},
			"403":          {breaks(operation, faults.Reject), provider.Terminal, provider.ReasonAuth},
			"500":          {status(operation, 500), provider.Retryable, provider.ReasonProviderError},
			"503":          {status(operation, 503), provider.Retryable, provider.ReasonProviderError},
			"504":          {status(operation, 504), provider.Retryable, provider.ReasonTimeout},
			"nothing":      {breaks(operation, faults.LoseState), provider.Terminal, provider.ReasonInvalidState},
		} {
			t.Run(operation+" "+name, func(t *testing.T) {
				t.Parallel()
				o := newOrganisation(t, nil, func(opts *Options) { opts.CallTimeout = slow })
				o.fail(tt.fault)
				_, err := o.p.Inspect(t.Context(), o.wallet())
				wantClass(t, err, tt.class, tt.reason)
				if !strings.Contains(err.Error(), o.vault) {
					t.Errorf("%q does not name the vault", err)
				}
				o.inspect()
			})
		}
	}
}

// TestBiggerSchemes keeps threshold, participants and signers.
func TestBiggerSchemes(t *testing.T) {
	for _, threshold := range []int{2, 3} {
		o := newOrganisation(t, nil, nil)
		pool := o.vendor.Nodes()
		first := o.inspect().ActiveShareSet
		cobo := "" // the one of the Main Group
		s, err := o.p.look(t.Context(), o.vault)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range s.groups[0].Holders {
			if h.Type == holderCobo {
				cobo = h.Node
			}
		}
		id, err := o.vendor.AddGroup(o.vault, sandbox.NewGroup{Threshold: threshold, Holders: []sandbox.NewHolder{
			{Name: "Cobo", Type: "Cobo", TSSNodeID: cobo, Signer: true}, {Name: "1", Type: "API", TSSNodeID: pool[2], Signer: true},
			{Name: "2", Type: "API", TSSNodeID: pool[3]}}})
		if err != nil {
			t.Fatal(err)
		}
		for id, change := range map[string]sandbox.GroupChange{first: {Delete: true, Type: signingGroup}, id: {Type: mainGroup}} {
			if err := o.vendor.ChangeGroup(id, change); err != nil {
				t.Fatal(err)
			}
		}
		a := o.rotate()
		refs, _, _ := readRefs(a.Refs)
		if refs.Threshold != threshold || refs.Participants != 3 || !sameNodes(refs.Nodes, pool[:2]) {
			t.Errorf("%+v", refs)
		}
		s, err = o.p.look(t.Context(), o.vault)
		if err != nil {
			t.Fatal(err)
		}
		g, _ := s.find(a.PendingShareSet)
		if c := g.customers(); len(c) != 2 || !*c[0].Signer || *c[1].Signer || c[1].Name != holderName(a.ID, 1) {
			t.Errorf("holders %+v", c)
		}
	}
}
