package reference

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// model is the protocol as a specification: what each call must answer and
// what must be held afterwards, with no regard to files or goroutines.
type model struct {
	h          *house
	key        string
	current    shareRef
	retired    map[shareRef]time.Time // when to drop it
	ceremonies []*modelCeremony
	sets       int
}

type modelCeremony struct {
	cosigner.Ceremony
	from        shareRef
	state       cosigner.State
	inRoom      bool
	share       bool // a share of it is held
	fingerprint string
	dropAfter   time.Time
}

func (c *modelCeremony) ref() shareRef { return refOf(c.Ceremony) }

// TestModel runs random sequences of calls, room endings, restarts and hours
// against a co-signer and the model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "shares")
		if err != nil {
			rt.Fatal(err)
		}
		h := newHouse(rt, dir, nil)
		defer h.close()
		h.enrol(testWallet, "set-1")
		m := &model{h: h, current: first, retired: make(map[shareRef]time.Time), sets: 1}
		m.key = h.vendor[first].PublicKeyHex()
		rt.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"start":   m.start,
			"prepare": m.prepare,
			"switch":  m.switchOver,
			"repeat":  m.repeat,
			"join":    m.join,
			"fail":    m.fail,
			"commit":  m.commit,
			"abort":   m.abort,
			"wait":    m.wait,
			"restart": m.restart,
		})
	})
}

func (m *model) running() bool {
	return slices.ContainsFunc(m.ceremonies, func(c *modelCeremony) bool { return c.state == cosigner.Running })
}

// pick chooses a ceremony; nil when none fits.
func (m *model) pick(t *rapid.T, fits func(*modelCeremony) bool) *modelCeremony {
	var candidates []*modelCeremony
	for _, c := range m.ceremonies {
		if fits(c) {
			candidates = append(candidates, c)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	return rapid.SampledFrom(candidates).Draw(t, "ceremony")
}

func (m *model) start(t *rapid.T) {
	sets := []string{fmt.Sprintf("set-%d", m.sets+1), m.current.ShareSetID}
	previous := []string{m.current.ShareSetID, m.current.ShareSetID, "set-0"}
	for ref := range m.retired {
		sets, previous = append(sets, ref.ShareSetID), append(previous, ref.ShareSetID)
	}
	for _, c := range m.ceremonies {
		if c.share && (c.state == cosigner.Prepared || c.state == cosigner.Aborted) {
			// A vendor may answer a second refresh with the set it has.
			sets = append(sets, c.ShareSetID)
		}
	}
	slices.Sort(sets)
	slices.Sort(previous)
	c := m.h.ceremony(rapid.SampledFrom(previous).Draw(t, "previous"), rapid.SampledFrom(sets).Draw(t, "set"))

	_, isRetired := m.find(m.retired, c.ShareSetID)
	want := http.StatusAccepted
	if c.PreviousShareSetID != m.current.ShareSetID || c.ShareSetID == m.current.ShareSetID || isRetired || m.running() {
		want = http.StatusConflict
	}
	if got := m.h.post("/v1/ceremonies", c); got != want {
		t.Fatalf("starting %s from %s: status %d, want %d", c.ShareSetID, c.PreviousShareSetID, got, want)
	}
	if want == http.StatusAccepted {
		m.sets++
		m.ceremonies = append(m.ceremonies, &modelCeremony{Ceremony: c, from: m.current, state: cosigner.Running, inRoom: true})
	}
}

// prepare and switchOver take the straight way, so that a sequence gets to
// several prepared shares and several commits.
func (m *model) prepare(t *rapid.T) {
	if m.running() {
		return
	}
	set := fmt.Sprintf("set-%d", m.sets+1)
	for _, c := range m.ceremonies {
		if c.share && c.state == cosigner.Prepared && rapid.Bool().Draw(t, "the same set") {
			set = c.ShareSetID
		}
	}
	c := m.h.ceremony(m.current.ShareSetID, set)
	if got := m.h.post("/v1/ceremonies", c); got != http.StatusAccepted {
		t.Fatalf("starting: status %d", got)
	}
	m.sets++
	m.ceremonies = append(m.ceremonies, &modelCeremony{Ceremony: c, from: m.current, state: cosigner.Running, inRoom: true})
	m.joins(m.ceremonies[len(m.ceremonies)-1])
}

func (m *model) switchOver(t *rapid.T) {
	c := m.pick(t, func(c *modelCeremony) bool { return c.state == cosigner.Prepared })
	if c == nil {
		return
	}
	body := cosigner.Commit{ShareSetID: c.ShareSetID, Fingerprint: c.fingerprint}
	m.commits(t, c, body, http.StatusOK)
}

func (m *model) find(refs map[shareRef]time.Time, set string) (shareRef, bool) {
	for ref := range refs {
		if ref.ShareSetID == set {
			return ref, true
		}
	}
	return shareRef{}, false
}

func (m *model) repeat(t *rapid.T) {
	c := m.pick(t, func(*modelCeremony) bool { return true })
	if c == nil {
		return
	}
	body, want := c.Ceremony, http.StatusOK
	if c.state == cosigner.Running {
		want = http.StatusAccepted
	}
	switch rapid.SampledFrom([]string{"same", "room", "wallet", "keygen"}).Draw(t, "body") {
	case "room":
		body.RoomID, want = "another", http.StatusConflict
	case "wallet":
		body.Wallet, want = "another", http.StatusConflict
	case "keygen":
		body.NewServerKeygenIDs, want = []string{"another"}, http.StatusConflict
	}
	if got := m.h.post("/v1/ceremonies", body); got != want {
		t.Fatalf("repeating a start: status %d, want %d", got, want)
	}
}

// join brings the vendor into a room, which the ceremony then leaves with a
// share, whether it has been aborted meanwhile or not.
func (m *model) join(t *rapid.T) {
	c := m.pick(t, func(c *modelCeremony) bool { return c.inRoom })
	if c == nil {
		return
	}
	m.joins(c)
}

func (m *model) joins(c *modelCeremony) {
	m.h.vendorJoins(c.Ceremony, c.from)
	m.h.awaitEnd(c.CeremonyID)
	c.inRoom, c.share = false, true
	if c.state == cosigner.Running {
		c.state = cosigner.Prepared
	}
	c.fingerprint = m.h.status(c.CeremonyID).Fingerprint
	m.drop() // the grace period may have ended while it was in its room
}

func (m *model) fail(t *rapid.T) {
	c := m.pick(t, func(c *modelCeremony) bool { return c.inRoom })
	if c == nil {
		return
	}
	m.h.rooms.Fail(c.RoomID)
	m.h.awaitEnd(c.CeremonyID)
	m.leaves(c)
}

// leaves is the end of a room without a share.
func (m *model) leaves(c *modelCeremony) {
	c.inRoom = false
	if c.state == cosigner.Running {
		c.state = cosigner.Failed
	}
}

func (m *model) commit(t *rapid.T) {
	c := m.pick(t, func(*modelCeremony) bool { return true })
	if c == nil {
		return
	}
	body := cosigner.Commit{ShareSetID: c.ShareSetID, Fingerprint: c.fingerprint}
	fits := true
	switch rapid.SampledFrom([]string{"right", "right", "set", "fingerprint"}).Draw(t, "body") {
	case "set":
		body.ShareSetID, fits = "another", false
	case "fingerprint":
		body.Fingerprint, fits = "another", false
	}
	may := c.state == cosigner.Prepared && c.PreviousShareSetID == m.current.ShareSetID
	want := http.StatusConflict
	if fits && (may || c.state == cosigner.Committed) {
		want = http.StatusOK
	}
	m.commits(t, c, body, want)
}

func (m *model) commits(t *rapid.T, c *modelCeremony, body cosigner.Commit, want int) {
	got := m.h.post("/v1/ceremonies/"+c.CeremonyID.String()+"/commit", body)
	if got != want {
		t.Fatalf("committing one that is %s: status %d, want %d", c.state, got, want)
	}
	if got != http.StatusOK || c.state == cosigner.Committed {
		return
	}
	dropAfter := m.h.clock.Now().Add(m.h.options.Grace)
	m.retired[m.current] = dropAfter
	m.current, c.state = c.ref(), cosigner.Committed
	for _, other := range m.ceremonies {
		if other.state == cosigner.Prepared || other.state == cosigner.Running {
			other.state = cosigner.Aborted
		}
		if other.state == cosigner.Aborted && other.ShareSetID != c.ShareSetID && other.dropAfter.IsZero() {
			other.dropAfter = dropAfter
		}
	}
}

func (m *model) abort(t *rapid.T) {
	c := m.pick(t, func(*modelCeremony) bool { return true })
	if c == nil {
		return
	}
	want := http.StatusOK
	if c.state == cosigner.Committed {
		want = http.StatusConflict
	}
	if got := m.h.abort(c.Ceremony); got != want {
		t.Fatalf("aborting one that is %s: status %d, want %d", c.state, got, want)
	}
	if c.state == cosigner.Running || c.state == cosigner.Prepared {
		c.state = cosigner.Aborted
	}
}

func (m *model) wait(t *rapid.T) {
	m.h.clock.advance(time.Duration(rapid.IntRange(1, 70).Draw(t, "minutes")) * time.Minute)
	m.drop()
}

func (m *model) drop() {
	now := m.h.clock.Now()
	over := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	maps.DeleteFunc(m.retired, func(_ shareRef, at time.Time) bool { return over(at) })
	for _, c := range m.ceremonies {
		if c.state == cosigner.Aborted && over(c.dropAfter) && !c.inRoom {
			c.share = false
		}
	}
}

func (m *model) restart(*rapid.T) {
	m.h.restart()
	for _, c := range m.ceremonies {
		if c.inRoom {
			m.leaves(c)
		}
	}
	m.drop()
}

// check compares everything that can be asked for.
func (m *model) check(t *rapid.T) {
	var wallet cosigner.WalletStatus
	if code := m.h.call("GET", walletPath, nil, &wallet); code != http.StatusOK {
		t.Fatalf("the wallet: status %d", code)
	}
	if wallet.CurrentShareSetID != m.current.ShareSetID || wallet.PublicKey != m.key {
		t.Fatalf("%s is current, want %s", wallet.CurrentShareSetID, m.current.ShareSetID)
	}
	listed := make(map[uuid.UUID]cosigner.PreparedShare)
	for _, p := range wallet.Prepared {
		listed[p.CeremonyID] = p
	}

	want := map[string]KeptStatus{m.current.ShareSetID: KeptCurrent}
	for ref := range m.retired {
		want[ref.ShareSetID] = KeptRetired
	}
	prepared := 0
	for _, c := range m.ceremonies {
		status := m.h.status(c.CeremonyID)
		if status.State != c.state || status.ShareSetID != c.ShareSetID {
			t.Fatalf("ceremony for %s is %s, want %s", status.ShareSetID, status.State, c.state)
		}
		if !c.share || c.state != cosigner.Prepared && c.state != cosigner.Aborted {
			continue
		}
		prepared++
		p := listed[c.CeremonyID]
		if p.State != c.state || p.ShareSetID != c.ShareSetID || p.Fingerprint != c.fingerprint || status.PublicKey != m.key {
			t.Fatalf("the share of ceremony %s is listed as %+v, want %s", c.CeremonyID, p, c.state)
		}
		switch before := want[c.ShareSetID]; {
		case c.state == cosigner.Prepared && before != KeptCurrent:
			want[c.ShareSetID] = KeptPrepared
		case before == "":
			want[c.ShareSetID] = KeptAborted
		}
	}
	if prepared != len(listed) {
		t.Fatalf("%d prepared shares are listed, want %d", len(listed), prepared)
	}
	m.checkShares(t, want, 1+len(m.retired)+prepared)
}

// checkShares: every share that is held signs with the vendor's half of it, and
// there are no files but theirs.
func (m *model) checkShares(t *rapid.T, want map[string]KeptStatus, files int) {
	current, held, err := m.h.server.Shares(testProvider, testWallet)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]KeptStatus)
	for set, k := range held {
		got[set] = k.Status
		vendor := m.h.vendor[shareRef{ShareSetID: set, CeremonyID: k.CeremonyID}]
		if k.ShareSetID != set || !mpc.CanSign(k.Share, vendor) {
			t.Fatalf("the %s share of %s does not sign", k.Status, set)
		}
	}
	if current != m.current.ShareSetID || !maps.Equal(got, want) {
		t.Fatalf("held: %v, want %v", got, want)
	}
	entries, err := os.ReadDir(filepath.Join(m.h.server.folder, folderName(testProvider, testWallet)))
	if err != nil || len(entries) != files+1 {
		t.Fatalf("%d files in the folder (%v), want %d shares and a journal", len(entries), err, files)
	}
}
