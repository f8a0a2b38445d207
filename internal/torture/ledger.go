package torture

import "sync"

// What is counted, in the order in which it is told.
const (
	kills          = "replicas killed (SIGKILL)"
	quits          = "replicas ended in order (SIGTERM)"
	zombies        = "replicas stopped until given up, then woken (SIGSTOP, SIGCONT)"
	naps           = "replicas stopped and woken without having been given up"
	lateCalls      = "calls of a zombie that arrived after it woke"
	partitions     = "replicas whose packets to the database were held back past their heartbeat"
	databaseCuts   = "database connections of a replica cut"
	crashes        = "PostgreSQL restarts in immediate mode"
	failovers      = "failovers to the standby"
	vendorRestarts = "restarts of the vendors"
	vendorCuts     = "vendor connections of a replica cut"
	signerRestarts = "restarts of the co-signer"
	faultLists     = "times that other faults were put in force"
	takeovers      = "replicas given up for dead by others"
	leasesLost     = "leases that a replica lost"
	signOns        = "epochs given out"
	doubts         = "swaps in doubt, asked about and resolved"
	aheads         = "attempts brought up to a vendor that was ahead of the record"
	reconciled     = "share sets reconciled"
	abandoned      = "attempts given up on record"
	carriedOut     = "rotations carried out"
	retries        = "times that a person asked for a retry"
	discards       = "times that a person asked for a discard"
	drifted        = "wallets left to a person, who is told of drift"
	unknown        = "leftovers of attempts whose record was lost with the failover"
	historyRows    = "history rows, all verified"
	mostGoroutines = "goroutines of a daemon, at most"
	mostMemory     = "resident memory of a daemon, at most (MiB)"
	calmGoroutines = "goroutines of a daemon with nothing to do, at most"
)

// order of everything above.
var order = []string{
	kills, quits, zombies, naps, lateCalls, partitions, databaseCuts, crashes, failovers, vendorRestarts, vendorCuts,
	signerRestarts, faultLists, takeovers, leasesLost, signOns, doubts, aheads, reconciled, abandoned, carriedOut,
	retries, discards, drifted, unknown, historyRows, mostGoroutines, mostMemory, calmGoroutines,
}

// ledger is what a run has come to.
type ledger struct {
	mu     sync.Mutex
	counts map[string]int
}

func newLedger() *ledger { return &ledger{counts: map[string]int{}} }

func (t *ledger) add(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what] += n
}

func (t *ledger) atLeast(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what] = max(t.counts[what], n)
}

func (t *ledger) of(what string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[what]
}
