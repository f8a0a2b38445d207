package reference

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

func TestImport(t *testing.T) {
	h := startHouse(t, nil)
	customer, _ := generate(t)
	for range 2 {
		if err := h.server.Import(testProvider, "new", "set-1", customer); err != nil {
			t.Fatalf("importing: %v", err)
		}
	}
	other, _ := generate(t)
	if err := h.server.Import(testProvider, "new", "set-1", other); !errors.Is(err, errConflict) {
		t.Errorf("another share: %v", err)
	}
	if err := h.server.Import(testProvider, "new", "set-2", customer); !errors.Is(err, errConflict) {
		t.Errorf("another share set: %v", err)
	}
	if err := h.server.Import(testProvider, "zero", "set-1", mpc.Share{}); err == nil {
		t.Error("no share at all was imported")
	}
	current, held, err := h.server.Shares(testProvider, "new")
	if err != nil || current != "set-1" || held["set-1"].Share.Fingerprint() != customer.Fingerprint() {
		t.Errorf("held: %v %v %v", current, held, err)
	}
}

// Names come from vendors and operators; none may lead out of its folder or
// into another's.
func TestAnyNameIsSafe(t *testing.T) {
	h := startHouse(t, nil)
	names := []string{"..", "../../x", "a/b", "a%2Fb", `a\b`, "CON", "a\x00b", "ä", "a\u0308", "A", "a", " ", ".", string(make([]byte, 5000))}
	for _, name := range names {
		h.enrol(name, name)
	}
	h.restart()
	keys := make(map[string]string)
	for _, name := range names {
		current, held, err := h.server.Shares(testProvider, name)
		if err != nil || current != name {
			t.Errorf("%q: %q %v", name, current, err)
			continue
		}
		key := held[name].Share.PublicKeyHex()
		if other, taken := keys[key]; taken {
			t.Errorf("%q and %q are one", name, other)
		}
		keys[key] = name
	}
	if folderName("a", "bc") == folderName("ab", "c") {
		t.Error("two pairs of names share a folder")
	}
}

// Many callers at once: one ceremony runs, and each caller hears of it.
func TestConcurrentStarts(t *testing.T) {
	h := startHouse(t, nil)
	same := h.ceremony("set-1", "set-2")
	codes := make(chan int, 16)
	var wg sync.WaitGroup
	for range cap(codes) {
		wg.Go(func() { codes <- h.post("/v1/ceremonies", same) })
	}
	wg.Wait()
	for range cap(codes) {
		if code := <-codes; code != http.StatusAccepted {
			t.Errorf("the same start: status %d", code)
		}
	}
	h.abort(same)

	for i := range cap(codes) {
		c := h.ceremony("set-1", fmt.Sprintf("set-%d", 10+i))
		wg.Go(func() { codes <- h.post("/v1/ceremonies", c) })
	}
	wg.Wait()
	accepted := 0
	for range cap(codes) {
		if <-codes == http.StatusAccepted {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("%d ceremonies run for one wallet", accepted)
	}
}

// One ceremony id, two wallets, at the same moment.
func TestConcurrentClaims(t *testing.T) {
	h := startHouse(t, nil)
	var wallets []string
	for i := range 8 {
		wallets = append(wallets, fmt.Sprint("w", i))
		h.enrol(wallets[i], "set-1")
	}
	c := h.ceremony("set-1", "set-2")
	codes := make(chan int, len(wallets))
	var wg sync.WaitGroup
	for _, wallet := range wallets {
		mine := c
		mine.Wallet = wallet
		wg.Go(func() { codes <- h.post("/v1/ceremonies", mine) })
	}
	wg.Wait()
	accepted := 0
	for range wallets {
		if <-codes == http.StatusAccepted {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("the id was given to %d wallets", accepted)
	}
}

// A journal does not grow for ever, and never forgets what holds a share.
func TestOldCeremoniesAreForgotten(t *testing.T) {
	h := startHouse(t, nil)
	kept, _ := h.prepareFirst("set-kept")
	var oldest uuid.UUID
	for i := range maxRecords + 5 {
		c := h.ceremony("set-1", fmt.Sprintf("set-%d", 2+i))
		if code := h.post("/v1/ceremonies", c); code != http.StatusAccepted {
			t.Fatalf("starting: status %d", code)
		}
		h.rooms.Fail(c.RoomID)
		h.awaitEnd(c.CeremonyID)
		if i == 0 {
			oldest = c.CeremonyID
		}
	}
	h.restart()
	if n := len(h.server.owners); n != maxRecords {
		t.Errorf("%d ceremonies are remembered", n)
	}
	if code := h.call("GET", "/v1/ceremonies/"+oldest.String(), nil, nil); code != 404 {
		t.Errorf("the oldest: status %d", code)
	}
	if s := h.status(kept.CeremonyID); s.State != cosigner.Prepared {
		t.Errorf("the prepared one is %s", s.State)
	}
}

// A share that comes out of an aborted ceremony is kept: the vendor's side may
// have finished with it.
func TestAbortedCeremonyKeepsItsShare(t *testing.T) {
	h := startHouse(t, nil)
	c := started(h)
	if code := h.abort(c); code != 200 {
		t.Fatalf("aborting: status %d", code)
	}
	h.vendorJoins(c, first)
	h.awaitEnd(c.CeremonyID)
	_, held, err := h.server.Shares(testProvider, testWallet)
	if err != nil || held["set-2"].Status != KeptAborted || !mpc.CanSign(held["set-2"].Share, h.vendor[refOf(c)]) {
		t.Errorf("held: %v %v", held, err)
	}
}

// Two prepared, one committed: the other cannot be committed any more, and
// says so; its share is kept for the grace period.
func TestCommitSupersedes(t *testing.T) {
	h := startHouse(t, nil)
	other, _ := h.prepareFirst("set-2")
	c, s := h.prepareFirst("set-3")
	h.commit(c, s.Fingerprint)
	if got := h.status(other.CeremonyID); got.State != cosigner.Aborted || got.Error == "" {
		t.Errorf("the other is %s", got.State)
	}
	if n := len(h.shareFiles()); n != 3 {
		t.Errorf("%d shares are held", n)
	}
	h.clock.advance(h.options.Grace)
	h.status(other.CeremonyID)
	if n := len(h.shareFiles()); n != 1 {
		t.Errorf("%d shares are held after the grace period", n)
	}
}

// A vendor may answer a second refresh with the set that is pending: then two
// shares are of one set, and committing one of them is not the end of the
// other until a different set has come.
func TestTwoSharesOfOneSet(t *testing.T) {
	h := startHouse(t, nil)
	other, _ := h.prepareFirst("set-2")
	c, s := h.prepareFirst("set-2")
	h.commit(c, s.Fingerprint)
	h.clock.advance(2 * h.options.Grace)
	current, held, err := h.server.Shares(testProvider, testWallet)
	if err != nil || current != "set-2" || held["set-2"].CeremonyID != c.CeremonyID {
		t.Fatalf("held: %s %v %v", current, held, err)
	}
	if n := len(h.shareFiles()); n != 2 {
		t.Errorf("%d shares are held", n)
	}
	next := h.ceremony("set-2", "set-3")
	s = h.prepare(next, refOf(c))
	h.commit(next, s.Fingerprint)
	h.clock.advance(h.options.Grace)
	h.status(other.CeremonyID)
	if n := len(h.shareFiles()); n != 1 {
		t.Errorf("%d shares are held after a different set", n)
	}
}

// The grace period ends while an aborted ceremony is still in its room: what
// comes out of it is not forgotten on the disk.
func TestLateShareIsDropped(t *testing.T) {
	h := startHouse(t, nil)
	late := started(h)
	h.abort(late)
	c, s := h.prepareFirst("set-3")
	h.commit(c, s.Fingerprint)
	h.clock.advance(2 * h.options.Grace)
	h.status(late.CeremonyID)
	h.vendorJoins(late, first)
	h.awaitEnd(late.CeremonyID)
	h.status(late.CeremonyID)
	if n := len(h.shareFiles()); n != 1 {
		t.Errorf("%d shares are held", n)
	}
}

func BenchmarkImport(b *testing.B) {
	h := newHouse(b, b.TempDir(), nil)
	defer h.close()
	customer, _ := generate(b)
	for i := 0; b.Loop(); i++ {
		if err := h.server.Import(testProvider, fmt.Sprint(i), "set-1", customer); err != nil {
			b.Fatal(err)
		}
	}
}
