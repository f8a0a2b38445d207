// Package scheduler decides when: it turns policies into ticks, ticks into
// cycles, and cycles into claimed wallets, which it hands to the rotation
// engine. It knows nothing of vendors.
//
// What a policy means is decided by pure functions of this package
// ([ParseSchedule], [Judge], [Due]); robfig/cron parses and wakes, and decides
// nothing. PostgreSQL is the engine that replicas share: there is no leader.
// Every replica may fire the same tick, and one cycle row appears; every
// replica may discover the same wallet, and one claim wins.
//
// One goroutine, the dispatcher, does everything that takes work in hand:
//
//	wake ──▶ reload edited policies and judge them
//	     ──▶ fire ticks that have come
//	     ──▶ answer people's requests
//	     ──▶ take what was parked, commits first
//	     ──▶ sweep the running cycles while workers are free
//
// It is woken by NOTIFY, by cron, by a worker that has become free, and by a
// poll, which alone would do: everything else only makes it sooner.
//
// Around it run the heartbeat that keeps this replica's lease, the look for
// replicas that have lost theirs, and the clean-up of old share sets. A lost
// lease cancels all work of this process at once; it starts over under a new
// epoch.
package scheduler
