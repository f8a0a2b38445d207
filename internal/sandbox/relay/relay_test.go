package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newRelay(t *testing.T, wrap func(http.Handler) http.Handler) (*Rooms, string) {
	t.Helper()
	rooms := New()
	server := httptest.NewServer(wrap(http.StripPrefix("/relay", rooms.Handler())))
	t.Cleanup(server.Close)
	t.Cleanup(rooms.Close)
	return rooms, server.URL + "/relay"
}

func plain(h http.Handler) http.Handler { return h }

func keys(t *testing.T, curve mpc.Curve) (customer, vendor mpc.Share) {
	t.Helper()
	customer, vendor, err := mpc.Generate(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return customer, vendor
}

func delta(t *testing.T, curve mpc.Curve) mpc.Delta {
	t.Helper()
	d, err := mpc.NewDelta(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

type outcome struct {
	share mpc.Share
	err   error
}

// ceremony runs the vendor in process and the client over HTTP.
func ceremony(t *testing.T, rooms *Rooms, base, room string, customer, vendor mpc.Share) (client, vend outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan outcome, 1)
	mine := delta(t, vendor.Curve())
	go func() {
		share, err := rooms.Join(ctx, room, Vendor, vendor, mine)
		if err != nil {
			rooms.Fail(room)
		} else {
			rooms.End(room)
		}
		done <- outcome{share, err}
	}()
	client.share, client.err = Join(ctx, base, room, Client, customer)
	return client, <-done
}

func TestCeremonyOverHTTP(t *testing.T) {
	for _, curve := range mpc.Curves() {
		rooms, base := newRelay(t, plain)
		customer, vendor := keys(t, curve)
		for range 3 {
			room := rooms.Open()
			if len(room) != 32 {
				t.Fatalf("room id %q", room)
			}
			client, vend := ceremony(t, rooms, base, room, customer, vendor)
			if client.err != nil || vend.err != nil {
				t.Fatal(client.err, vend.err)
			}
			if !mpc.CanSign(client.share, vend.share) || mpc.CanSign(customer, vend.share) || mpc.CanSign(client.share, vendor) {
				t.Fatal("only the two new shares may sign together")
			}
			customer, vendor = client.share, vend.share
		}
	}
}

// A relay that loses every other request or reply changes nothing, because
// each message can be sent and fetched again.
func TestCeremonyOverAnUnsteadyRelay(t *testing.T) {
	calls := 0
	wrap := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls++
			switch calls % 4 {
			case 1: // lost request
				panic(http.ErrAbortHandler)
			case 2: // lost reply
				next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			case 3:
				http.Error(w, "later", http.StatusServiceUnavailable)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
	rooms, base := newRelay(t, wrap)
	customer, vendor := keys(t, mpc.Ed25519)
	client, vend := ceremony(t, rooms, base, rooms.Open(), customer, vendor)
	if client.err != nil || vend.err != nil {
		t.Fatal(client.err, vend.err)
	}
	if !mpc.CanSign(client.share, vend.share) {
		t.Fatal("the new shares do not sign")
	}
}

// The two parties hold shares of different keys: neither may get a new share.
func TestCeremonyOfDifferentKeysFails(t *testing.T) {
	rooms, base := newRelay(t, plain)
	customer, _ := keys(t, mpc.BIP340)
	_, vendor := keys(t, mpc.BIP340)
	client, vend := ceremony(t, rooms, base, rooms.Open(), customer, vendor)
	if vend.err == nil || !vend.share.IsZero() {
		t.Errorf("vendor: %v", vend.err)
	}
	if client.err == nil || !client.share.IsZero() {
		t.Errorf("client: %v", client.err)
	}
}

func TestJoinEndsWithTheRoom(t *testing.T) {
	rooms, base := newRelay(t, plain)
	customer, _ := keys(t, mpc.Ed25519)

	if _, err := Join(t.Context(), base, "unknown", Client, customer); !errors.Is(err, ErrNoRoom) {
		t.Errorf("unknown room: %v", err)
	}

	closed := rooms.Open()
	rooms.Fail(closed)
	if _, err := Join(t.Context(), base, closed, Client, customer); !errors.Is(err, ErrRoomClosed) {
		t.Errorf("closed room: %v", err)
	}

	// The room fails while the client waits for the vendor.
	waiting := rooms.Open()
	done := make(chan error, 1)
	go func() {
		_, err := Join(t.Context(), base, waiting, Client, customer)
		done <- err
	}()
	room, err := rooms.find(waiting)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := room.receive(t.Context(), Vendor, 0); err != nil {
		t.Fatal(err)
	}
	rooms.Fail(waiting)
	if err := <-done; !errors.Is(err, ErrRoomClosed) {
		t.Errorf("room failed while waiting: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Join(ctx, base, rooms.Open(), Client, customer); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRoomRules(t *testing.T) {
	rooms, base := newRelay(t, plain)
	room := rooms.Open()
	call := func(method, path, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	steps := []struct {
		name, method, path, body string
		want                     int
	}{
		{"post", "POST", "/" + room + "/client?round=0", `{"a":1}`, 204},
		{"the same again", "POST", "/" + room + "/client?round=0", `{"a":1}`, 204},
		{"another message", "POST", "/" + room + "/client?round=0", `{"a":2}`, 409},
		{"the other fetches", "GET", "/" + room + "/vendor?round=0", "", 200},
		{"unknown room", "GET", "/0000/vendor?round=0", "", 404},
		{"unknown party", "POST", "/" + room + "/eve?round=0", "{}", 404},
		{"no round", "POST", "/" + room + "/client", "{}", 400},
		{"round out of range", "POST", "/" + room + "/client?round=99", "{}", 400},
		{"too long", "POST", "/" + room + "/client?round=1", strings.Repeat("x", maxMessage+1), 413},
	}
	for _, s := range steps {
		if got := call(s.method, s.path, s.body); got != s.want {
			t.Errorf("%s: status %d, want %d", s.name, got, s.want)
		}
	}

	rooms.End(room)
	if rooms.IsOpen(room) {
		t.Error("an ended room is open")
	}
	if got := call("GET", "/"+room+"/vendor?round=0", ""); got != 200 {
		t.Errorf("the last message of an ended room: status %d", got)
	}
	if got := call("POST", "/"+room+"/vendor?round=0", "{}"); got != 410 {
		t.Errorf("posting in an ended room: status %d", got)
	}
	if got := call("GET", "/"+room+"/vendor?round=1", ""); got != 410 {
		t.Errorf("waiting in an ended room: status %d", got)
	}

	failed := rooms.Open()
	call("POST", "/"+failed+"/client?round=0", "{}")
	rooms.Fail(failed)
	if got := call("GET", "/"+failed+"/vendor?round=0", ""); got != 410 {
		t.Errorf("fetching from a failed room: status %d", got)
	}
}

func TestClosedRoomsAreForgottenInTheEnd(t *testing.T) {
	rooms := New()
	first := rooms.Open()
	rooms.Fail(first)
	for range tombstones {
		rooms.End(rooms.Open())
	}
	if _, err := rooms.find(first); !errors.Is(err, ErrNoRoom) {
		t.Errorf("the oldest closed room: %v", err)
	}
	if len(rooms.rooms) != tombstones {
		t.Errorf("%d rooms are kept", len(rooms.rooms))
	}
}
