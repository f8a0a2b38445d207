package reference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
)

// rotator drives one wallet as rotatord does, and remembers what it was told:
// that must hold whenever the co-signer dies.
type rotator struct {
	t        *testing.T
	rooms    *relay.Rooms
	wallet   string
	customer mpc.Share // only for its import and its public key
	current  string
	vendor   mpc.Share
	attempt  *attempt
	done     int // rotations that were committed
}

type attempt struct {
	ceremony   cosigner.Ceremony
	vendor     <-chan mpc.Share // closed without one if the room failed
	promised   bool             // the start was answered
	prepared   string           // the fingerprint that was told
	mayCommit  bool             // commit was sent
	vendorHalf mpc.Share        // what came out of vendor
}

func newRotator(t *testing.T, rooms *relay.Rooms, wallet string) *rotator {
	customer, vendor := generate(t)
	return &rotator{t: t, rooms: rooms, wallet: wallet, customer: customer, vendor: vendor, current: "set-0"}
}

// run rotates until it has done so many rotations, or the co-signer is gone.
func (r *rotator) run(client *cosigner.Client, rotations int) error {
	ctx := context.Background()
	for r.done < rotations {
		if r.attempt == nil {
			r.open()
			status, err := client.Start(ctx, r.attempt.ceremony)
			if err != nil {
				return err
			}
			r.attempt.promised = true
			if status.State != cosigner.Prepared {
				return fmt.Errorf("the ceremony is %s: %s", status.State, status.Error)
			}
			r.attempt.prepared = status.Fingerprint
		}
		a := r.attempt
		if half, ok := <-a.vendor; ok {
			a.vendorHalf = half
		}
		if a.vendorHalf.IsZero() {
			r.t.Errorf("the co-signer prepared without the vendor")
		}
		a.mayCommit = true
		commit := cosigner.Commit{ShareSetID: a.ceremony.ShareSetID, Fingerprint: a.prepared}
		if _, err := client.Commit(ctx, a.ceremony.CeremonyID, commit); err != nil {
			return err
		}
		r.settled(true)
	}
	// A look at it drops what the grace period is over for.
	_, err := client.Wallet(ctx, testProvider, r.wallet)
	return err
}

// open opens a room with the vendor's half in it.
func (r *rotator) open() {
	room, vendor, old := r.rooms.Open(), make(chan mpc.Share, 1), r.vendor
	go func() {
		defer close(vendor)
		if share, err := vendorHalf(r.rooms, room, old); err == nil {
			vendor <- share
		}
	}()
	id := uuid.New()
	r.attempt = &attempt{vendor: vendor, ceremony: cosigner.Ceremony{
		CeremonyID: id, Provider: testProvider, Wallet: r.wallet, RoomID: room,
		ShareSetID: "set-" + id.String(), PreviousShareSetID: r.current,
	}}
}

// settled ends the attempt, with or without the new share as the current one.
func (r *rotator) settled(committed bool) {
	a := r.attempt
	r.rooms.Fail(a.ceremony.RoomID)
	if committed {
		r.current, r.vendor, r.done = a.ceremony.ShareSetID, a.vendorHalf, r.done+1
	}
	r.attempt = nil
}

// recheck holds a restarted co-signer to what was told before its death.
func (r *rotator) recheck(client *cosigner.Client) {
	r.t.Helper()
	ctx := context.Background()
	wallet, err := client.Wallet(ctx, testProvider, r.wallet)
	if err != nil {
		r.t.Fatalf("the wallet is lost: %v", err)
	}
	if wallet.PublicKey != r.customer.PublicKeyHex() {
		r.t.Fatal("the wallet has another public key")
	}
	a := r.attempt
	if a == nil {
		r.holds(wallet, r.current)
		return
	}
	status, err := client.Status(ctx, a.ceremony.CeremonyID)
	switch {
	case errors.Is(err, cosigner.ErrUnknown):
		if a.promised {
			r.t.Fatal("a ceremony that was begun is forgotten")
		}
		r.holds(wallet, r.current)
		r.settled(false)
	case err != nil:
		r.t.Fatal(err)
	case status.State == cosigner.Failed:
		if a.prepared != "" {
			r.t.Fatalf("a prepared ceremony has failed: %s", status.Error)
		}
		r.holds(wallet, r.current)
		r.settled(false)
	case status.State == cosigner.Prepared:
		if a.prepared != "" && a.prepared != status.Fingerprint {
			r.t.Fatal("the prepared share is another one")
		}
		a.prepared = status.Fingerprint
		r.holds(wallet, r.current)
		if len(wallet.Prepared) != 1 || wallet.Prepared[0].Fingerprint != status.Fingerprint {
			r.t.Fatal("the prepared share is not listed")
		}
	case status.State == cosigner.Committed && a.mayCommit && status.Fingerprint == a.prepared:
		r.holds(wallet, a.ceremony.ShareSetID)
		r.settled(true)
	default:
		r.t.Fatalf("the ceremony is %s after a restart", status.State)
	}
}

func (r *rotator) holds(wallet cosigner.WalletStatus, set string) {
	r.t.Helper()
	if wallet.CurrentShareSetID != set {
		r.t.Fatalf("share set %s is current, not %s", wallet.CurrentShareSetID, set)
	}
}

// signs looks at the folder without the process: the current share must sign
// together with the vendor's.
func (r *rotator) signs(s *Server) {
	r.t.Helper()
	current, held, err := s.Shares(testProvider, r.wallet)
	if err != nil {
		r.t.Fatal(err)
	}
	if current != r.current || !mpc.CanSign(held[current].Share, r.vendor) {
		r.t.Fatalf("wallet %s cannot sign with share set %s", r.wallet, current)
	}
}

// live is one life of a co-signer with all its wallets; it reports whether the
// process was killed, and the points it passed if not. Once it listens, the
// imports are done for good.
func live(t *testing.T, config *childConfig, rotators []*rotator, rotations int, killAfter time.Duration) (killed bool, passed int64) {
	t.Helper()
	c := startChild(t, *config)
	if killAfter > 0 {
		bomb := time.AfterFunc(killAfter, c.kill)
		defer bomb.Stop()
	}
	if c.client == nil {
		return c.end(), 0
	}
	config.Import = nil
	failures := make([]error, len(rotators))
	var wg sync.WaitGroup
	for i, r := range rotators {
		wg.Go(func() { failures[i] = r.run(c.client, rotations) })
	}
	wg.Wait()
	killed = c.end()
	for _, err := range failures {
		if err != nil && !killed {
			t.Fatalf("a co-signer that lives refused: %v", err)
		}
	}
	return killed, c.passed
}

// again is a life in which nothing is left to do but to look.
func again(t *testing.T, config childConfig, rotators []*rotator) {
	t.Helper()
	config.KillAt = 0
	c := startChild(t, config)
	if c.client == nil {
		c.end()
		t.Fatal("the co-signer does not start any more")
	}
	for _, r := range rotators {
		r.recheck(c.client)
	}
	if c.end() {
		t.Fatal("the co-signer was killed although nobody did")
	}
}

func checkFolder(t *testing.T, dir string, rotators []*rotator) {
	t.Helper()
	s, err := Open(dir, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, r := range rotators {
		r.signs(s)
	}
}

func startRelay(t *testing.T) (*relay.Rooms, string) {
	rooms := relay.New()
	server := httptest.NewServer(rooms.Handler())
	t.Cleanup(server.Close)
	t.Cleanup(rooms.Close)
	return rooms, server.URL
}

func imports(rotators []*rotator) map[string]mpc.Share {
	shares := make(map[string]mpc.Share)
	for _, r := range rotators {
		shares[r.wallet] = r.customer
	}
	return shares
}

// The co-signer dies at each point between two durable steps of an import and
// two rotations, one point per life; with the old shares kept, and with them
// dropped at once.
func TestKilledAtEveryPoint(t *testing.T) {
	rooms, url := startRelay(t)
	for _, grace := range []time.Duration{time.Hour, time.Nanosecond} {
		points := int64(1)
		for at := int64(0); at <= points; at++ {
			dir := t.TempDir()
			rotators := []*rotator{newRotator(t, rooms, "w")}
			config := childConfig{Dir: dir, RelayURL: url, Grace: grace, KillAt: at, Import: imports(rotators)}
			killed, passed := live(t, &config, rotators, 2, 0)
			switch {
			case at == 0: // the first life counts
				if points = passed; points < 30 {
					t.Fatalf("only %d points are passed", points)
				}
			case !killed && at < points-2:
				// The sweeper may take a turn less, once.
				t.Fatalf("point %d of %d was not reached", at, points)
			}
			again(t, config, rotators)
			config.Import, config.KillAt = nil, 0 // again() has imported if need be
			if killed, _ := live(t, &config, rotators, 2, 0); killed {
				t.Fatal("the co-signer was killed although nobody did")
			}
			checkFolder(t, dir, rotators)
		}
	}
}

// The co-signer dies again and again at moments nobody chose, while it serves
// several wallets.
func TestKilledAtRandomMoments(t *testing.T) {
	rooms, url := startRelay(t)
	dir := t.TempDir()
	var rotators []*rotator
	for i := range 4 {
		rotators = append(rotators, newRotator(t, rooms, fmt.Sprintf("w%d", i)))
	}
	config := childConfig{Dir: dir, RelayURL: url, Grace: 5 * time.Millisecond, Import: imports(rotators)}
	if killed, _ := live(t, &config, rotators, 1, 0); killed {
		t.Fatal("the co-signer was killed although nobody did")
	}
	for range 25 {
		// A start takes some tens of milliseconds, a rotation about ten.
		live(t, &config, rotators, 1<<30, 20*time.Millisecond+rand.N(100*time.Millisecond))
		again(t, config, rotators)
	}
	checkFolder(t, dir, rotators)
	for _, r := range rotators {
		if r.done < 5 {
			t.Errorf("wallet %s was rotated only %d times", r.wallet, r.done)
		}
	}
}
