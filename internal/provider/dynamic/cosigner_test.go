package dynamic

import (
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/cosigner/reference"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// TestRotationWithACoSigner is a rotation as it happens in production: the
// share is never here, only in the hands of the reference co-signer.
func TestRotationWithACoSigner(t *testing.T) {
	for _, reply := range []string{assume.ByAccept, assume.JSONOnly} {
		t.Run(reply, func(t *testing.T) {
			a := newAccount(t, 1, map[string]string{assume.RefreshReply: reply}, nil)
			c := a.customers[0]
			server, err := reference.Open(t.TempDir(), reference.Options{
				RelayURL: a.rooms, Token: "secret", NoSync: true, Wait: 10 * time.Second, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			if err := server.Import("dynamic-test", c.WalletID, c.ShareSetID, c.Share); err != nil {
				t.Fatal(err)
			}
			http := httptest.NewServer(server.Handler())
			t.Cleanup(http.Close)
			client, err := cosigner.New(cosigner.Options{Name: "reference", URL: http.URL, Token: func() string { return "secret" }})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)

			at := a.attempt(c)
			s, err := a.open(t.Context(), &at)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			held, err := client.Start(t.Context(), cosigner.Ceremony{
				CeremonyID: at.ID, Provider: "dynamic-test", Wallet: c.WalletID, Address: at.Wallet.Address, Chain: at.Wallet.Chain,
				RoomID: at.Refs.Room, ShareSetID: at.PendingShareSet, PreviousShareSetID: at.OldShareSet,
				ServerKeygenIDs: at.Refs.ServerKeygenIDs, NewServerKeygenIDs: at.Refs.NewServerKeygenIDs,
			})
			if err != nil || held.State != cosigner.Prepared {
				t.Fatalf("the co-signer says %+v, %v", held, err)
			}
			ready, err := s.Await(t.Context())
			if err != nil || !ready.Ready || ready.ShareSet != at.PendingShareSet {
				t.Fatalf("Await = %+v, %v", ready, err)
			}
			if err := a.p.Promote(t.Context(), at); err != nil {
				t.Fatal(err)
			}
			if got := a.active(t, at.Wallet); got != at.PendingShareSet {
				t.Fatalf("%s is active", got)
			}
			if _, err := client.Commit(t.Context(), at.ID, cosigner.Commit{ShareSetID: at.PendingShareSet, Fingerprint: held.Fingerprint}); err != nil {
				t.Fatal(err)
			}
			current, shares, err := server.Shares("dynamic-test", c.WalletID)
			if err != nil || current != at.PendingShareSet {
				t.Fatalf("the co-signer's current set is %s, %v", current, err)
			}
			view, _ := a.vendor.View(c.WalletID)
			if !mpc.CanSign(shares[current].Share, view.Active.Share) {
				t.Error("the wallet cannot sign any more")
			}
		})
	}
}
