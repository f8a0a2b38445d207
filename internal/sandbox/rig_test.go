package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far above what anything here takes.
const patience = 20 * time.Second

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

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

// rig is a sandbox and a caller that speaks raw HTTP.
type rig struct {
	*Sandbox
	t      *testing.T
	client *http.Client
	info   Info
	jwt    string
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	if o.Wallets == 0 {
		o.Wallets = 2
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Sandbox: s, t: t, client: &http.Client{Transport: &http.Transport{}, Timeout: patience}, info: s.Info(url)}
	t.Cleanup(r.client.CloseIdleConnections)
	r.authenticate()
	return r
}

func (r *rig) authenticate() {
	r.t.Helper()
	var reply struct {
		EncodedJWTs struct{ MinifiedJWT string } `json:"encodedJwts"`
	}
	r.want(200, r.do("POST", r.developer("authenticate"), r.info.Dynamic.APIToken, nil), &reply)
	r.jwt = reply.EncodedJWTs.MinifiedJWT
}

func (r *rig) developer(path string) string {
	return "/api/v0/environments/" + r.info.Dynamic.EnvironmentID + "/waas/" + path
}

func (r *rig) sdk(path string) string {
	return "/api/v0/sdk/" + r.info.Dynamic.EnvironmentID + "/waas/" + path
}

func (r *rig) server(path string) string {
	return "/api/v0/server/" + r.info.Dynamic.EnvironmentID + "/waas/" + path
}

// answered is a reply, or the error of a broken connection.
type answered struct {
	status int
	header http.Header
	body   string
	err    error
}

// do sends body as JSON; a string is sent as it is.
func (r *rig) do(method, path, bearer string, body any) answered {
	r.t.Helper()
	req := r.request(method, path, bearer, body)
	resp, err := r.client.Do(req)
	if err != nil {
		return answered{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answered{resp.StatusCode, resp.Header, string(text), err}
}

func (r *rig) request(method, path, bearer string, body any) *http.Request {
	r.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.info.Dynamic.BaseURL+path, reader)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	return req
}

// want checks the status and reads the body.
func (r *rig) want(status int, a answered, into any) {
	r.t.Helper()
	if a.err != nil || a.status != status {
		r.t.Fatalf("status %d, error %v, body %s; want status %d", a.status, a.err, a.body, status)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		r.t.Fatalf("reading %s: %v", a.body, err)
	}
}

// code is the "code" of an error body.
func (a answered) code() string {
	var body struct{ Code string }
	if json.Unmarshal([]byte(a.body), &body) != nil {
		return "not JSON"
	}
	return body.Code
}

func (r *rig) wallet(i int) WalletState {
	r.t.Helper()
	return r.State()[i]
}

func (r *rig) faulty(list ...faults.Fault) {
	r.t.Helper()
	if err := r.SetFaults(list...); err != nil {
		r.t.Fatal(err)
	}
}

// room is a refresh reply.
type room struct {
	RoomID             string   `json:"roomId"`
	ServerKeygenIDs    []string `json:"serverKeygenIds"`
	NewServerKeygenIDs []string `json:"newServerKeygenIds"`
	WalletID           string   `json:"walletId"`
	AccountAddress     string   `json:"accountAddress"`
	ShareSetID         string   `json:"shareSetId"`
	ShareSetType       string   `json:"shareSetType"`
}

// stream is a refresh that is being listened to.
type stream struct {
	t    *testing.T
	resp *http.Response
	scan *bufio.Scanner
	room room
}

// listen opens a refresh with an event stream and reads room_created.
func (r *rig) listen(w WalletState) *stream {
	r.t.Helper()
	req := r.request("POST", r.sdk(w.ID+"/refresh"), r.jwt, map[string]string{"shareSetId": w.ActiveShareSet})
	req.Header.Set("Accept", "text/event-stream")
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		r.t.Fatalf("refresh: status %d, %s", resp.StatusCode, got)
	}
	s := &stream{t: r.t, resp: resp, scan: bufio.NewScanner(resp.Body)}
	name, data := s.next()
	if name != "room_created" {
		r.t.Fatalf("first event is %s", name)
	}
	if err := json.Unmarshal([]byte(data), &s.room); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// next event; an empty name at the end of the stream. The form is as strict as
// the official parser: a name, one line of data, nothing else.
func (s *stream) next() (name, data string) {
	s.t.Helper()
	var lines []string
	for s.scan.Scan() && s.scan.Text() != "" {
		lines = append(lines, s.scan.Text())
	}
	if len(lines) == 0 {
		return "", ""
	}
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "event: ") || !strings.HasPrefix(lines[1], "data: ") {
		s.t.Fatalf("event %q", lines)
	}
	return lines[0][len("event: "):], lines[1][len("data: "):]
}

// ceremony lets the co-signer take part, and waits for its end.
func (r *rig) ceremony(w WalletState, room room) cosigner.Status {
	r.t.Helper()
	c := r.ceremonyFor(w, room)
	var status cosigner.Status
	a := r.join(c)
	if a.err != nil || a.status >= 300 {
		r.t.Fatalf("starting the ceremony: %+v", a)
	}
	for deadline := time.Now().Add(patience); ; {
		if err := json.Unmarshal([]byte(a.body), &status); err != nil {
			r.t.Fatalf("%s: %v", a.body, err)
		}
		if status.State != cosigner.Running {
			return status
		}
		if time.Now().After(deadline) {
			r.t.Fatal("the ceremony does not end")
		}
		a = r.do("GET", "/cosigner/v1/ceremonies/"+c.CeremonyID.String(), r.info.Cosigner.Token, nil)
	}
}

func (r *rig) ceremonyFor(w WalletState, room room) cosigner.Ceremony {
	return cosigner.Ceremony{
		CeremonyID: uuid.New(), Provider: r.info.Cosigner.Provider, Wallet: w.ID, Address: w.Address, Chain: w.Chain,
		RoomID: room.RoomID, ShareSetID: room.ShareSetID, PreviousShareSetID: w.CosignerShareSet,
		ServerKeygenIDs: room.ServerKeygenIDs, NewServerKeygenIDs: room.NewServerKeygenIDs,
	}
}

func (r *rig) join(c cosigner.Ceremony) answered {
	return r.do("POST", "/cosigner/v1/ceremonies", r.info.Cosigner.Token, c)
}

func (r *rig) commit(s cosigner.Status) answered {
	return r.do("POST", "/cosigner/v1/ceremonies/"+s.CeremonyID.String()+"/commit", r.info.Cosigner.Token,
		cosigner.Commit{ShareSetID: s.ShareSetID, Fingerprint: s.Fingerprint})
}

type locationsBody struct {
	Locations  []map[string]any `json:"locations"`
	ShareSetID string           `json:"shareSetId,omitempty"`
}

var external = []map[string]any{{"location": "external"}}

func (r *rig) locations(w WalletState, shareSet string) answered {
	r.t.Helper()
	return r.do("POST", r.sdk(w.ID+"/keyShares/backup/locations"), r.jwt, locationsBody{external, shareSet})
}

// prepare goes as far as ceremony_complete.
func (r *rig) prepare(i int) (WalletState, room, cosigner.Status) {
	r.t.Helper()
	w := r.wallet(i)
	s := r.listen(w)
	status := r.ceremony(w, s.room)
	if status.State != cosigner.Prepared {
		r.t.Fatalf("the co-signer says %+v", status)
	}
	if name, data := s.next(); name != "ceremony_complete" {
		r.t.Fatalf("event %q %s", name, data)
	}
	return w, s.room, status
}

// rotate takes a wallet all the way.
func (r *rig) rotate(i int) {
	r.t.Helper()
	w, room, status := r.prepare(i)
	r.want(201, r.locations(w, room.ShareSetID), nil)
	r.want(200, r.commit(status), nil)
}
