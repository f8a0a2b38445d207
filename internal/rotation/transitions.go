package rotation

import "github.com/rotatord/rotatord/internal/store"

// Closed stands for a rotation that is no longer on record.
const Closed store.State = "closed"

// Transitions is the state machine: from each state to those that may follow.
// The database holds the same table (migrations/002_state.sql) and refuses
// every other change; a test compares the two.
var Transitions = map[store.State][]store.State{
	store.Waiting:  {store.Opening, store.Failed, Closed},
	store.Opening:  {store.Ceremony, store.Waiting},
	store.Ceremony: {store.Prepared, store.Waiting},
	store.Prepared: {store.Promoted, store.Waiting},
	store.Promoted: {Closed},
	store.Failed:   {store.Waiting},
}
