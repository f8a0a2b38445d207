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
//	     ──▶ take what is parked past waiting: commits wait for nobody
//	     ──▶ while workers are free: waiting rotations, then the emergency
//	         band, then the running cycles, each in its turn
//	     ──▶ end the cycles that are through
//
// It is woken by NOTIFY, by cron, by a worker that has become free, and by a
// poll, which alone would do: everything else only makes it sooner. A step, a
// policy or a request that fails keeps no other from its turn, and none lasts
// longer than a lease lives.
//
// Nothing is claimed that could not begin: the wallets of a paused or held
// provider, and those of a policy of which too many others are failing, stay
// out of the table of open rotations.
//
// Around it run the heartbeat that keeps this replica's lease, the look for
// replicas that have lost theirs, the clean-up of old share sets, and the walk
// that compares all wallets with vendors and co-signers. A lost lease cancels
// all work of this process at once; it starts over under a new epoch.
package scheduler
