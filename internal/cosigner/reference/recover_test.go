package reference

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rotatord/rotatord/internal/cosigner"
)

func (h *house) walletFolder() string {
	return filepath.Join(h.server.folder, folderName(testProvider, testWallet))
}

// shareFiles of the wallet, by content, so that a change of any is seen.
func (h *house) shareFiles() map[string]string {
	h.t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(h.walletFolder())
	if err != nil {
		h.t.Fatalf("reading the folder: %v", err)
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != shareSuffix {
			continue
		}
		text, err := os.ReadFile(filepath.Join(h.walletFolder(), entry.Name()))
		if err != nil {
			h.t.Fatalf("reading a share: %v", err)
		}
		files[entry.Name()] = string(text)
	}
	return files
}

// editJournal changes the journal behind the back of a co-signer that is shut.
func (h *house) editJournal(change func(*journal)) {
	h.t.Helper()
	path := filepath.Join(h.walletFolder(), journalName)
	text, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatalf("reading the journal: %v", err)
	}
	j, err := decodeJournal(text)
	if err != nil {
		h.t.Fatalf("reading the journal: %v", err)
	}
	change(&j)
	if text, err = json.Marshal(j); err != nil {
		h.t.Fatalf("writing the journal: %v", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		h.t.Fatalf("writing the journal: %v", err)
	}
}

func TestOneProcessPerFolder(t *testing.T) {
	h := startHouse(t, nil)
	if _, err := Open(h.dir, h.options); err == nil || !strings.Contains(err.Error(), "another co-signer") {
		t.Errorf("a second co-signer in the folder: %v", err)
	}
	h.restart()
}

func TestSharesAreForTheirOwnerOnly(t *testing.T) {
	h := startHouse(t, nil)
	h.prepareFirst("set-2")
	err := filepath.Walk(h.dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 && path != h.dir {
			t.Errorf("%s can be read by others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A journal that cannot be trusted stops the start: starting without a wallet
// would answer 404 for it, and that means "I never had it".
func TestOpenRefusesADoubtfulJournal(t *testing.T) {
	for name, change := range map[string]func(*journal){
		"another version":          func(j *journal) { j.Version++ },
		"another wallet":           func(j *journal) { j.Wallet = "other" },
		"no current share set":     func(j *journal) { j.Current = shareRef{} },
		"a state nobody knows":     func(j *journal) { j.Ceremonies[0].State = "lost" },
		"a ceremony twice":         func(j *journal) { j.Ceremonies = append(j.Ceremonies, j.Ceremonies[0]) },
		"the current share free":   func(j *journal) { j.Dropping = []shareRef{j.Current} },
		"a retired share free":     func(j *journal) { j.Retired = []retired{{shareRef: first}}; j.Dropping = []shareRef{first} },
		"a prepared share is free": func(j *journal) { j.Dropping = []shareRef{j.Ceremonies[0].ref()} },
	} {
		t.Run(name, func(t *testing.T) {
			h := startHouse(t, nil)
			h.prepareFirst("set-2")
			h.closeServer()
			before := h.shareFiles()
			h.editJournal(change)
			s, err := Open(h.dir, h.options)
			if err == nil {
				s.Close()
				t.Error("it was accepted")
			}
			if after := h.shareFiles(); len(after) != len(before) {
				t.Errorf("%d share files of %d are left", len(after), len(before))
			}
		})
	}
	h := startHouse(t, nil)
	h.closeServer()
	if err := os.WriteFile(filepath.Join(h.walletFolder(), journalName), []byte(`{"version":1`), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(h.dir, h.options); err == nil {
		s.Close()
		t.Error("half a journal was accepted")
	}
}

// A share file that does not decode harms its own wallet and no other, and is
// never mistaken for one that is not there.
func TestUnreadableShare(t *testing.T) {
	h := startHouse(t, nil)
	h.enrol("other", "set-1")
	path := filepath.Join(h.walletFolder(), first.fileName())
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"cut off":         string(good[:len(good)/2]),
		"empty":           "",
		"another version": strings.Replace(string(good), `"version":1`, `"version":2`, 1),
		"another wallet":  strings.Replace(string(good), `wallet/1`, `wallet/2`, 1),
		"another set":     strings.Replace(string(good), `set-1`, `set-7`, 1),
		"another key":     strings.Replace(string(good), `"joint_point":"`, `"joint_point":"00`, 1),
		"no share":        `{"version":1,"provider":"` + testProvider + `","wallet":"` + testWallet + `","share_set_id":"set-1"}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code := h.call("GET", walletPath, nil, nil); code != 500 {
			t.Errorf("%s: status %d", name, code)
		}
		if code := h.call("GET", "/v1/wallets/"+testProvider+"/other", nil, nil); code != 200 {
			t.Errorf("%s: the other wallet: status %d", name, code)
		}
	}
}

// The point of no return: nothing is dropped while the current share cannot be
// read.
func TestNothingIsDroppedBeforeTheCurrentShareIsSeen(t *testing.T) {
	h := startHouse(t, nil)
	c, _ := committed(h)
	path := filepath.Join(h.walletFolder(), refOf(c).fileName())
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, good[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(2 * h.options.Grace)
	h.call("GET", walletPath, nil, nil)
	if n := len(h.shareFiles()); n != 2 {
		t.Fatalf("%d share files are left", n)
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	h.call("GET", walletPath, nil, nil)
	if n := len(h.shareFiles()); n != 1 {
		t.Errorf("%d share files are left when the current one is back", n)
	}
}

// The sweeper drops what nobody asks for.
func TestSweeper(t *testing.T) {
	h := startHouse(t, nil)
	committed(h)
	h.clock.advance(2 * h.options.Grace)
	h.options.Grace = time.Millisecond // the loop's pace comes from it
	h.restart()
	deadline := time.After(patience)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for len(h.shareFiles()) != 1 {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("the retired share is still there")
		}
	}
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	if len(h.server.sweeping) > 1 {
		t.Error("more is swept than there is")
	}
}

func TestLeftovers(t *testing.T) {
	h := startHouse(t, nil)
	c, s := h.prepareFirst("set-2")
	h.closeServer()
	temp := filepath.Join(h.walletFolder(), refOf(c).fileName()+tempSuffix)
	if err := os.WriteFile(temp, []byte("half a share"), 0o600); err != nil {
		t.Fatal(err)
	}
	// An import that died before its journal.
	other := folderName(testProvider, "other")
	if err := os.Mkdir(filepath.Join(h.server.folder, other), 0o700); err != nil {
		t.Fatal(err)
	}
	h.open()
	if _, err := os.Stat(temp); !os.IsNotExist(err) {
		t.Errorf("an unfinished file: %v", err)
	}
	if code := h.call("GET", "/v1/wallets/"+testProvider+"/other", nil, nil); code != 404 {
		t.Errorf("a wallet whose import did not finish: status %d", code)
	}
	h.enrol("other", "set-1")
	if got := h.status(c.CeremonyID); got.State != cosigner.Prepared || got.Fingerprint != s.Fingerprint {
		t.Errorf("the prepared ceremony is %s", got.State)
	}
}

// A disk that takes no more: the call fails, what was held is held, and the
// same call works later.
func TestFailedWrites(t *testing.T) {
	h := startHouse(t, nil)
	// A folder in the place of the temporary file makes each write fail.
	block := func(name string) (unblock func()) {
		path := filepath.Join(h.walletFolder(), name+tempSuffix)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := h.ceremony("set-1", "set-2")
	unblock := block(journalName)
	if code := h.post("/v1/ceremonies", c); code != 500 {
		t.Errorf("starting: status %d", code)
	}
	if code := h.call("GET", "/v1/ceremonies/"+c.CeremonyID.String(), nil, nil); code != 404 {
		t.Errorf("the ceremony that was not begun: status %d", code)
	}
	unblock()

	unblock = block(refOf(c).fileName())
	if s := h.prepare(c, first); s.State != cosigner.Failed {
		t.Errorf("a ceremony whose share could not be stored is %s", s.State)
	}
	unblock()

	c, s := h.prepareFirst("set-3")
	unblock = block(journalName)
	for call, code := range map[string]int{"commit": h.commit(c, s.Fingerprint), "abort": h.abort(c)} {
		if code != 500 {
			t.Errorf("%s: status %d", call, code)
		}
	}
	if got := h.status(c.CeremonyID); got.State != cosigner.Prepared {
		t.Errorf("the ceremony is %s", got.State)
	}
	unblock()
	if code := h.commit(c, s.Fingerprint); code != 200 {
		t.Errorf("committing again: status %d", code)
	}
	h.restart()
	if got := h.status(c.CeremonyID); got.State != cosigner.Committed {
		t.Errorf("after a restart the ceremony is %s", got.State)
	}
}

// Killing a process cannot show a missing fsync, so the order is looked at: a
// file is synced before it is renamed, and its folder after that, before
// anybody is told.
func TestEveryStepIsSynced(t *testing.T) {
	var mu sync.Mutex
	var steps []string
	note := func(step string) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, step)
	}
	h := startHouse(t, func(o *Options) {
		o.NoSync = false
		o.at = note
		o.sync = func(f *os.File) error {
			note("sync " + filepath.Ext(strings.TrimSuffix(f.Name(), tempSuffix)))
			return f.Sync()
		}
	})
	write := func(kind string) []string {
		return []string{"created" + kind, "written" + kind, "sync " + kind, "synced" + kind, "renamed" + kind, "sync ", "durable" + kind}
	}
	is := func(what string, want ...[]string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(slices.Concat(want...), steps); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		steps = nil
	}
	journal, share := write(filepath.Ext(journalName)), write(shareSuffix)
	is("open and import", []string{"sync ", "sync "}, share, journal)
	c, s := h.prepareFirst("set-2")
	is("a ceremony", journal, []string{"joined"}, share)
	h.commit(c, s.Fingerprint)
	is("a commit", journal)
	h.clock.advance(2 * h.options.Grace)
	h.status(c.CeremonyID)
	is("a drop", journal)
	h.restart()
	is("a restart", []string{"sync ", "sync "})
}

// A drop that cannot be put on record does not happen.
func TestDropIsOnRecordFirst(t *testing.T) {
	h := startHouse(t, nil)
	c, _ := committed(h)
	h.clock.advance(2 * h.options.Grace)
	if err := os.Mkdir(filepath.Join(h.walletFolder(), journalName+tempSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	if s := h.status(c.CeremonyID); s.State != cosigner.Committed || len(h.shareFiles()) != 2 {
		t.Errorf("%s, %d share files", s.State, len(h.shareFiles()))
	}
}

// Even if a journal said that a superseded ceremony is prepared, committing it
// would put a share in place whose share set the vendor has left behind.
func TestCommitNeedsTheShareSetItStartedFrom(t *testing.T) {
	h := startHouse(t, nil)
	other, s := h.prepareFirst("set-2")
	c, status := h.prepareFirst("set-3")
	h.commit(c, status.Fingerprint)
	h.closeServer()
	h.editJournal(func(j *journal) { j.find(other.CeremonyID).State = cosigner.Prepared })
	h.open()
	if code := h.commit(other, s.Fingerprint); code != 409 {
		t.Errorf("status %d", code)
	}
}
