package reference

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		runChild()
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	testToken    = "a token for tests"
	testProvider = "dynamic-test"
	testWallet   = "wallet/1 ü"
	patience     = 20 * time.Second // far above what anything here takes
)

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// tester is what testing.T and rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// house is a co-signer with a relay and the vendor's half of its wallets.
type house struct {
	t       tester
	dir     string
	options Options
	clock   *clock
	rooms   *relay.Rooms
	relay   *httptest.Server
	server  *Server
	web     *httptest.Server
	// vendor has the vendor's share for each share of the customer.
	vendor map[shareRef]mpc.Share
}

func newHouse(t tester, dir string, change func(*Options)) *house {
	h := &house{
		t: t, dir: dir,
		clock:  &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		rooms:  relay.New(),
		vendor: make(map[shareRef]mpc.Share),
	}
	h.relay = httptest.NewServer(h.rooms.Handler())
	h.options = Options{
		RelayURL: h.relay.URL, Token: testToken, Grace: time.Hour, NoSync: true,
		Log: slog.New(slog.DiscardHandler), Now: h.clock.Now,
	}
	if change != nil {
		change(&h.options)
	}
	h.open()
	return h
}

func (h *house) open() {
	h.t.Helper()
	server, err := Open(h.dir, h.options)
	if err != nil {
		h.t.Fatalf("opening: %v", err)
	}
	h.server = server
	h.web = httptest.NewServer(server.Handler())
}

// restart is an orderly one; kill_test.go does the other kind.
func (h *house) restart() {
	h.t.Helper()
	h.closeServer()
	h.open()
}

func (h *house) closeServer() {
	h.t.Helper()
	if err := h.server.Close(); err != nil {
		h.t.Errorf("closing: %v", err)
	}
	h.web.Close()
}

func (h *house) close() {
	h.closeServer()
	h.rooms.Close()
	h.relay.Close()
}

// startHouse is a house with one wallet, ended with the test.
func startHouse(t *testing.T, change func(*Options)) *house {
	t.Helper()
	h := newHouse(t, t.TempDir(), change)
	t.Cleanup(h.close)
	h.enrol(testWallet, "set-1")
	return h
}

// enrol imports a fresh wallet.
func (h *house) enrol(wallet, set string) {
	h.t.Helper()
	customer, vendor := generate(h.t)
	if err := h.server.Import(testProvider, wallet, set, customer); err != nil {
		h.t.Fatalf("importing: %v", err)
	}
	h.vendor[shareRef{ShareSetID: set}] = vendor
}

func generate(t tester) (customer, vendor mpc.Share) {
	t.Helper()
	customer, vendor, err := mpc.Generate(mpc.Ed25519, rand.Reader)
	if err != nil {
		t.Fatalf("generating a key: %v", err)
	}
	return customer, vendor
}

// ceremony is a new one from previous to next in a fresh room.
func (h *house) ceremony(previous, next string) cosigner.Ceremony {
	return cosigner.Ceremony{
		CeremonyID: uuid.New(), Provider: testProvider, Wallet: testWallet, RoomID: h.rooms.Open(),
		ShareSetID: next, PreviousShareSetID: previous, ServerKeygenIDs: []string{"one"},
	}
}

// vendorJoins is the vendor's half of a ceremony, to its end.
func (h *house) vendorJoins(c cosigner.Ceremony, from shareRef) {
	h.t.Helper()
	share, err := vendorHalf(h.rooms, c.RoomID, h.vendor[from])
	if err != nil {
		h.t.Fatalf("the vendor's half: %v", err)
	}
	h.vendor[refOf(c)] = share
}

func vendorHalf(rooms *relay.Rooms, room string, old mpc.Share) (mpc.Share, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	delta, err := mpc.NewDelta(old.Curve(), rand.Reader)
	if err != nil {
		return mpc.Share{}, err
	}
	share, err := rooms.Join(ctx, room, relay.Vendor, old, delta)
	if err != nil {
		rooms.Fail(room)
		return mpc.Share{}, err
	}
	rooms.End(room)
	return share, nil
}

func refOf(c cosigner.Ceremony) shareRef {
	return shareRef{ShareSetID: c.ShareSetID, CeremonyID: c.CeremonyID}
}

// awaitEnd waits until the co-signer has left the ceremony's room.
func (h *house) awaitEnd(id uuid.UUID) {
	h.t.Helper()
	w, err := h.server.owner(id)
	if err != nil {
		h.t.Fatalf("waiting for ceremony %s: %v", id, err)
	}
	w.mu.Lock()
	ended := w.runs[id]
	w.mu.Unlock()
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-time.After(patience):
		h.t.Fatalf("ceremony %s does not end", id)
	}
}

// prepare takes a ceremony all the way to prepared and returns its status.
func (h *house) prepare(c cosigner.Ceremony, from shareRef) cosigner.Status {
	h.t.Helper()
	if code := h.post("/v1/ceremonies", c); code != http.StatusAccepted {
		h.t.Fatalf("starting a ceremony: status %d", code)
	}
	h.vendorJoins(c, from)
	h.awaitEnd(c.CeremonyID)
	return h.status(c.CeremonyID)
}

// prepareFirst takes the wallet of startHouse from set-1 to prepared.
func (h *house) prepareFirst(next string) (cosigner.Ceremony, cosigner.Status) {
	h.t.Helper()
	c := h.ceremony("set-1", next)
	status := h.prepare(c, shareRef{ShareSetID: "set-1"})
	if status.State != cosigner.Prepared {
		h.t.Fatalf("the ceremony is %s: %s", status.State, status.Error)
	}
	return c, status
}

func (h *house) commit(c cosigner.Ceremony, fingerprint string) int {
	h.t.Helper()
	return h.post("/v1/ceremonies/"+c.CeremonyID.String()+"/commit",
		cosigner.Commit{ShareSetID: c.ShareSetID, Fingerprint: fingerprint})
}

func (h *house) abort(c cosigner.Ceremony) int {
	h.t.Helper()
	return h.post("/v1/ceremonies/"+c.CeremonyID.String()+"/abort", nil)
}

func (h *house) status(id uuid.UUID) cosigner.Status {
	h.t.Helper()
	var status cosigner.Status
	if code := h.call(http.MethodGet, "/v1/ceremonies/"+id.String(), nil, &status); code != http.StatusOK {
		h.t.Fatalf("asking for a ceremony: status %d", code)
	}
	return status
}

func (h *house) post(path string, body any) int {
	h.t.Helper()
	return h.call(http.MethodPost, path, body, nil)
}

// call speaks raw HTTP: the client has its own tests. body is sent as it is
// when it is a string.
func (h *house) call(method, path string, body, into any) int {
	h.t.Helper()
	var payload io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		payload = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			h.t.Fatalf("encoding: %v", err)
		}
		payload = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, h.web.URL+path, payload)
	if err != nil {
		h.t.Fatalf("making a request: %v", err)
	}
	request.Header.Set("Authorization", "Bearer "+testToken)
	return h.do(request, into)
}

func (h *house) do(request *http.Request, into any) int {
	h.t.Helper()
	response, err := h.web.Client().Do(request)
	if err != nil {
		h.t.Fatalf("calling %s: %v", request.URL.Path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatalf("reading the answer of %s: %v", request.URL.Path, err)
	}
	if into != nil && response.StatusCode < 300 {
		if err := json.Unmarshal(text, into); err != nil {
			h.t.Fatalf("reading the answer of %s: %v", request.URL.Path, err)
		}
	}
	return response.StatusCode
}
