package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/store"
)

// Options of Run. All are required, but for Lossy, and one of Wallets and
// Vaults.
type Options struct {
	// For is how long things break.
	For time.Duration
	// Replicas of the daemon; with fewer than two, nobody takes over.
	Replicas int
	// Wallets at the simulated Dynamic, and Vaults at the simulated Cobo.
	Wallets, Vaults int
	// Seed of the plan, and of everything that the sandbox draws.
	Seed int64
	// Lossy: failovers lose the last commits.
	Lossy bool
	// Daemon is how to start one with a configuration file.
	Daemon func(config string) *exec.Cmd
	// Dir is an empty folder for configurations, logs and the co-signer's shares.
	Dir string
	// Screen is told what happens, a line at a time.
	Screen io.Writer
}

// tellEvery is how often a run says how it is getting on.
const tellEvery = 10 * time.Second

// patience is how long something waits for a person before one attends to it.
// By then everything that was late has happened.
const patience = callTimeout + 2*lateAtMost

// run is everything that runs.
type run struct {
	Options
	begun    time.Time
	tally    *ledger
	database *database
	box      *sandbox.Sandbox
	before   []sandbox.WalletState
	person   *person
	nursery  *nursery
	replicas []*replica
	own      *door // of the harness itself, for the co-signer's answers
	hooks    *door
	client   *http.Client
	graves   chan struct{} // as many replicas may be stopped at a time

	mu         sync.Mutex // of what follows, and of the screen
	violations []Violation
}

// Run tortures until the time is over or ctx ends, drains, and judges. An error
// means that it could not be run to its end; a summary that is not OK means
// that it could, and that something is wrong. Nothing is left running, but
// what is in Options.Dir.
func Run(ctx context.Context, o Options) (summary *Summary, err error) {
	r := &run{Options: o, begun: time.Now(), tally: newLedger(), graves: make(chan struct{}, max(1, o.Replicas-2)), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	r.tell("%d replicas, %d wallets, %d vaults, seed %d", o.Replicas, o.Wallets, o.Vaults, o.Seed)
	storming, cancel := context.WithTimeout(ctx, o.For)
	defer cancel()
	stop := r.accompany(storming)
	err = r.storm(storming)
	stop()
	if err != nil {
		return nil, err
	}
	working := context.WithoutCancel(ctx)
	r.tell("mending everything, and waiting until every wallet is settled")
	if err := r.drain(working); err != nil {
		return nil, err
	}
	if err := r.measureCalm(working); err != nil {
		return nil, err
	}
	if err := r.dismiss(); err != nil {
		return nil, err
	}
	r.tell("asking the sandbox to sign with every wallet, and with every old share")
	if err := r.judge(working); err != nil {
		return nil, fmt.Errorf("judging what happened: %w", err)
	}
	return r.summary(), nil
}

// start brings everything up. close ends what it got to.
func (r *run) start(ctx context.Context) (err error) {
	r.tell("starting PostgreSQL with a standby, the sandbox and the daemons")
	if r.database, err = startDatabase(ctx, r.Lossy); err != nil {
		return err
	}
	if r.box, err = sandbox.New(sandbox.Options{Wallets: r.Wallets, Vaults: r.Vaults, Seed: r.Seed,
		CosignerDir: filepath.Join(r.Dir, "cosigner"), CeremonyTimeout: 5 * time.Second, CoboPace: 100 * time.Millisecond,
		CoboNodes: 8, WebhookRetry: 300 * time.Millisecond}); err != nil {
		return fmt.Errorf("starting the sandbox: %w", err)
	}
	r.before = r.box.State()
	_, dsn, err := r.database.lead()
	if err != nil {
		return err
	}
	if r.person, err = newPerson(ctx, dsn, r.box, r.tally); err != nil {
		return err
	}
	if err := enrol(ctx, r.person.db, r.before, r.For); err != nil {
		return err
	}
	if r.own, err = newDoor(r.box.Handler()); err != nil {
		return err
	}
	r.nursery = newNursery()
	for i := range r.Replicas {
		if err := r.addReplica(fmt.Sprintf("replica%d", i+1)); err != nil {
			return err
		}
	}
	if r.hooks, err = newDoor(newHooks(r.replicas, r.Seed, r.client.Transport)); err != nil {
		return err
	}
	return r.box.SetWebhook(r.hooks.url() + "/webhooks/cobo/" + coboName)
}

func (r *run) addReplica(name string) error {
	line, dsn, err := r.database.lead()
	if err != nil {
		return err
	}
	d, err := newDoor(r.box.Handler())
	if err != nil {
		return err
	}
	replica := &replica{name: name, dir: r.Dir, config: filepath.Join(r.Dir, name+".yaml"), command: r.Daemon, nursery: r.nursery, line: line, door: d}
	if err := writeConfig(replica.config, dsn, r.box.Info(d.url())); err != nil {
		d.close()
		return err
	}
	if err := replica.start(); err != nil {
		d.close()
		return err
	}
	r.replicas = append(r.replicas, replica)
	return nil
}

// accompany attends to what waits for a person, measures, and tells how it is
// getting on, until stop.
func (r *run) accompany(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() {
		for pause(ctx, time.Second) {
			asking, done := context.WithTimeout(ctx, 10*time.Second)
			_ = r.person.attend(asking, patience) // the database is gone now and then
			done()
		}
	})
	working.Go(func() {
		for pause(ctx, 2*time.Second) {
			r.measure(ctx)
		}
	})
	working.Go(func() {
		for pause(ctx, tellEvery) {
			if p, err := r.person.progress(ctx); err == nil {
				r.tell("%d swaps on record, %d rotations open, %d wait for a person", p.rotations, p.open, p.attention)
			}
		}
	})
	return func() {
		cancel()
		working.Wait()
	}
}

// dismiss ends every daemon in order, and listens to what they have said.
func (r *run) dismiss() error {
	for _, replica := range r.replicas {
		switch err := replica.now().quit(); {
		case errors.Is(err, errBadEnd):
			r.accuse("", "%s: %v", replica.name, err)
		case err != nil:
			return err
		}
	}
	given := map[int64]string{} // epochs, and to whom
	for _, replica := range r.replicas {
		for _, p := range replica.all() {
			if err := p.said.listenOn(); err != nil {
				return err
			}
			for _, s := range p.said.signedOn() {
				if other := given[s.epoch]; other != "" {
					r.accuse("", "epoch %d was given to %s and to %s", s.epoch, other, filepath.Base(p.said.path))
				}
				given[s.epoch] = filepath.Base(p.said.path)
				r.tally.add(signOns, 1)
			}
			r.tally.add(leasesLost, p.said.count(saidLost))
			r.tally.add(takeovers, p.said.buried)
			r.tally.add(doubts, p.said.count(saidDoubt))
			r.tally.add(aheads, p.said.count(saidAhead))
			for _, cry := range p.said.cries {
				r.accuse("", "%s says: %s", filepath.Base(p.said.path), cry)
			}
		}
	}
	return nil
}

// judge every wallet.
func (r *run) judge(ctx context.Context) error {
	info := r.box.Info(r.own.url())
	signer, err := cosigner.New(cosigner.Options{Name: coSignerName, URL: info.Cosigner.URL, Token: func() string { return info.Cosigner.Token }})
	if err != nil {
		return err
	}
	defer signer.Close()
	s, err := store.Open(ctx, store.Options{DSN: r.person.db.Config().ConnString()})
	if err != nil {
		return err
	}
	defer s.Close()
	w := &witness{box: r.box, signer: signer, db: r.person.db, store: s, lossy: r.Lossy}
	all, err := w.collect(ctx, r.before)
	if err != nil {
		return err
	}
	for _, e := range all {
		v := judge(e)
		for _, wrong := range v.wrong {
			r.accuse(e.before.ID, "%s", wrong)
		}
		r.tally.add(unknown, v.unknown)
		r.tally.add(historyRows, len(e.history))
		if e.recorded.Drift {
			r.tally.add(drifted, 1)
		}
		for _, row := range e.history {
			switch row.Outcome {
			case store.Activated:
				r.tally.add(carriedOut, 1)
			case store.Reconciled:
				r.tally.add(reconciled, 1)
			case store.Abandoned, store.Rejected:
				r.tally.add(abandoned, 1)
			}
		}
	}
	if running := r.box.Stats().Cobo.Orphans.TSSRequests; len(running) > 0 && !r.Lossy {
		r.accuse("", "TSS requests of ours still run at the vendor: %s", strings.Join(running, ", "))
	}
	r.bounded()
	return nil
}

// close ends everything, the last thing first.
func (r *run) close() error {
	var errs []error
	for _, replica := range r.replicas {
		if p := replica.now(); p.running() {
			errs = append(errs, p.kill())
		}
		replica.door.close()
	}
	if r.nursery != nil {
		r.nursery.close()
	}
	for _, d := range []*door{r.hooks, r.own} {
		if d != nil {
			d.close()
		}
	}
	if r.person != nil {
		r.person.db.Close()
	}
	if r.box != nil {
		errs = append(errs, r.box.Close())
	}
	if r.database != nil {
		errs = append(errs, r.database.close())
	}
	return errors.Join(errs...)
}

// accuse puts a violation on record; wallet is the vendor's id, empty when it
// is about no wallet.
func (r *run) accuse(wallet, format string, args ...any) {
	v := Violation{Wallet: wallet, What: fmt.Sprintf(format, args...)}
	r.tell("VIOLATION %s", v)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, v)
}

// tell the screen.
func (r *run) tell(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.Screen, "%6.1fs  %s\n", time.Since(r.begun).Seconds(), fmt.Sprintf(format, args...))
}
