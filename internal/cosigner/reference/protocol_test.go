package reference

import (
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
)

// rule is one row of the table in docs/cosigner.md.
type rule struct {
	call, when string
	want       int
	act        func(h *house) int
}

var first = shareRef{ShareSetID: "set-1"}

func started(h *house) cosigner.Ceremony {
	c := h.ceremony("set-1", "set-2")
	h.post("/v1/ceremonies", c)
	return c
}

func failed(h *house) cosigner.Ceremony {
	c := started(h)
	h.rooms.Fail(c.RoomID)
	h.awaitEnd(c.CeremonyID)
	return c
}

func committed(h *house) (cosigner.Ceremony, cosigner.Status) {
	c, s := h.prepareFirst("set-2")
	if code := h.commit(c, s.Fingerprint); code != http.StatusOK {
		h.t.Fatalf("committing: status %d", code)
	}
	return c, s
}

const walletPath = "/v1/wallets/" + testProvider + "/wallet%2F1%20%C3%BC"

var rules = []rule{
	{"GET wallet", "a share of the wallet is held", 200, func(h *house) int {
		return h.call("GET", walletPath, nil, nil)
	}},
	{"GET wallet", "no share of the wallet is held", 404, func(h *house) int {
		return h.call("GET", "/v1/wallets/"+testProvider+"/other", nil, nil)
	}},
	{"POST ceremonies", "new; the ceremony is running", 202, func(h *house) int {
		return h.post("/v1/ceremonies", h.ceremony("set-1", "set-2"))
	}},
	{"POST ceremonies", "new, and prepared before the co-signer's patience ends", 200, func(h *house) int {
		h.options.Wait = patience
		h.restart()
		c := h.ceremony("set-1", "set-2")
		code := make(chan int, 1)
		go func() { code <- h.post("/v1/ceremonies", c) }()
		h.vendorJoins(c, first)
		return <-code
	}},
	{"POST ceremonies", "the same again while it is running", 202, func(h *house) int {
		return h.post("/v1/ceremonies", started(h))
	}},
	{"POST ceremonies", "the same again when it has ended, however it ended", 200, func(h *house) int {
		if code := h.post("/v1/ceremonies", failed(h)); code != 200 {
			return code
		}
		c, s := h.prepareFirst("set-2")
		if code := h.post("/v1/ceremonies", c); code != 200 {
			return code
		}
		h.commit(c, s.Fingerprint)
		return h.post("/v1/ceremonies", c)
	}},
	{"POST ceremonies", "the id was used with another body", 409, func(h *house) int {
		c := started(h)
		c.ShareSetID = "set-3"
		return h.post("/v1/ceremonies", c)
	}},
	{"POST ceremonies", "the id was used for another wallet", 409, func(h *house) int {
		h.enrol("other", "set-1")
		c := started(h)
		c.Wallet = "other"
		return h.post("/v1/ceremonies", c)
	}},
	{"POST ceremonies", "another ceremony of the wallet is running", 409, func(h *house) int {
		started(h)
		return h.post("/v1/ceremonies", h.ceremony("set-1", "set-3"))
	}},
	{"POST ceremonies", "`previous_share_set_id` is not the current share set", 409, func(h *house) int {
		return h.post("/v1/ceremonies", h.ceremony("set-0", "set-2"))
	}},
	{"POST ceremonies", "the current share is lost", 409, func(h *house) int {
		if err := h.server.LoseState(testProvider, testWallet, true); err != nil {
			h.t.Fatalf("losing: %v", err)
		}
		return h.post("/v1/ceremonies", h.ceremony("set-1", "set-2"))
	}},
	{"POST ceremonies", "`share_set_id` is the current share set, or one in its grace period", 409, func(h *house) int {
		if code := h.post("/v1/ceremonies", h.ceremony("set-1", "set-1")); code != 409 {
			return code
		}
		committed(h)
		return h.post("/v1/ceremonies", h.ceremony("set-2", "set-1"))
	}},
	{"POST ceremonies", "no share of the wallet is held", 404, func(h *house) int {
		c := h.ceremony("set-1", "set-2")
		c.Wallet = "other"
		return h.post("/v1/ceremonies", c)
	}},
	{"POST ceremonies", "a required field is missing, or the body is not one JSON object", 400, func(h *house) int {
		for _, body := range []any{"", "[]", "null", `{"ceremony_id":1}`, `{} {}`, cosigner.Ceremony{}} {
			if code := h.post("/v1/ceremonies", body); code != 400 {
				return code
			}
		}
		c := h.ceremony("set-1", "set-2")
		c.RoomID = ""
		return h.post("/v1/ceremonies", c)
	}},
	{"POST ceremonies", "the body is larger than 64 KiB", 413, func(h *house) int {
		return h.post("/v1/ceremonies", `{"room_id":"`+strings.Repeat("x", maxBody)+`"}`)
	}},
	{"GET ceremony", "the id is known", 200, func(h *house) int {
		return h.call("GET", "/v1/ceremonies/"+started(h).CeremonyID.String(), nil, nil)
	}},
	{"GET ceremony", "the id is unknown", 404, func(h *house) int {
		if code := h.call("GET", "/v1/ceremonies/not-an-id", nil, nil); code != 404 {
			return code
		}
		return h.call("GET", "/v1/ceremonies/"+uuid.NewString(), nil, nil)
	}},
	{"POST commit", "prepared", 200, func(h *house) int {
		c, s := h.prepareFirst("set-2")
		return h.commit(c, s.Fingerprint)
	}},
	{"POST commit", "the same again", 200, func(h *house) int {
		c, s := committed(h)
		return h.commit(c, s.Fingerprint)
	}},
	{"POST commit", "another `share_set_id` or `fingerprint`", 409, func(h *house) int {
		c, s := h.prepareFirst("set-2")
		if code := h.commit(c, "0"+s.Fingerprint); code != 409 {
			return code
		}
		other := c
		other.ShareSetID = "set-3"
		if code := h.commit(other, s.Fingerprint); code != 409 {
			return code
		}
		h.commit(c, s.Fingerprint)
		return h.commit(c, "0"+s.Fingerprint)
	}},
	{"POST commit", "running", 409, func(h *house) int { return h.commit(started(h), "f") }},
	{"POST commit", "failed", 409, func(h *house) int { return h.commit(failed(h), "f") }},
	{"POST commit", "aborted", 409, func(h *house) int {
		c, s := h.prepareFirst("set-2")
		h.abort(c)
		return h.commit(c, s.Fingerprint)
	}},
	{"POST commit", "the new share is lost", 409, func(h *house) int {
		c, s := h.prepareFirst("set-2")
		if err := h.server.LoseState(testProvider, testWallet, false); err != nil {
			h.t.Fatalf("losing: %v", err)
		}
		return h.commit(c, s.Fingerprint)
	}},
	{"POST commit", "the share set it started from is no longer current", 409, func(h *house) int {
		c, s := h.prepareFirst("set-2")
		other, otherStatus := h.prepareFirst("set-3")
		h.commit(other, otherStatus.Fingerprint)
		return h.commit(c, s.Fingerprint)
	}},
	{"POST commit", "the id is unknown", 404, func(h *house) int {
		return h.commit(h.ceremony("set-1", "set-2"), "f")
	}},
	{"POST commit", "the body is not one JSON object", 400, func(h *house) int {
		return h.post("/v1/ceremonies/"+started(h).CeremonyID.String()+"/commit", "set-2")
	}},
	{"POST abort", "running, prepared, failed or aborted", 200, func(h *house) int {
		running := started(h)
		prepared := func() cosigner.Ceremony { c, _ := h.prepareFirst("set-3"); return c }
		for _, c := range []func() cosigner.Ceremony{
			func() cosigner.Ceremony { return running },
			func() cosigner.Ceremony { return running },
			func() cosigner.Ceremony { return failed(h) },
			prepared,
		} {
			if code := h.abort(c()); code != 200 {
				return code
			}
		}
		return 200
	}},
	{"POST abort", "committed", 409, func(h *house) int {
		c, _ := committed(h)
		return h.abort(c)
	}},
	{"POST abort", "the id is unknown", 404, func(h *house) int {
		return h.abort(h.ceremony("set-1", "set-2"))
	}},
	{"any", "no token, a wrong one, or no verified client certificate", 401, func(h *house) int {
		for _, authorization := range []string{"", "Bearer", "Bearer wrong", "Basic " + testToken} {
			request, err := http.NewRequest("GET", h.web.URL+walletPath, nil)
			if err != nil {
				h.t.Fatalf("making a request: %v", err)
			}
			request.Header.Set("Authorization", authorization)
			if code := h.do(request, nil); code != 401 {
				return code
			}
		}
		// Without a token in the options, plain http is never let in.
		h.options.Token = ""
		h.restart()
		return h.call("GET", walletPath, nil, nil)
	}},
	{"any", "a path that is not in the protocol", 404, func(h *house) int {
		return h.call("GET", "/v2/wallets", nil, nil)
	}},
	{"any", "a method that is not in the protocol", 405, func(h *house) int {
		return h.call("DELETE", walletPath, nil, nil)
	}},
	{"any", "the co-signer is shutting down", 503, func(h *house) int {
		if err := h.server.Close(); err != nil {
			h.t.Fatalf("closing: %v", err)
		}
		return h.post("/v1/ceremonies", h.ceremony("set-1", "set-2"))
	}},
}

func TestRules(t *testing.T) {
	for _, r := range rules {
		t.Run(r.call+"/"+r.when, func(t *testing.T) {
			if got := r.act(startHouse(t, nil)); got != r.want {
				t.Errorf("%s, %s: status %d, want %d", r.call, r.when, got, r.want)
			}
		})
	}
}

// The page for people who write their own co-signer lists these rules, all of
// them and no others.
func TestRulesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/cosigner.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	_, table, found := strings.Cut(string(page), "| call | when | answer |\n|---|---|---|\n")
	if !found {
		t.Fatal("the page has no table of rules")
	}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		documented = append(documented, strings.TrimSpace(line))
	}
	var want []string
	for _, r := range rules {
		want = append(want, "| "+r.call+" | "+r.when+" | "+strconv.Itoa(r.want)+" |")
	}
	if !slices.Equal(documented, want) {
		t.Errorf("the table must be:\n%s\n\nbut is:\n%s", strings.Join(want, "\n"), strings.Join(documented, "\n"))
	}
}

// A status of a prepared ceremony comes from the share on disk, not from the
// request.
func TestStatusIsDerived(t *testing.T) {
	h := startHouse(t, nil)
	c := h.ceremony("set-1", "set-2")
	c.Address, c.Chain = "an address that is not the wallet's", "EVM"
	status := h.prepare(c, first)
	_, held, err := h.server.Shares(testProvider, testWallet)
	if err != nil {
		t.Fatal(err)
	}
	share, old := held["set-2"].Share, held["set-1"].Share
	if status.Address != old.Address() || status.PublicKey != old.PublicKeyHex() {
		t.Errorf("address %q and key %q are not the wallet's", status.Address, status.PublicKey)
	}
	if status.Fingerprint != share.Fingerprint() || !slices.Equal(status.KeygenIDs, []string{share.KeygenID()}) {
		t.Error("fingerprint and keygen id are not the new share's")
	}
	if status.Fingerprint == old.Fingerprint() {
		t.Error("the share was not refreshed")
	}

	if err := h.server.WrongPublicKey(testProvider, testWallet, true); err != nil {
		t.Fatal(err)
	}
	if h.status(c.CeremonyID).PublicKey == status.PublicKey {
		t.Error("the fault does not show")
	}
	if err := h.server.WrongPublicKey(testProvider, testWallet, false); err != nil {
		t.Fatal(err)
	}
	if h.status(c.CeremonyID).PublicKey != status.PublicKey {
		t.Error("the fault does not go away")
	}
}

// What was said to be prepared or committed is not said any more when its
// share is gone.
func TestLostShares(t *testing.T) {
	h := startHouse(t, nil)
	c, _ := h.prepareFirst("set-2")
	if err := h.server.LoseState(testProvider, testWallet, false); err != nil {
		t.Fatal(err)
	}
	if s := h.status(c.CeremonyID); s.State != cosigner.Failed || s.Fingerprint != "" {
		t.Errorf("a lost prepared share is still %s", s.State)
	}
	var wallet cosigner.WalletStatus
	h.call("GET", walletPath, nil, &wallet)
	if wallet.CurrentShareSetID != "set-1" || len(wallet.Prepared) != 0 {
		t.Errorf("the wallet holds %+v", wallet)
	}

	next, _ := committed(h)
	if err := h.server.LoseState(testProvider, testWallet, true); err != nil {
		t.Fatal(err)
	}
	if s := h.status(next.CeremonyID); s.State != cosigner.Failed {
		t.Errorf("a lost current share is still %s", s.State)
	}
	if code := h.call("GET", walletPath, nil, nil); code != 404 {
		t.Errorf("a wallet without any share: status %d", code)
	}
}

// The ceremony's own time limit ends it when nobody else comes to the room.
func TestCeremonyTimesOut(t *testing.T) {
	h := startHouse(t, func(o *Options) { o.CeremonyTimeout = time.Millisecond })
	c := started(h)
	h.awaitEnd(c.CeremonyID)
	if s := h.status(c.CeremonyID); s.State != cosigner.Failed || s.Error == "" {
		t.Errorf("the ceremony is %s (%q)", s.State, s.Error)
	}
	if code := h.post("/v1/ceremonies", h.ceremony("set-1", "set-3")); code != 202 {
		t.Errorf("a ceremony after a failed one: status %d", code)
	}
}
